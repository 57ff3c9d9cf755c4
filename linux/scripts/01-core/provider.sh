#!/usr/bin/env bash
# provider.sh KEY VALUE: stops unless the provider VALUE of the variable KEY is one that this chain can build.
set -Eeuo pipefail

case $2 in
    distro) ;;
    source)
        printf 'error: %s=source is not built yet\nhint: set %s=distro\n' "$1" "$1" >&2
        exit 1
        ;;
    absent)
        printf 'error: %s=absent, but later steps need this component\nhint: set %s=distro\n' "$1" "$1" >&2
        exit 1
        ;;
    *)
        printf "error: %s='%s' is no provider\nhint: distro, source or absent\n" "$1" "$2" >&2
        exit 1
        ;;
esac
