#!/usr/bin/env bash
# Puts the user-mode emulators of the foreign targets, with their licence, into /opt/qemu. The whole package is half
# a gigabyte.
set -Eeuo pipefail

own=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
package=$(python3 -B /run/distribution.py qemu-user)
/run/apt.sh download "$own" "$work" "$package"
dpkg-deb --extract "$work"/*.deb "$work/root"
install -D -m 644 "$work/root/usr/share/doc/$package/copyright" "/opt/qemu/share/licenses/$package/copyright"
mkdir -p /opt/qemu/bin
for row in amd64:x86_64 arm64:aarch64 riscv64:riscv64; do
    cpu=${row#*:}
    [[ ${row%%:*} != "$own" ]] || continue
    # Where the dynamically linked emulators have the plain names, the static ones carry a suffix.
    program=$work/root/usr/bin/qemu-$cpu
    [[ ! -e $program-static ]] || program=$program-static
    install -m 755 "$program" "/opt/qemu/bin/qemu-$cpu"
    "/opt/qemu/bin/qemu-$cpu" --version
done
