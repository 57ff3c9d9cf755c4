#!/usr/bin/env bash
# Proves the gathered SDK: every file is the target's, a program links against the loader and runs, a shader
# compiles.
set -Eeuo pipefail
# shellcheck source=linux/scripts/02-sdk/target.sh
source /run/target.sh
# shellcheck source=linux/scripts/02-sdk/vulkan-prefix.sh
source /run/vulkan-prefix.sh

python3 -B /run/elf.py "$TARGET_ARCH" "$VULKAN_PREFIX" /opt/llvm-target
if [[ -e /opt/sources ]]; then
    echo 'error: the sources are in the final image' >&2
    exit 1
fi

run=()
[[ $TARGET_ARCH == "$(dpkg --print-architecture)" ]] || run=("qemu-$TARGET_CPU" -L "/opt/gcc-$GCC_VERSION/$TARGET_TRIPLET")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${run[@]}" "$VULKAN_PREFIX/bin/glslang" --version
cat >"$work/white.frag" <<'GLSL'
#version 450
layout(location = 0) out vec4 colour;
void main() { colour = vec4(1.0); }
GLSL
"${run[@]}" "$VULKAN_PREFIX/bin/glslang" -V -Os "$work/white.frag" -o "$work/white.spv"
"${run[@]}" "$VULKAN_PREFIX/bin/spirv-val" "$work/white.spv"

cat >"$work/loader.c" <<'C'
#include <stdio.h>
#include <vulkan/vulkan.h>
int main(void) {
    uint32_t version = 0;
    if (vkEnumerateInstanceVersion(&version) != VK_SUCCESS)
        return 1;
    printf("%u.%u.%u\n", VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version),
           VK_API_VERSION_PATCH(version));
}
C
"$TARGET_TRIPLET-gcc" "$work/loader.c" -I"$VULKAN_PREFIX/include" -L"$VULKAN_PREFIX/lib" -lvulkan \
    -Wl,-rpath,"$VULKAN_PREFIX/lib" -o "$work/loader"
printed=$("${run[@]}" "$work/loader")
if [[ $printed != "${VULKAN_VERSION%.*}" ]]; then
    printf 'error: VULKAN_VERSION=%s, but the loader says %s\n' "$VULKAN_VERSION" "$printed" >&2
    exit 1
fi
echo "the Vulkan loader for $TARGET_ARCH says $printed"
