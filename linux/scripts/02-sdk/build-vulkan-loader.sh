#!/usr/bin/env bash
# The Vulkan loader, libvulkan.so. Window systems are off: their libraries come with the media stage.
set -Eeuo pipefail
# shellcheck source=linux/scripts/02-sdk/target.sh
source /run/target.sh
# shellcheck source=linux/scripts/02-sdk/vulkan-prefix.sh
source /run/vulkan-prefix.sh

# The source package leaves out the generated files; they come from the registry of the installed headers.
loader=/opt/sources/vulkan-loader
mkdir -p "$loader/loader/generated"
PYTHONDONTWRITEBYTECODE=1 python3 "$loader/scripts/generate_source.py" "$VULKAN_PREFIX/share/vulkan/registry"

/run/build-component.sh vulkan-loader -DBUILD_TESTS=OFF -DUPDATE_DEPS=OFF \
    -DBUILD_WSI_XCB_SUPPORT=OFF -DBUILD_WSI_XLIB_SUPPORT=OFF -DBUILD_WSI_XLIB_XRANDR_SUPPORT=OFF \
    -DBUILD_WSI_WAYLAND_SUPPORT=OFF
