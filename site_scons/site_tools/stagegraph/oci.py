"""OCI image layouts on disk (OCI image specification, "image-layout"): write one, check one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from typing import Any

from .errors import UserError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

_BROKEN = "make it again, for example by `buildah push IMAGE oci:DIR`"


def file_digest(path: str) -> str:
    """``sha256:<hex>`` of a file's bytes."""
    with open(path, "rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def blob_path(layout: str, digest: str) -> str:
    """Where a layout keeps a blob; ``UserError`` code layout-broken for what is no sha256 digest."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise UserError("layout-broken", f"'{layout}' names the digest '{digest}', which is not of sha256", hint=_BROKEN)
    return os.path.join(layout, "blobs", "sha256", digest[7:])


def write_layout(layout: str, layer: str, config: Mapping[str, object]) -> None:
    """Make the layout of an image with one uncompressed layer.

    The tar file ``layer`` is moved into the layout (both on one file system). ``config`` is the OCI image config; its
    ``rootfs`` is filled in here.
    """
    os.makedirs(os.path.join(layout, "blobs", "sha256"))
    digest, size = file_digest(layer), os.path.getsize(layer)
    os.rename(layer, blob_path(layout, digest))
    image = {**config, "rootfs": {"type": "layers", "diff_ids": [digest]}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _put(layout, image, CONFIG),
        "layers": [{"mediaType": LAYER, "digest": digest, "size": size}],
    }
    _write_index(layout, _put(layout, manifest, MANIFEST))


def take_image(layout: str, digest: str, platform: str, target: str) -> None:
    """Make ``target`` the layout of the one image that ``layout`` holds for a platform, checked byte by byte.

    ``digest`` is that of the layout's single entry, a manifest or an index of several platforms. Raises ``UserError``:
    layout-broken when a blob is missing or is not what its digest says, layout-changed when the entry has another digest,
    layout-platform when there is no image for ``platform``.
    """
    entries = _load(layout, os.path.join(layout, "index.json"))["manifests"]
    if [entry["digest"] for entry in entries] != [digest]:
        raise UserError(
            "layout-changed", f"'{layout}' no longer holds {digest} alone", hint="run the same command again"
        )
    chosen = _choose(layout, entries[0], platform)
    manifest = _load(layout, _checked(layout, chosen["digest"]))
    image = _load(layout, _checked(layout, manifest["config"]["digest"]))
    found = f"{image['os']}/{image['architecture']}"
    if found != platform:
        raise UserError(
            "layout-platform",
            f"'{layout}' is an image for {found}, not for {platform}",
            hint="name another ROOT_IMAGE",
        )
    os.makedirs(os.path.join(target, "blobs", "sha256"))
    for blob in (chosen, manifest["config"], *manifest["layers"]):
        shutil.copyfile(_checked(layout, blob["digest"]), blob_path(target, blob["digest"]))
    _write_index(target, {key: chosen[key] for key in ("mediaType", "digest", "size")})


def _choose(layout: str, entry: Mapping[str, Any], platform: str) -> Mapping[str, Any]:
    """The entry of an image manifest for a platform, out of an index where there is one."""
    if entry.get("mediaType") != INDEX:
        return entry
    for inner in _load(layout, _checked(layout, entry["digest"]))["manifests"]:
        said = inner.get("platform", {})
        if f"{said.get('os')}/{said.get('architecture')}" == platform:
            chosen: Mapping[str, Any] = inner
            return chosen
    raise UserError(
        "layout-platform", f"'{layout}' holds no image for {platform}", hint="name another ROOT_IMAGE"
    )


def _checked(layout: str, digest: str) -> str:
    """The path of a blob whose bytes are what its digest says."""
    path = blob_path(layout, digest)
    try:
        found = file_digest(path)
    except FileNotFoundError:
        raise UserError("layout-broken", f"'{layout}' lacks the blob {digest}", hint=_BROKEN) from None
    if found != digest:
        raise UserError("layout-broken", f"the blob {digest} of '{layout}' has the digest {found}", hint=_BROKEN)
    return path


def _load(layout: str, path: str) -> Any:
    try:
        with open(path, "rb") as stream:
            return json.load(stream)
    except (OSError, ValueError) as error:
        raise UserError("layout-broken", f"'{layout}' is no OCI layout ({error})", hint=_BROKEN) from error


def _put(layout: str, value: object, kind: str) -> dict[str, object]:
    """Write JSON in its one form as a blob; returns its descriptor."""
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    with open(blob_path(layout, digest), "wb") as stream:
        stream.write(data)
    return {"mediaType": kind, "digest": digest, "size": len(data)}


def _write_index(layout: str, manifest: Mapping[str, object]) -> None:
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}
    for name, value in (("index.json", index), ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
        with open(os.path.join(layout, name), "w", encoding="utf-8") as stream:
            json.dump(value, stream, sort_keys=True)
