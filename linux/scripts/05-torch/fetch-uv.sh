#!/usr/bin/env bash
# fetch-uv.sh VERSION TARGET_ARCH: puts the target's uv, checked by its digest, into /opt/uv. Runs on the build platform:
# under emulation a TLS connection can take longer than a server waits. The pip that fetches it is the distribution's and is
# not installed: Python runs it from its wheel.
set -Eeuo pipefail

version=$1 arch=$2 digests=/run/uv.sha256
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -n "s/^$arch  *\(uv==\)/\1/p" "$digests" >"$work/requirements"
if ! grep -q "^uv==$version " "$work/requirements"; then
    printf 'error: UV_VERSION=%s, but for %s the digest is that of %s\n' \
        "$version" "$arch" "$(grep -o '^uv==[^ ]*' "$work/requirements" || echo 'no version')" >&2
    printf 'hint: put the version and its digests into linux/scripts/05-torch/uv.sha256\n' >&2
    exit 1
fi
case $arch in
    amd64) cpu=x86_64 ;;
    arm64) cpu=aarch64 ;;
    *) cpu=$arch ;;
esac
/run/apt.sh download "$(dpkg --print-architecture)" "$work" python3-pip-whl
dpkg-deb --extract "$work"/python3-pip-whl_*.deb "$work/root"
pip=("$work"/root/usr/share/python-wheels/pip-*.whl)
# Which of them the wheel bears in its name is up to the digest.
platforms=(--platform "manylinux_2_17_$cpu" --platform "manylinux_2_28_$cpu" --platform "manylinux_2_31_$cpu")
/run/online.sh python3 -B "${pip[0]}/pip" download --quiet --disable-pip-version-check --no-input --no-cache-dir \
    --no-deps --only-binary :all: "${platforms[@]}" --require-hashes --requirement "$work/requirements" --dest "$work/wheels"
python3 -B -m zipfile --extract "$work"/wheels/uv-*.whl "$work/uv"
install -D -m 755 "$work/uv/uv-$version.data/scripts/uv" /opt/uv/uv
