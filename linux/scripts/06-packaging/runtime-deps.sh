#!/usr/bin/env bash
# Installs what the media components need of the distribution at run time, as each of them says. Runs on the target.
set -Eeuo pipefail

mapfile -t packages < <(cat /run/media/*/runtime-packages | sort -u)
if ((${#packages[@]} == 0)); then
    echo 'every component is absent: nothing is installed'
    exit 0
fi
/run/apt.sh install "${packages[@]}"
