#!/usr/bin/env bash
# smoke-torch.sh APP_VERSION APP_MODE ONNXRUNTIME_VERSION PYTORCH_EXTRA PYTORCH_VERSION: judges the final image as its user
# sees it. It has passed when this ends well; nothing is left in it.
set -Eeuo pipefail

entrypoint=/usr/local/bin/entrypoint.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

die() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

[[ $(id -un):$(id -u) == app:1001 ]] || die "the user is $(id -un) with the id $(id -u), expected app with 1001"
[[ $PWD == /workspace && -w $PWD && ! -w /opt/venv ]] || die "the user's rights in $PWD or /opt/venv are wrong"

# Without the image's configuration the entry point says the same as that configuration, where that says something.
env -i "$entrypoint" env >"$work/bare"
for name in GST_PLUGIN_SYSTEM_PATH_1_0 GST_PLUGIN_SCANNER_1_0 LIBCAMERA_IPA_{MODULE,PROXY,CONFIG}_PATH; do
    [[ -z ${!name:-} ]] || grep -Fqx "$name=${!name}" "$work/bare" ||
        die "$name is ${!name}, but the entry point alone says $(grep "^$name=" "$work/bare")"
done
grep -q '^PATH=/opt/venv/bin:' "$work/bare" || die "the entry point alone does not find /opt/venv"

"$entrypoint" python3 -B /run/check_runtime.py "$@"
"$entrypoint" python3 -B /run/check_app.py

"$entrypoint" edgeinfer sample "$work"
if ! "$entrypoint" edgeinfer run "$work/model.onnx" "$work/input.json" --output "$work/result.msgpack" \
    --report "$work/report.html" 2>"$work/said" || [[ -s $work/said ]]; then
    cat "$work/said" >&2
    die "a run of the sample model failed, or said the above on stderr"
fi
grep -F '<h2>output probabilities</h2>' "$work/report.html"
/usr/local/bin/healthcheck.sh
echo "the health check passes"
