#!/usr/bin/env python3
"""ONNX Runtime, which runs models: its C and C++ library for the processor.

    onnxruntime.py ARCH VERSION PROVIDER
"""

import sys

from component import Component
from stage_media import stage

COMPONENT = Component(
    name="onnxruntime",
    prefix="/usr/local/lib/onnxruntime-cpu",
    packages=("libonnxruntime{series}", "libonnxruntime-dev"),
    version="libonnxruntime-dev",
    promises=("lib/libonnxruntime.so", "include/onnxruntime/onnxruntime_c_api.h"),
    modules=("libonnxruntime",),
)

if __name__ == "__main__":
    stage(COMPONENT, *sys.argv[1:])
