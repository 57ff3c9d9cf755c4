#!/usr/bin/env bash
# Installs the tooling that later stages run on the build platform. No compiler: the chain brings its own.
set -Eeuo pipefail

/run/apt.sh install binutils ca-certificates cmake libc6-dev make ninja-build patch \
    patchelf pkgconf python3 xz-utils

# Later scripts count on these; a package that was split or renamed shows here and not hours later.
for tool in ar cmake ld make ninja patch patchelf pkg-config python3 xz; do
    if ! command -v "$tool" >/dev/null; then
        printf 'error: %s is missing after the installation\n' "$tool" >&2
        exit 1
    fi
done
if command -v gcc cc clang; then
    echo "error: a distribution compiler came with the tooling; it would be taken for the chain's" >&2
    exit 1
fi
