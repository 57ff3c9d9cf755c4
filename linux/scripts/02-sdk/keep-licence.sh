#!/usr/bin/env bash
# keep-licence.sh NAME: puts the licence of /opt/sources/NAME, and which version it is, below the Vulkan prefix.
set -Eeuo pipefail

# shellcheck source=linux/scripts/02-sdk/target.sh
source /run/target.sh
# shellcheck source=linux/scripts/02-sdk/vulkan-prefix.sh
source /run/vulkan-prefix.sh

name=$1
place=$VULKAN_PREFIX/share/licenses/$name
found=0
for file in "/opt/sources/$name"/{LICENSE,COPYING}*; do
    [[ -f $file ]] || continue
    install -D -m 644 "$file" "$place/${file##*/}"
    found=1
done
if ((found == 0)); then
    printf 'error: /opt/sources/%s has no LICENSE or COPYING\n' "$name" >&2
    exit 1
fi
grep -E "^$name " /opt/sources/versions >"$place/version"
