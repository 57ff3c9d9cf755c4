#!/usr/bin/env bash
# Package sources for one apt call, derived from the root's own sources and the mirror settings.
#
# Sourced, after transport.sh. The root's configuration is only read: a mirror must never stay in an image,
# or two mirrors would give two results.

# Prints the root's package sources, one "URI|SUITE|COMPONENTS|SIGNED-BY" a line. Reads both formats of
# sources.list(5); what it does not know it refuses. In awk: the first root has no Python yet.
apt_sources_of_root() {
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [[ -f $file ]] || continue
        awk -v file="$file" '
            function refuse() { print "error: " file ": cannot read: " $0 > "/dev/stderr"; exit 1 }
            /^[ \t]*(#|$)/ || $1 == "deb-src" { next }
            $1 != "deb" { refuse() }
            {
                signed = ""; field = 2
                if ($2 ~ /^\[/) {
                    do {
                        if (field > NF) refuse()
                        option = $field; gsub(/[][]/, "", option)
                        if (option ~ /^signed-by=/) signed = substr(option, 11)
                    } while ($(field++) !~ /\]$/)
                }
                if (field + 1 > NF) refuse()
                components = ""
                for (i = field + 2; i <= NF; i++) components = components (i > field + 2 ? " " : "") $i
                print $field "|" $(field + 1) "|" components "|" signed
            }' "$file"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [[ -f $file ]] || continue
        awk -v file="$file" -v RS='' -v FS='\n' '
            function refuse(what) { print "error: " file ": cannot read " what > "/dev/stderr"; exit 1 }
            {
                split("", value); lines = 0
                for (i = 1; i <= NF; i++) {
                    if ($i ~ /^#/) continue
                    if ($i ~ /^[ \t]/) refuse("a continued line")
                    if ($i !~ /^[^ \t:]+:/) refuse("this line: " $i)
                    key = tolower($i); sub(/:.*/, "", key)
                    text = $i; sub(/^[^:]*:[ \t]*/, "", text); sub(/[ \t]+$/, "", text)
                    value[key] = text; lines++
                }
                if (lines == 0) next
                if (value["types"] == "") refuse("a stanza without Types")
                if (value["uris"] == "") refuse("a stanza without URIs")
                if (value["suites"] == "") refuse("a stanza without Suites")
                if (tolower(value["enabled"]) ~ /^(no|false|without|off|disable|0)$/) next
                if (" " value["types"] " " !~ /[ \t]deb[ \t]/) next
                uris = split(value["uris"], uri, /[ \t]+/); suites = split(value["suites"], suite, /[ \t]+/)
                for (u = 1; u <= uris; u++) for (s = 1; s <= suites; s++)
                    print uri[u] "|" suite[s] "|" value["components"] "|" value["signed-by"]
            }' "$file"
    done
}

# Prints the mirror for packages of architecture $1 in place of $2, the root's own URI of suite $3.
apt_mirror_for() {
    local arch=$1 uri=$2 suite=$3
    # Debian serves security updates from an archive of its own, which an ordinary mirror does not hold.
    if [[ $DISTRIBUTION == debian && $suite == *-security ]]; then
        printf '%s\n' "$uri"
    # Ubuntu keeps the other architectures in the ports archive, which a mirror of the main archive does not hold.
    elif [[ $DISTRIBUTION == ubuntu && $arch != amd64 && $arch != source &&
        -n ${TRANSPORT[FAST_UBUNTU_PORTS_MIRROR_URL]:-} ]]; then
        printf '%s\n' "${TRANSPORT[FAST_UBUNTU_PORTS_MIRROR_URL]}"
    elif [[ -n ${TRANSPORT[APT_MIRROR_URL]:-} ]]; then
        printf '%s\n' "${TRANSPORT[APT_MIRROR_URL]}"
    elif [[ $DISTRIBUTION != ubuntu ]]; then
        printf '%s\n' "$uri"
    elif [[ ${TRANSPORT[USE_FAST_UBUNTU_MIRROR]:-false} == true ]]; then
        printf '%s\n' "${TRANSPORT[FAST_UBUNTU_MIRROR_URL]}"
    else
        printf '%s\n' "$uri"
    fi
}

# Stops when the mirror settings do not fit the root or the architecture $1.
apt_check_mirror_settings() {
    local arch=$1
    case ${TRANSPORT[USE_FAST_UBUNTU_MIRROR]:-false} in
        true)
            [[ $DISTRIBUTION == ubuntu ]] ||
                die "USE_FAST_UBUNTU_MIRROR=true, but the root is $DISTRIBUTION" \
                    "set APT_MIRROR_URL: it works for every distribution"
            [[ -n ${TRANSPORT[FAST_UBUNTU_MIRROR_URL]:-} ]] ||
                die "USE_FAST_UBUNTU_MIRROR=true, but FAST_UBUNTU_MIRROR_URL is not set" \
                    "set FAST_UBUNTU_MIRROR_URL to the mirror's address"
            ;;
        false) ;;
        *)
            die "USE_FAST_UBUNTU_MIRROR='${TRANSPORT[USE_FAST_UBUNTU_MIRROR]}' is neither true nor false" \
                "set it to true or false"
            ;;
    esac
    if [[ $DISTRIBUTION == ubuntu && $arch != amd64 && $arch != source && -z ${TRANSPORT[APT_MIRROR_URL]:-} &&
        -z ${TRANSPORT[FAST_UBUNTU_PORTS_MIRROR_URL]:-} ]]; then
        die "packages of $arch on an Ubuntu root need a ports mirror" "set FAST_UBUNTU_PORTS_MIRROR_URL"
    fi
}

# Writes to file $2 the sources that give packages of architecture $1 ("source": source packages).
apt_write_sources() {
    local arch=$1 file=$2 uri suite components signed mirror type=deb options
    [[ $arch != source ]] || type=deb-src
    apt_sources_of_root >"$file.root"
    [[ -s $file.root ]] || die "the root names no package source" "put one into its /etc/apt/sources.list"
    while IFS='|' read -r uri suite components signed; do
        mirror=$(apt_mirror_for "$arch" "$uri" "$suite")
        options=${signed:+signed-by=$signed}
        [[ $type == deb-src ]] || options="arch=$arch${options:+ $options}"
        printf '%s %s%s %s %s\n' "$type" "${options:+[$options] }" "$mirror" "$suite" "$components"
    done <"$file.root" >"$file"
}
