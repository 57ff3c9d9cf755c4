#!/usr/bin/env bash
# The SPIR-V headers and grammar files.
set -Eeuo pipefail
/run/build-component.sh spirv-headers headers -DSPIRV_HEADERS_ENABLE_TESTS=OFF
