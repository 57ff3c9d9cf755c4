#!/usr/bin/env python3
"""FFmpeg: programs, libraries, headers.

    ffmpeg.py ARCH VERSION PROVIDER
"""

import sys

from component import Component
from stage_media import stage

#: Library → number of its ABI in FFmpeg 7.
LIBRARIES = {
    "avcodec": 61,
    "avdevice": 61,
    "avfilter": 10,
    "avformat": 61,
    "avutil": 59,
    "postproc": 58,
    "swresample": 5,
    "swscale": 8,
}

COMPONENT = Component(
    name="ffmpeg",
    prefix="/opt/ffmpeg",
    packages=("ffmpeg", *(f"lib{name}{number}" for name, number in LIBRARIES.items()), *(f"lib{name}-dev" for name in LIBRARIES)),
    version="ffmpeg",
    promises=("bin/ffmpeg", "bin/ffprobe", "lib/libavcodec.so", "include/libavcodec/avcodec.h"),
    modules=tuple(f"lib{name}" for name in LIBRARIES),
    left_out=("bin/ffplay", "bin/qt-faststart", "share/ffmpeg/examples"),
)

if __name__ == "__main__":
    stage(COMPONENT, *sys.argv[1:])
