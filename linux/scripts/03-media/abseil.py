#!/usr/bin/env python3
"""Abseil's headers, which the headers of LiteRT and of libcamera's users include (fix 2).

    abseil.py ARCH VERSION PROVIDER
"""

import sys

from component import Component
from stage_media import stage

COMPONENT = Component(
    name="abseil",
    prefix="/usr/local/include/absl",
    packages=("libabsl-dev",),
    version="libabsl-dev",
    promises=("types/span.h",),
    headers=True,
)

if __name__ == "__main__":
    stage(COMPONENT, *sys.argv[1:])
