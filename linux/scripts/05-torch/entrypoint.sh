#!/usr/bin/env bash
# Runs a command with what the image's prefixes need in its environment. A runner that keeps the image's configuration has
# told all of it already; an exported root file system has lost that configuration.
set -Eeuo pipefail

# Without PATH in the environment the shell takes one of its own, with the current folder in it, and does not export it.
[[ ${PATH@a} == *x* ]] || PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
for prefix in /opt/ffmpeg /opt/gstreamer /opt/venv; do
    [[ ! -d $prefix/bin || :$PATH: == *":$prefix/bin:"* ]] || PATH=$prefix/bin:$PATH
done
export PATH

# Gives the variable $1 the value $2, unless it has one or there is nothing at that path.
offer() {
    [[ -n ${!1:-} || ! -e ${2%%:*} ]] || export "$1=$2"
}
offer GST_PLUGIN_SYSTEM_PATH_1_0 /opt/gstreamer/lib/gstreamer-1.0:/opt/libcamera/lib/gstreamer-1.0
offer GST_PLUGIN_SCANNER_1_0 /opt/gstreamer/lib/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner
offer LIBCAMERA_IPA_MODULE_PATH /opt/libcamera/lib/libcamera
offer LIBCAMERA_IPA_PROXY_PATH /opt/libcamera/libexec/libcamera
offer LIBCAMERA_IPA_CONFIG_PATH /opt/libcamera/share/libcamera/ipa

exec "$@"
