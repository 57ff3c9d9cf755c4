#!/usr/bin/env bash
# runtime-user.sh NAME ID: the user that the image runs as, and its folder of work.
set -Eeuo pipefail

# The day that goes into /etc/shadow is that of SOURCE_DATE_EPOCH.
useradd --uid "$2" --user-group --create-home --shell /bin/bash --no-log-init "$1"
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid-
install -d -o "$1" -g "$1" /workspace
