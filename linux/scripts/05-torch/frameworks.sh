#!/usr/bin/env bash
# frameworks.sh ONNXRUNTIME_VERSION PYTORCH_EXTRA PYTORCH_VERSION: the frameworks that are the distribution's packages, in
# the versions that are advertised.
set -Eeuo pipefail

onnxruntime=$1 extra=$2 pytorch=$3
packages=(python3-onnxruntime)
case $extra in
    distro) packages+=(python3-torch) ;;
    none) ;;
    *)
        printf "error: PYTORCH_EXTRA='%s' is no choice\nhint: distro or none\n" "$extra" >&2
        exit 1
        ;;
esac
/run/apt.sh install "${packages[@]}"

# Stops unless the upstream part of the version of package $1 is that of $3, the value of the variable $2.
require_upstream() {
    local version upstream
    # shellcheck disable=SC2016  # dpkg-query's own variable
    version=$(dpkg-query --show --showformat '${Version}' "$1")
    upstream=${version#*:}
    upstream=${upstream%%[-~+]*}
    if [[ $upstream != "${3#v}" ]]; then
        printf "error: %s=%s, but the distribution's %s is %s\n" "$2" "$3" "$1" "$version" >&2
        printf 'hint: set %s=v%s in the profile\n' "$2" "$upstream" >&2
        exit 1
    fi
    echo "$1 is $version"
}
require_upstream python3-onnxruntime ONNXRUNTIME_VERSION "$onnxruntime"
[[ $extra == none ]] || require_upstream python3-torch PYTORCH_VERSION "$pytorch"
