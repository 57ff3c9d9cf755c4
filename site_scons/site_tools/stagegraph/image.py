"""The content id of an image: whether two images are the same to a child.

The image id will not do: our own labels are in the config it is the digest of, so every new signature gives a new image
id even when not one byte of the file system changed. The content id is the hash of what a child can see: the layers
(uncompressed, so that another compression is no change), the platform, and the parts of the config that ``FROM`` inherits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from .errors import UserError
from .model import ImageConfig, Node

#: The keys of the OCI image config that a child inherits (OCI image specification, "config").
INHERITED = (
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Labels",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
)

#: Written by engines about themselves, or by us about the node.
_OWN_LABELS = ("io.buildah.version", "stagegraph.")


def content_id(image: ImageConfig) -> str:
    """The image's content id, ``sha256:<64 hex>``.

    An absent field, an empty one and its default (WorkingDir ``/``, variant ``v8`` of arm64) are the same. The order of
    layers, Env, Cmd and Entrypoint counts; that of labels, ports and volumes does not.
    """
    said = {
        "architecture": image.architecture,
        "config": _inherited(image.config),
        "diff_ids": list(image.diff_ids),
        "os": image.os,
        "variant": "" if (image.architecture, image.variant) == ("arm64", "v8") else image.variant,
    }
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()


def _inherited(config: Mapping[str, object]) -> dict[str, object]:
    inherited: dict[str, object] = {}
    for key in INHERITED:
        value = config.get(key)
        if key == "Labels" and isinstance(value, Mapping):
            value = {name: text for name, text in value.items() if not name.startswith(_OWN_LABELS)}
        elif key in ("ExposedPorts", "Volumes") and isinstance(value, Mapping):
            value = sorted(value)
        elif key == "WorkingDir" and value == "/":
            value = ""
        if value:
            inherited[key] = value
    return inherited


def check_platform(image: ImageConfig, node: Node, shown: str, hint: str) -> None:
    """Refuse an image for another platform than that of the node made of it; ``UserError`` parent-platform.

    Engines pull what a digest names and only warn when it is for another platform than the one they were told, and mark a
    child with the platform they are told, whatever its parent is (measured with buildah 1.28).
    """
    if image.platform != node.platform:
        said = f"{node.name} is built for {node.platform}, but {shown} is an image for {image.platform}"
        raise UserError("parent-platform", said, hint=hint)


def check_pulled(image: ImageConfig, node: Node, reference: str) -> None:
    """The same for an image that was asked for by its digest."""
    hint = f"give the digest of the image for {node.platform}; a step that needs another one has a platform of its own"
    check_platform(image, node, f"'{reference}'", hint)
