"""OCI image layouts on disk (OCI image specification, "image-layout"): write one, take from one, check one."""

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
        "config": put(layout, image, CONFIG),
        "layers": [{"mediaType": LAYER, "digest": digest, "size": size}],
    }
    write_index(layout, put(layout, manifest, MANIFEST))


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
    found = _platform(image)
    if found != platform:
        raise UserError(
            "layout-platform",
            f"'{layout}' is an image for {found}, not for {platform}",
            hint="name another ROOT_IMAGE",
        )
    os.makedirs(os.path.join(target, "blobs", "sha256"))
    for blob in (chosen, manifest["config"], *manifest["layers"]):
        shutil.copyfile(_checked(layout, blob["digest"]), blob_path(target, blob["digest"]))
    write_index(target, _descriptor(chosen))


def normalise(layout: str, image_id: str) -> None:
    """Give the layout that an engine wrote of one image the form that the image alone decides.

    An engine puts the store's names and digests into annotations. Raises ``UserError``: layout-broken, and image-unexpected
    when it is not the image of this id.
    """
    manifest = image_manifest(layout)
    found = manifest["config"]["digest"]
    if found != image_id:
        raise UserError(
            "image-unexpected",
            f"the engine saved image {found[7:19]} instead of {image_id[7:19]}",
            hint="the store may be damaged; remove the image and build again",
        )
    kept = [_descriptor(blob) for blob in (manifest["config"], *manifest["layers"])]
    plain = {"schemaVersion": 2, "mediaType": MANIFEST, "config": kept[0], "layers": kept[1:]}
    entry = put(layout, plain, MANIFEST)
    for name in set(blob_names(layout)) - {blob["digest"][7:] for blob in (entry, *kept)}:
        os.unlink(blob_path(layout, f"sha256:{name}"))
    write_index(layout, entry)


def image_manifest(layout: str) -> Any:
    """The manifest of the one image of a layout; ``UserError`` code layout-broken when there is not exactly one."""
    entry = only_entry(layout)
    return _load(layout, _checked(layout, entry["digest"]))


def only_entry(layout: str) -> Any:
    """The descriptor that is the one entry of a layout; ``UserError`` code layout-broken."""
    entries = _load(layout, os.path.join(layout, "index.json"))["manifests"]
    if len(entries) != 1:
        raise UserError("layout-broken", f"'{layout}' holds {len(entries)} images instead of one", hint=_BROKEN)
    return entries[0]


def blob_names(layout: str) -> list[str]:
    """The blobs that lie in a layout, as 64 hexadecimal digits each, sorted; none where there is no such folder."""
    try:
        return sorted(os.listdir(os.path.join(layout, "blobs", "sha256")))
    except OSError:
        return []


def platform(layout: str, manifest: Mapping[str, Any]) -> dict[str, str]:
    """The platform of an image, as an index says it: os, architecture and, where the image has one, variant."""
    config = _load(layout, _checked(layout, manifest["config"]["digest"]))
    return {key: config[key] for key in ("os", "architecture", "variant") if config.get(key)}


def config_for(layout: str, platform: str) -> tuple[Any, list[str]]:
    """The config of the image that a layout's one entry has for a platform, None when it has none; and all it has.

    Raises ``UserError`` code layout-broken.
    """
    try:
        entry = only_entry(layout)
        offered = {"": entry}
        if entry.get("mediaType") == INDEX:
            inner = _load(layout, _checked(layout, entry["digest"]))["manifests"]
            offered = {_platform(each.get("platform") or {}): each for each in inner}
            if platform not in offered:
                return None, sorted(offered)
        manifest = _load(layout, _checked(layout, offered.get(platform, entry)["digest"]))
        config = _load(layout, _checked(layout, manifest["config"]["digest"]))
        return (config if _platform(config) == platform else None), [_platform(config)]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError("layout-broken", f"'{layout}' is no OCI layout ({error!r})", hint=_BROKEN) from error


def _platform(said: Mapping[str, Any]) -> str:
    return f"{said.get('os')}/{said.get('architecture')}"


def relabel(layout: str, labels: Mapping[str, str], variables: Mapping[str, str]) -> None:
    """Give the one image of a layout more labels and variables of the environment; its layers stay as they are."""
    manifest = image_manifest(layout)
    image = _load(layout, _checked(layout, manifest["config"]["digest"]))
    config = image.setdefault("config", {})
    config["Labels"] = {**(config.get("Labels") or {}), **labels}
    known = dict(text.partition("=")[::2] for text in config.get("Env") or ())
    config["Env"] = [f"{name}={value}" for name, value in {**known, **variables}.items()]
    write_index(layout, put(layout, {**manifest, "config": put(layout, image, CONFIG)}, manifest.get("mediaType", MANIFEST)))


def problem(layout: str) -> str:
    """What is wrong with the blobs of a layout, all read and hashed; empty when nothing is."""
    try:
        pending = list(_load(layout, os.path.join(layout, "index.json"))["manifests"])
        seen = set()
        while pending:
            blob = pending.pop()
            path = _checked(layout, blob["digest"])
            if os.path.getsize(path) != blob["size"]:
                return f"the blob {blob['digest']} is {os.path.getsize(path)} bytes long, not {blob['size']}"
            seen.add(blob["digest"][7:])
            if blob["mediaType"] in (INDEX, MANIFEST):
                inner = _load(layout, path)
                pending += inner["manifests"] if blob["mediaType"] == INDEX else [inner["config"], *inner["layers"]]
    except UserError as error:
        return error.message
    except (KeyError, TypeError, AttributeError) as error:
        return f"'{layout}' is no OCI layout ({error!r})"
    more = sorted(set(blob_names(layout)) - seen)
    return f"the blob sha256:{more[0]} belongs to no image" if more else ""


def _descriptor(blob: Mapping[str, Any]) -> dict[str, Any]:
    return {key: blob[key] for key in ("mediaType", "digest", "size")}


def _choose(layout: str, entry: Mapping[str, Any], platform: str) -> Mapping[str, Any]:
    """The entry of an image manifest for a platform, out of an index where there is one."""
    if entry.get("mediaType") != INDEX:
        return entry
    for inner in _load(layout, _checked(layout, entry["digest"]))["manifests"]:
        said = inner.get("platform", {})
        if _platform(said) == platform:
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


def put(layout: str, value: object, kind: str) -> dict[str, Any]:
    """Write JSON in its one form as a blob; returns its descriptor."""
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    with open(blob_path(layout, digest), "wb") as stream:
        stream.write(data)
    return {"mediaType": kind, "digest": digest, "size": len(data)}


def write_index(layout: str, manifest: Mapping[str, object]) -> None:
    """Write what makes a directory with blobs a layout, with this one entry."""
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}
    for name, value in (("index.json", index), ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
        with open(os.path.join(layout, name), "w", encoding="utf-8") as stream:
            json.dump(value, stream, sort_keys=True)
