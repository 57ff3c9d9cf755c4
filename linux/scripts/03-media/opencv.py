#!/usr/bin/env python3
"""OpenCV 5.

    opencv.py ARCH VERSION PROVIDER
"""

import sys

from component import Component
from stage_media import stage

COMPONENT = Component(name="opencv", prefix="/opt/opencv5")

if __name__ == "__main__":
    stage(COMPONENT, *sys.argv[1:])
