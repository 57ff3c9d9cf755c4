#!/usr/bin/env bash
# The Vulkan headers. The C++ module is left out: it needs a compiler newer than the chain promises.
set -Eeuo pipefail
/run/install-headers.sh vulkan-headers -DVULKAN_HEADERS_ENABLE_MODULE=OFF
