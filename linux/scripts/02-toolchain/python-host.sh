#!/usr/bin/env bash
# python-host.sh PYTHON_VERSION: the Python that runs on the build platform, at /usr/local/bin as a source
# build has it.
set -Eeuo pipefail

version=$1
series=${version%.*}
printed=$(/usr/bin/python3 -c 'import platform; print(platform.python_version())')
if [[ $printed != "$version" ]]; then
    printf 'error: PYTHON_VERSION=%s, but the distribution provides %s\n' "$version" "$printed" >&2
    printf 'hint: set PYTHON_VERSION=%s in the profile, or build it from source\n' "$printed" >&2
    exit 1
fi
python3 -B -c 'import bz2, ctypes, decimal, hashlib, lzma, sqlite3, ssl, uuid, zlib'
ln -s "../../bin/python$series" "/usr/local/bin/python$series"
ln -s "python$series" /usr/local/bin/python3
