#!/usr/bin/env bash
# Status 0 when ONNX Runtime can be used. A runner calls it; the image's own HEALTHCHECK would be lost in an OCI image.
set -Eeuo pipefail

exec /usr/local/bin/entrypoint.sh python3 -B -c '
import onnxruntime
if "CPUExecutionProvider" not in onnxruntime.get_available_providers():
    raise SystemExit("error: ONNX Runtime cannot compute on the CPU")
'
