#!/usr/bin/env bash
# payload.sh ANDROID_PAYLOAD: the Android SDK and NDK, or the word that this image is without them.
set -Eeuo pipefail

mkdir -p /opt/android
case $1 in
    off)
        echo 'ANDROID_PAYLOAD=off' >/opt/android/.android-payload-off
        echo 'the Android payload is off: /opt/android holds its marker alone'
        ;;
    on)
        # Its licence has to be accepted by who builds, and no digest of its archives is pinned here yet.
        printf 'error: ANDROID_PAYLOAD=on is not built yet\nhint: leave ANDROID_PAYLOAD=off\n' >&2
        exit 1
        ;;
    *)
        printf "error: ANDROID_PAYLOAD='%s'\nhint: on or off\n" "$1" >&2
        exit 1
        ;;
esac
