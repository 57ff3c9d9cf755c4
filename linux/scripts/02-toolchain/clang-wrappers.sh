#!/usr/bin/env bash
# clang-wrappers.sh LLVM_RELEASE GCC_VERSION: writes /usr/local/bin/clang-<arch> and clang++-<arch>.
#
# Each calls the chain's clang for one target with the chain's GCC as toolchain root: its libgcc, its
# libstdc++ and, for a foreign target, its C library.
set -Eeuo pipefail

llvm=/opt/llvm-$1 gcc=/opt/gcc-$2
for row in amd64:x86_64-linux-gnu arm64:aarch64-linux-gnu riscv64:riscv64-linux-gnu; do
    arch=${row%%:*} triplet=${row#*:}
    sysroot=$gcc/$triplet
    [[ $arch != amd64 ]] || sysroot=/
    for driver in clang clang++; do
        wrapper=/usr/local/bin/$driver-$arch
        printf '#!/bin/sh\nexec %s/bin/%s --target=%s --sysroot=%s --gcc-toolchain=%s "$@"\n' \
            "$llvm" "$driver" "$triplet" "$sysroot" "$gcc" >"$wrapper"
        chmod 755 "$wrapper"
    done
done
