"""OCI image layouts on disk, as the image-layout specification has them, with one image each."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def canonical(value: object) -> bytes:
    """JSON with one form for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sha256(data: bytes) -> str:
    """``sha256:<hex>`` of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_layout(
    directory: str,
    layers: Sequence[bytes],
    *,
    architecture: str = "amd64",
    config: Mapping[str, object] | None = None,
    created: str = "1970-01-01T00:00:00Z",
) -> str:
    """Write an image of uncompressed tar layers as an OCI layout; returns its id. The directory appears whole or not."""
    image = {
        "architecture": architecture,
        "config": dict(config or {}),
        "created": created,
        "history": [{"created": created} for _ in layers],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
    }
    fresh = f"{directory}.{os.getpid()}-{os.urandom(4).hex()}"
    os.makedirs(os.path.join(fresh, "blobs", "sha256"))

    def blob(data: bytes, kind: str) -> dict[str, object]:
        name = sha256(data)
        with open(os.path.join(fresh, "blobs", "sha256", name[7:]), "wb") as stream:
            stream.write(data)
        return {"mediaType": kind, "digest": name, "size": len(data)}

    described = blob(canonical(image), CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described,
        "layers": [blob(layer, LAYER) for layer in layers],
    }
    index = {"schemaVersion": 2, "manifests": [blob(canonical(manifest), MANIFEST)]}
    for name, value in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", index)):
        with open(os.path.join(fresh, name), "wb") as stream:
            stream.write(canonical(value))
    try:
        os.rename(fresh, directory)
    except OSError:
        if not os.path.isdir(directory):
            raise
        shutil.rmtree(fresh)
    return str(described["digest"])


def blob_path(directory: str, digest: str) -> str:
    """Where a layout keeps a blob."""
    return os.path.join(directory, "blobs", *digest.split(":", 1))


def read_manifest(directory: str) -> dict[str, object]:
    """The manifest of the single image of a layout."""
    with open(os.path.join(directory, "index.json"), "rb") as stream:
        (only,) = json.load(stream)["manifests"]
    with open(blob_path(directory, only["digest"]), "rb") as stream:
        manifest: dict[str, object] = json.load(stream)
    return manifest
