#!/usr/bin/env bash
# host-clang.sh LLVM_RELEASE GCC_VERSION BUILD_MODE: clang and lld that run on the platform of the build, and for each
# target of BUILD_MODE their run-time libraries and the wrappers /usr/local/bin/clang-<arch> and clang++-<arch>.
#
# A wrapper calls clang for one target with the chain's GCC as toolchain root: its libgcc, its libstdc++ and, for a
# foreign target, its C library.
set -Eeuo pipefail

llvm=/opt/llvm-$1 gcc=/opt/gcc-$2
own=$(dpkg --print-architecture)
targets=$(python3 -B /run/build_mode.py "$3")
# shellcheck disable=SC2086  # names are words
python3 -B /run/stage_llvm.py "$own" "$llvm" "$1" "$2" $targets
for row in amd64:x86_64-linux-gnu arm64:aarch64-linux-gnu riscv64:riscv64-linux-gnu; do
    arch=${row%%:*} triplet=${row#*:}
    [[ " $targets " == *" $arch "* ]] || continue
    sysroot=$gcc/$triplet
    [[ $arch != "$own" ]] || sysroot=/
    for driver in clang clang++; do
        wrapper=/usr/local/bin/$driver-$arch
        printf '#!/bin/sh\nexec %s/bin/%s --target=%s --sysroot=%s --gcc-toolchain=%s "$@"\n' \
            "$llvm" "$driver" "$triplet" "$sysroot" "$gcc" >"$wrapper"
        chmod 755 "$wrapper"
    done
done
