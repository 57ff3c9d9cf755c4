#!/usr/bin/env python3
"""LiteRT, which runs models of TensorFlow Lite.

    litert.py ARCH VERSION PROVIDER
"""

import sys

from component import Component
from stage_media import stage

COMPONENT = Component(name="litert", prefix="/usr/local/include/tflite")

if __name__ == "__main__":
    stage(COMPONENT, *sys.argv[1:])
