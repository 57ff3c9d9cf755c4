#!/usr/bin/env bash
# build-helpers.sh GCC_VERSION: what a build needs beside the compilers. For each target a CMake toolchain file and a
# pkg-config that never answers for the build image, and for the platform of the build the place of GCC's own libraries.
set -Eeuo pipefail

gcc=/opt/gcc-$1
own=$(dpkg --print-architecture)
mkdir -p "$gcc/share/cmake"
install -m 644 /run/cross.cmake "$gcc/share/cmake/cross.cmake"
for row in amd64:x86_64-linux-gnu arm64:aarch64-linux-gnu riscv64:riscv64-linux-gnu; do
    arch=${row%%:*} triplet=${row#*:}
    # shellcheck disable=SC2016  # these are for CMake and for the wrapper to expand
    printf '%s\n' "# The chain's GCC for $arch: cmake -DCMAKE_TOOLCHAIN_FILE=<this file>" \
        "set(CROSS_TRIPLET $triplet)" 'include("${CMAKE_CURRENT_LIST_DIR}/cross.cmake")' \
        >"$gcc/share/cmake/toolchain-$arch.cmake"
    # shellcheck disable=SC2016
    printf '%s\n' '#!/bin/sh' "# pkg-config for $arch: PKG_CONFIG_PATH names the folders of .pc files, none is the host's." \
        "PKG_CONFIG_LIBDIR=\${PKG_CONFIG_LIBDIR:-$gcc/$triplet/lib/pkgconfig}" \
        'export PKG_CONFIG_LIBDIR' 'exec pkg-config "$@"' >"$gcc/bin/$triplet-pkg-config"
    chmod 755 "$gcc/bin/$triplet-pkg-config"
    # Programs find the libraries that came with GCC: sanitizers, and libstdc++ once GCC is newer than the root's.
    [[ $arch != "$own" ]] || echo "$gcc/lib/$triplet" >/etc/ld.so.conf.d/00-gcc.conf
done
ldconfig
rm -f /var/cache/ldconfig/aux-cache
