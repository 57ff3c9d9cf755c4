#!/usr/bin/env bash
# install-headers.sh NAME [CMAKE OPTION…]: installs /opt/sources/NAME, which has nothing to compile, into the
# Vulkan prefix of TARGET_ARCH. CMake asks for a compiler all the same; it gets the chain's.
set -Eeuo pipefail

# shellcheck source=linux/scripts/02-sdk/target.sh
source /run/target.sh
# shellcheck source=linux/scripts/02-sdk/vulkan-prefix.sh
source /run/vulkan-prefix.sh

name=$1
shift
build=/tmp/build
cmake -S "/opt/sources/$name" -B "$build" -G Ninja \
    -DCMAKE_TOOLCHAIN_FILE="/opt/gcc-$GCC_VERSION/share/cmake/toolchain-$TARGET_ARCH.cmake" \
    -DCMAKE_INSTALL_PREFIX="$VULKAN_PREFIX" -DCMAKE_INSTALL_LIBDIR=lib --no-warn-unused-cli "$@"
cmake --install "$build" >/dev/null
rm -rf "$build"
/run/keep-licence.sh "$name"
