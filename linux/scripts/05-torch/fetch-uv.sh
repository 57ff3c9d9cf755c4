#!/usr/bin/env bash
# fetch-uv.sh VERSION: puts uv, checked by hash, into /opt/uv. The pip that fetches it is the distribution's and is not
# installed: Python runs it from its wheel.
set -Eeuo pipefail

version=$1 requirements=/run/uv-requirements.txt
if ! grep -q "^uv==$version " "$requirements"; then
    printf 'error: UV_VERSION=%s, but the hashes are those of %s\n' \
        "$version" "$(grep -m 1 -o '^uv==[^ ]*' "$requirements")" >&2
    printf 'hint: put the version and its hashes into linux/scripts/05-torch/uv-requirements.txt\n' >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
/run/apt.sh download "$(dpkg --print-architecture)" "$work" python3-pip-whl
dpkg-deb --extract "$work"/python3-pip-whl_*.deb "$work/root"
pip=("$work"/root/usr/share/python-wheels/pip-*.whl)
/run/online.sh python3 -B "${pip[0]}/pip" download --quiet --disable-pip-version-check --no-input --no-cache-dir \
    --no-deps --only-binary :all: --require-hashes --requirement "$requirements" --dest "$work/wheels"
python3 -B -m zipfile --extract "$work"/wheels/uv-*.whl "$work/uv"
install -D -m 755 "$work/uv/uv-$version.data/scripts/uv" /opt/uv/uv
printed=$(/opt/uv/uv --version)
if [[ $printed != "uv $version"* ]]; then
    printf 'error: UV_VERSION=%s, but uv says %s\n' "$version" "$printed" >&2
    exit 1
fi
echo "$printed"
