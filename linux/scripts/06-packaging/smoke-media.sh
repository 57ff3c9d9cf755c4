#!/usr/bin/env bash
# smoke-media.sh ARCH: what the media prefixes hold runs on the target, and programs are built against it there.
set -Eeuo pipefail

arch=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GST_REGISTRY_1_0=$work/registry

mapfile -t absent < <(grep -l '^PROVIDER=absent$' /opt/media/*/component.env)
for record in "${absent[@]}"; do
    prefix=$(sed -n 's/^PREFIX=//p' "$record")
    if [[ -e $prefix ]]; then
        printf 'error: %s says absent, but %s is there\n' "$record" "$prefix" >&2
        exit 1
    fi
    echo "$prefix: absent"
done

python3 -B /run/closure.py "$arch" /usr/local/lib/onnxruntime-cpu /opt/ffmpeg /opt/gstreamer /opt/libcamera \
    /opt/vulkan /usr/local/llvm-target

# A film of a tenth of a second: encoded, decoded, and played through GStreamer.
ffmpeg -v error -f lavfi -i testsrc=duration=0.1:size=64x48:rate=30 -c:v mpeg4 -y "$work/film.mkv"
ffprobe -v error -show_entries stream=codec_name,width,height -of csv=p=0 "$work/film.mkv" | grep -Fx 'mpeg4,64,48'
gst-launch-1.0 -q filesrc location="$work/film.mkv" ! matroskademux ! avdec_mpeg4 ! videoconvert ! fakesink
gst-inspect-1.0 libcamerasrc | grep -F libcamera

# Programs are compiled, linked and run against the prefixes with the image's own compiler.
cat >"$work/media.c" <<'C'
#include <gst/gst.h>
#include <libavcodec/avcodec.h>
#include <stdio.h>
int main(int count, char **words) {
    gst_init(&count, &words);
    printf("%u %s\n", avcodec_version() >> 16, gst_element_factory_find("avdec_mpeg4") ? "found" : "lost");
}
C
# shellcheck disable=SC2046  # flags are words
cc "$work/media.c" -o "$work/media" $(pkg-config --cflags --libs gstreamer-1.0 libavcodec)
"$work/media" | grep -E '^[0-9]+ found$'

cat >"$work/onnx.cc" <<'CXX'
#include <absl/types/span.h>
#include <iostream>
#include <libcamera/libcamera.h>
#include <onnxruntime_cxx_api.h>
int main() {
    const int numbers[] = {1, 2};
    std::cout << Ort::GetVersionString() << " " << libcamera::CameraManager::version() << " "
              << absl::Span<const int>(numbers).size() << std::endl;
}
CXX
# shellcheck disable=SC2046
c++ "$work/onnx.cc" -o "$work/onnx" -isystem /usr/local/include $(pkg-config --cflags --libs libonnxruntime libcamera)
"$work/onnx"

# Shaders, and the loader behind them.
printf '#version 450\nvoid main() {}\n' >"$work/empty.vert"
glslang -V "$work/empty.vert" -o "$work/empty.spv"
