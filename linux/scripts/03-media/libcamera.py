#!/usr/bin/env python3
"""libcamera with its image processing modules and its GStreamer plugin.

    libcamera.py ARCH VERSION PROVIDER
"""

import sys

from component import Component
from stage_media import stage

COMPONENT = Component(
    name="libcamera",
    prefix="/opt/libcamera",
    packages=("libcamera0.4", "libcamera-ipa", "libcamera-dev", "gstreamer1.0-libcamera"),
    version="libcamera-dev",
    promises=(
        "lib/libcamera.so",
        "lib/libcamera/ipa_vimc.so",
        "lib/gstreamer-1.0/libgstlibcamera.so",
        "include/libcamera/libcamera/libcamera.h",
    ),
    modules=("libcamera",),
    below=("gstreamer",),
)

if __name__ == "__main__":
    stage(COMPONENT, *sys.argv[1:])
