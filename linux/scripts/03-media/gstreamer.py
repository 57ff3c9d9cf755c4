#!/usr/bin/env python3
"""GStreamer with the plugins base, good and libav, and what a program against it is compiled with.

    gstreamer.py ARCH VERSION PROVIDER
"""

import sys

from component import Component
from stage_media import stage

COMPONENT = Component(
    name="gstreamer",
    prefix="/opt/gstreamer",
    packages=(
        "gstreamer1.0-tools",
        "libgstreamer1.0-0",
        "libgstreamer1.0-dev",
        "gstreamer1.0-plugins-base",
        "libgstreamer-plugins-base1.0-0",
        "libgstreamer-gl1.0-0",
        "libgstreamer-plugins-base1.0-dev",
        "gstreamer1.0-plugins-good",
        "gstreamer1.0-libav",
        # What a program against GStreamer is compiled and linked with as well.
        "libglib2.0-0t64",
        "libgio-2.0-dev",
    ),
    version="libgstreamer1.0-0",
    promises=(
        "bin/gst-launch-1.0",
        "bin/gst-inspect-1.0",
        "lib/libgstreamer-1.0.so",
        "lib/gstreamer-1.0/libgstcoreelements.so",
        "lib/gstreamer-1.0/libgstlibav.so",
        "lib/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner",
        "include/gstreamer-1.0/gst/gst.h",
    ),
    modules=("gstreamer-1.0", "gstreamer-base-1.0", "gstreamer-app-1.0", "gstreamer-video-1.0", "gstreamer-audio-1.0"),
    below=("ffmpeg",),
    left_out=("share/gdb", "share/glib-2.0", "share/gstreamer-1.0/gdb", "lib/glib-2.0/gobject-introspection", "share/gir-1.0"),
)

if __name__ == "__main__":
    stage(COMPONENT, *sys.argv[1:])
