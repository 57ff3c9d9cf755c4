#!/usr/bin/env bash
# SPIRV-Tools: the optimizer as a library, and its programs. It takes the installed SPIR-V headers as its
# source.
set -Eeuo pipefail
# shellcheck source=linux/scripts/02-sdk/target.sh
source /run/target.sh
# shellcheck source=linux/scripts/02-sdk/vulkan-prefix.sh
source /run/vulkan-prefix.sh
/run/build-component.sh spirv-tools "-DSPIRV-Headers_SOURCE_DIR=$VULKAN_PREFIX" \
    -DSPIRV_SKIP_TESTS=ON -DSPIRV_WERROR=OFF -DSPIRV_TOOLS_BUILD_STATIC=ON -DSPIRV_TOOLS_LIBRARY_TYPE=STATIC
