#!/usr/bin/env bash
# Transport settings: how bytes arrive and how fast, never what the result is.
#
# Sourced. After `transport_load` the associative array TRANSPORT holds the settings. They come from the
# transport file (lines KEY=value, read as text and never run) and, for a build driven by hand, from build
# arguments of the same names. The file wins. A key that is absent everywhere means: use the default.

TRANSPORT_FILE=${TRANSPORT_FILE:-/run/transport}
TRANSPORT_KEYS=(APT_MIRROR_URL USE_FAST_UBUNTU_MIRROR FAST_UBUNTU_MIRROR_URL FAST_UBUNTU_PORTS_MIRROR_URL
    JOBS MEMORY_MB http_proxy https_proxy no_proxy)
declare -A TRANSPORT=()

die() {
    printf 'error: %s\n' "$1" >&2
    [[ $# -lt 2 ]] || printf 'hint: %s\n' "$2" >&2
    exit 1
}

transport_load() {
    local key line number=0
    for key in "${TRANSPORT_KEYS[@]}"; do
        [[ -z ${!key:-} ]] || TRANSPORT[$key]=${!key}
    done
    if [[ -e $TRANSPORT_FILE ]]; then
        while IFS= read -r line || [[ -n $line ]]; do
            number=$((number + 1))
            [[ -n $line ]] || continue
            [[ $line == *=* ]] || die "transport file, line $number is not KEY=value" "remove the line"
            key=${line%%=*}
            [[ $key != *' '* && " ${TRANSPORT_KEYS[*]} " == *" $key "* ]] ||
                die "transport file, line $number: '$key' is not a transport setting" \
                    "known are: ${TRANSPORT_KEYS[*]}"
            TRANSPORT[$key]=${line#*=}
        done <"$TRANSPORT_FILE"
    fi
    for key in JOBS MEMORY_MB; do
        [[ ${TRANSPORT[$key]:-1} =~ ^[1-9][0-9]*$ ]] ||
            die "$key='${TRANSPORT[$key]}' is not a positive number" "give a whole number, for example $key=4"
    done
}

# Prints how many compile jobs may run: JOBS, capped so that each has $1 megabytes of MEMORY_MB.
transport_jobs() {
    local per_job_mb=$1 jobs memory_jobs
    jobs=${TRANSPORT[JOBS]:-$(nproc)}
    if [[ -n ${TRANSPORT[MEMORY_MB]:-} ]]; then
        memory_jobs=$((TRANSPORT[MEMORY_MB] / per_job_mb))
        ((memory_jobs >= 1)) || memory_jobs=1
        ((jobs <= memory_jobs)) || jobs=$memory_jobs
    fi
    printf '%s\n' "$jobs"
}
