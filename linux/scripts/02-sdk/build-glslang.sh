#!/usr/bin/env bash
# glslang, the shader compiler, with the optimizer of the SPIRV-Tools built before.
set -Eeuo pipefail
/run/build-component.sh glslang -DALLOW_EXTERNAL_SPIRV_TOOLS=ON -DENABLE_OPT=ON -DGLSLANG_TESTS=OFF \
    -DBUILD_EXTERNAL=OFF -DBUILD_SHARED_LIBS=OFF
