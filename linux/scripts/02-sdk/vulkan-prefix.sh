#!/usr/bin/env bash
# Sourced, after target.sh. Exports VULKAN_PREFIX, where the target's Vulkan payload lives. It stands apart from
# target.sh, so that a step without Vulkan does not depend on VULKAN_VERSION.
VULKAN_PREFIX=/opt/vulkan/$VULKAN_VERSION/$TARGET_CPU
export VULKAN_PREFIX
