#!/usr/bin/env bash
# keep-targets.sh CROSS_TARGETS GCC_VERSION: removes the compilers and the Python of every target that
# CROSS_TARGETS (by comma or blank) does not name. The GCC for the platform of the build stays in any case: it is the
# image's own.
set -Eeuo pipefail

gcc=/opt/gcc-$2
own=$(dpkg --print-architecture)
targets=${1//,/ }
for arch in $targets; do
    if [[ ! $arch =~ ^(amd64|arm64|riscv64)$ ]]; then
        printf "error: CROSS_TARGETS names '%s'\nhint: amd64, arm64 or riscv64\n" "$arch" >&2
        exit 1
    fi
done
for row in amd64:x86_64-linux-gnu arm64:aarch64-linux-gnu riscv64:riscv64-linux-gnu; do
    arch=${row%%:*} triplet=${row#*:}
    [[ " $targets " != *" $arch "* ]] || continue
    rm -rf "$gcc-native-$arch" "/opt/python-cross/$arch" "/usr/local/bin/clang-$arch" "/usr/local/bin/clang++-$arch"
    rm -f "$gcc/share/cmake/toolchain-$arch.cmake"
    [[ $arch == "$own" ]] || find "$gcc" -depth -name "$triplet*" -exec rm -rf {} +
    echo "$arch is not in CROSS_TARGETS=$1: its compilers are left out"
done
