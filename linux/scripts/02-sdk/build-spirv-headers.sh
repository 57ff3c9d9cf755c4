#!/usr/bin/env bash
# The SPIR-V headers and grammar files.
set -Eeuo pipefail
/run/install-headers.sh spirv-headers -DSPIRV_HEADERS_ENABLE_TESTS=OFF
