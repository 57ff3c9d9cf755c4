#!/usr/bin/env bash
# build-component.sh NAME [CMAKE OPTION…]
#
# Cross-builds /opt/sources/NAME for TARGET_ARCH into the Vulkan prefix, and asserts that CMake took the
# chain's GCC and that all it installed is for the target. The build folder is fixed, so that no path of it
# differs in a result.
set -Eeuo pipefail

# shellcheck source=linux/scripts/01-core/transport.sh
source /run/transport.sh
# shellcheck source=linux/scripts/02-sdk/target.sh
source /run/target.sh
# shellcheck source=linux/scripts/02-sdk/vulkan-prefix.sh
source /run/vulkan-prefix.sh

name=$1
shift
build=/tmp/build
transport_load
export CROSS_PREFIX=$VULKAN_PREFIX PKG_CONFIG_PATH=$VULKAN_PREFIX/lib/pkgconfig

# Paths of the machine that builds must not end up in assertions and debug lines.
prefix_map="-ffile-prefix-map=/opt/sources=. -ffile-prefix-map=$build=build"
cmake -S "/opt/sources/$name" -B "$build" -G Ninja \
    -DCMAKE_TOOLCHAIN_FILE="/opt/gcc-$GCC_VERSION/share/cmake/toolchain-$TARGET_ARCH.cmake" \
    -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_C_FLAGS="$prefix_map" -DCMAKE_CXX_FLAGS="$prefix_map" \
    -DCMAKE_C_FLAGS_RELEASE='-O2 -DNDEBUG' -DCMAKE_CXX_FLAGS_RELEASE='-O2 -DNDEBUG' \
    -DCMAKE_INSTALL_PREFIX="$VULKAN_PREFIX" -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_PREFIX_PATH="$VULKAN_PREFIX" \
    --no-warn-unused-cli "$@"

# Asserts that CMake took the chain's compiler for a language: its file of facts, the variable's prefix, the
# program.
check_compiler() {
    local facts wanted
    facts=$(cat "$build"/CMakeFiles/*/"$1")
    for wanted in "$2_COMPILER \"/opt/gcc-$GCC_VERSION/bin/$TARGET_TRIPLET-$3\"" \
        "$2_COMPILER_ID \"GNU\"" "$2_COMPILER_VERSION \"$GCC_VERSION\""; do
        [[ $facts == *"set($wanted)"* ]] ||
            die "CMake did not take the chain's compiler for $name: $wanted is missing" \
                "$(grep -E "set\($2_COMPILER(_ID|_VERSION)? " <<<"$facts" | tr '\n' ' ')"
    done
    echo "CMake compiles $name with GNU $GCC_VERSION at /opt/gcc-$GCC_VERSION/bin/$TARGET_TRIPLET-$3"
}
check_compiler CMakeCCompiler.cmake CMAKE_C gcc
# The loader is all C; what has C++ must have it from the chain as well.
if compgen -G "$build/CMakeFiles/*/CMakeCXXCompiler.cmake" >/dev/null; then
    check_compiler CMakeCXXCompiler.cmake CMAKE_CXX g++
fi

cmake --build "$build" --parallel "$(transport_jobs 1500)"
cmake --install "$build" --strip >/dev/null
rm -rf "$build"
/run/keep-licence.sh "$name"
python3 -B /run/elf.py "$TARGET_ARCH" "$VULKAN_PREFIX"
