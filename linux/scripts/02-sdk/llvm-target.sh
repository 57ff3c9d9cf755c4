#!/usr/bin/env bash
# clang, lld and LLVM that run on the target, in /opt/llvm-target; run once here, under emulation if foreign.
set -Eeuo pipefail
# shellcheck source=linux/scripts/02-sdk/target.sh
source /run/target.sh

python3 -B /run/stage_llvm.py "$TARGET_ARCH" /opt/llvm-target "$LLVM_RELEASE" "$GCC_VERSION"
run=()
[[ $TARGET_ARCH == "$(dpkg --print-architecture)" ]] || run=("qemu-$TARGET_CPU" -L "/opt/gcc-$GCC_VERSION/$TARGET_TRIPLET")
printed=$("${run[@]}" /opt/llvm-target/bin/clang -dumpversion)
if [[ $printed != "$LLVM_RELEASE" ]]; then
    printf 'error: LLVM_RELEASE=%s, but the clang for %s says %s\n' \
        "$LLVM_RELEASE" "$TARGET_ARCH" "$printed" >&2
    exit 1
fi
"${run[@]}" /opt/llvm-target/bin/ld.lld --version
