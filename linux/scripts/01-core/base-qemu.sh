#!/usr/bin/env bash
# Puts the user-mode emulators of the foreign targets into /opt/qemu. The whole package is half a gigabyte.
set -Eeuo pipefail

# One row a distribution: the package with statically linked emulators, and the suffix of its programs.
# shellcheck disable=SC1091
case $(. /etc/os-release && printf '%s' "$ID") in
    debian) package=qemu-user suffix='' ;;
    ubuntu) package=qemu-user-static suffix=-static ;;
    *) printf 'error: no emulator package is known for this distribution\n' >&2; exit 1 ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
/run/apt.sh download amd64 "$work" "$package"
dpkg-deb --extract "$work"/*.deb "$work/root"
mkdir -p /opt/qemu
for cpu in aarch64 riscv64; do
    install -m 755 "$work/root/usr/bin/qemu-$cpu$suffix" "/opt/qemu/qemu-$cpu"
    "/opt/qemu/qemu-$cpu" --version
done
