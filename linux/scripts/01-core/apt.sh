#!/usr/bin/env bash
# apt without litter: package lists, caches, logs and mirrors live in a temporary folder and leave with it.
#
#   apt.sh install PACKAGE…               installs packages of the root's own architecture
#   apt.sh download ARCH DIR PACKAGE…     puts the verified .deb files of ARCH into DIR
#   apt.sh source DIR PACKAGE…            puts the verified upstream tarballs of source packages into DIR
set -Eeuo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=linux/scripts/01-core/transport.sh
source "$here/transport.sh"
# shellcheck source=linux/scripts/01-core/apt-sources.sh
source "$here/apt-sources.sh"

# Everything the maintainer scripts and apt leave behind that differs from run to run or serves nobody.
remove_litter() {
    rm -rf /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/apt/*.bin \
        /var/log/alternatives.log /var/log/dpkg.log /var/log/bootstrap.log /var/log/apt \
        /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid-
    # An image is no machine yet: whoever boots it gets an id of its own (machine-id(5)).
    rm -f /var/lib/dbus/machine-id
    [[ ! -e /etc/machine-id ]] || : >/etc/machine-id
}

apt_prepare() {
    local arch=$1
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    chmod 755 "$work" # apt fetches as its own user
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/log"
    apt_check_mirror_settings "$arch"
    apt_write_sources "$arch" "$work/sources.list"
    options=(-qq
        -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=-
        -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o "Dir::Log=$work/log"
        -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Update::Error-Mode=any
        -o APT::Install-Recommends=false -o Dpkg::Use-Pty=false
        -o "DPkg::Options::=--log=$work/log/dpkg.log"
        -o DPkg::Options::=--force-unsafe-io # a build that is cut off is thrown away whole
        -o 'DPkg::Options::=--path-exclude=/usr/share/doc/*'
        -o 'DPkg::Options::=--path-include=/usr/share/doc/*/copyright'
        -o 'DPkg::Options::=--path-exclude=/usr/share/man/*'
        -o 'DPkg::Options::=--path-exclude=/usr/share/info/*'
        -o 'DPkg::Options::=--path-exclude=/usr/share/locale/*')
    [[ $arch == source ]] || options+=(-o "APT::Architectures::=$arch")
    local proxy
    for proxy in http_proxy https_proxy no_proxy; do
        [[ -z ${TRANSPORT[$proxy]:-} ]] || export "$proxy=${TRANSPORT[$proxy]}"
    done
    export DEBIAN_FRONTEND=noninteractive
    apt-get "${options[@]}" update
}

main() {
    (($# >= 1)) || die "apt.sh needs a command" "install, download or source"
    local command=$1 arch directory
    shift
    # shellcheck disable=SC1091
    DISTRIBUTION=$(. /etc/os-release && printf '%s' "$ID")
    transport_load
    case $command in
        install)
            apt_prepare "$(dpkg --print-architecture)"
            apt-get "${options[@]}" install --yes "$@"
            remove_litter
            ;;
        download)
            arch=$1 directory=$2
            shift 2
            apt_prepare "$arch"
            mkdir -p "$directory"
            (cd "$directory" && apt-get "${options[@]}" -o APT::Sandbox::User=root download "${@/%/:$arch}")
            ;;
        source)
            directory=$1
            shift
            apt_prepare source
            mkdir -p "$directory"
            (cd "$directory" && apt-get "${options[@]}" -o APT::Sandbox::User=root source --tar-only "$@")
            ;;
        *) die "apt.sh: unknown command '$command'" "install, download or source" ;;
    esac
}

main "$@"
