#!/usr/bin/env bash
# keep-targets.sh CROSS_TARGETS GCC_VERSION: removes the compilers and the Python of every target that
# CROSS_TARGETS (by comma) does not name. The GCC for amd64 stays in any case: it is the host's own.
set -Eeuo pipefail

gcc=/opt/gcc-$2
for row in amd64:x86_64-linux-gnu arm64:aarch64-linux-gnu riscv64:riscv64-linux-gnu; do
    arch=${row%%:*} triplet=${row#*:}
    [[ ",$1," != *",$arch,"* ]] || continue
    rm -rf "$gcc-native-$arch" "/opt/python-cross/$arch" "/usr/local/bin/clang-$arch" "/usr/local/bin/clang++-$arch"
    [[ $arch == amd64 ]] || find "$gcc" -depth -name "$triplet*" -exec rm -rf {} +
    echo "$arch is not in CROSS_TARGETS=$1: its compilers are left out"
done
