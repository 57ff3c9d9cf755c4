#!/usr/bin/env bash
# online.sh COMMAND…: runs a command that talks to servers, with the proxies and the certificates of the transport settings.
# They are in the environment of that command alone, and what it fetches has to be checked by hash.
set -Eeuo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=linux/scripts/01-core/transport.sh
source "$here/transport.sh"

transport_load
for proxy in http_proxy https_proxy no_proxy; do
    [[ -z ${TRANSPORT[$proxy]:-} ]] || export "$proxy=${TRANSPORT[$proxy]}"
done
certificates=/run/ca-bundle.pem
# A secret that an engine gives from nothing is an empty file: then the root's own certificates count.
if [[ -s $certificates ]]; then
    export SSL_CERT_FILE=$certificates PIP_CERT=$certificates REQUESTS_CA_BUNDLE=$certificates
fi
exec "$@"
