#!/usr/bin/env bash
# Sourced. Exports the names of the target TARGET_ARCH: TARGET_TRIPLET and TARGET_CPU.
case ${TARGET_ARCH:-} in
    amd64) TARGET_TRIPLET=x86_64-linux-gnu ;;
    arm64) TARGET_TRIPLET=aarch64-linux-gnu ;;
    riscv64) TARGET_TRIPLET=riscv64-linux-gnu ;;
    *)
        printf "error: TARGET_ARCH='%s' is no target\nhint: amd64, arm64 or riscv64\n" "${TARGET_ARCH:-}" >&2
        exit 1
        ;;
esac
TARGET_CPU=${TARGET_TRIPLET%%-*}
export TARGET_TRIPLET TARGET_CPU
