#!/usr/bin/env bash
# fetch-sdists.sh DIR REQUIREMENTS: puts the source archives that a requirements file pins by hash into DIR.
#
# The distribution's source packages come without the patches that make them compile, so these are the projects' own
# archives. They are checked like apt's: what does not have its hash is refused. The registry is the client's default.
set -Eeuo pipefail

# shellcheck source=linux/scripts/01-core/transport.sh
source /run/transport.sh
directory=$1 requirements=$2
transport_load
for proxy in http_proxy https_proxy no_proxy; do
    [[ -z ${TRANSPORT[$proxy]:-} ]] || export "$proxy=${TRANSPORT[$proxy]}"
done
certificates=()
[[ ! -e /run/ca-bundle.pem ]] || certificates=(--cert /run/ca-bundle.pem)
python3 -B -m pip download --quiet --disable-pip-version-check --no-cache-dir "${certificates[@]}" \
    --no-deps --no-binary :all: --no-build-isolation --require-hashes \
    --dest "$directory" --requirement "$requirements"
