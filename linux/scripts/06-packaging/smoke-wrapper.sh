#!/usr/bin/env bash
# smoke-wrapper.sh ARCH GCC_VERSION LLVM_RELEASE: judges a package image on its own platform, from end to end. The image
# has passed when this ends well; nothing is left in it.
set -Eeuo pipefail

/run/smoke-compilers.sh "$@"
/run/smoke-media.sh "$1"
