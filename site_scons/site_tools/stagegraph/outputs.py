"""What leaves the store, exports, layouts and manifests: the questions that each kind answers in its own way."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from . import exports
from .model import Node
from .records import Record

if TYPE_CHECKING:
    from .plan import Decision

# What lies in layouts is late: a project without any asks only for exports.


def directory(node: Node) -> str:
    """What the user names and gets: the directory of a layout, the rootfs/ of an export."""
    if node.kind == "rootfs":
        return os.path.join(os.path.dirname(node.record), exports.ROOTFS)
    from . import layouts

    return layouts.directory_of(node.record)


def damage(path: str, node: Node, record: Record, *, deep: bool) -> str:
    """Why an output cannot be what was made, empty when nothing speaks against it; ``path`` is that of its record."""
    if node.kind == "rootfs":
        return exports.damage(os.path.dirname(path), record, deep=deep)
    from . import layouts, manifest

    if node.kind == "layout":
        return layouts.damage(path, record, deep=deep)
    return manifest.damage(path, node, record, deep=deep)


def check_removable(path: str, node: Node) -> None:
    """Raise ``UserError`` (tree-mounted) when an output cannot be taken away now."""
    if node.kind == "rootfs":
        return exports.check_removable(os.path.dirname(path))
    from . import layouts

    layouts.check_removable(path)


def remove(path: str, node: Node) -> bool:
    """Take an output away for ``scons -c``; whether there was one of ours. Raises ``UserError`` (tree-mounted)."""
    if node.kind == "rootfs":
        return exports.remove(os.path.dirname(path))
    from . import layouts, manifest

    return layouts.remove(path, *([manifest.env_file(path)] if node.kind == "manifest" else []))


def sayings(decisions: Mapping[str, Decision]) -> list[str]:
    """What is said at the end about the manifests that stand."""
    lines: list[str] = []
    for decision in decisions.values():
        if decision.node.kind == "manifest" and decision.state == "up to date" and decision.record is not None:
            from . import manifest

            images = {name: other.record for name, other in decisions.items()}
            lines += manifest.sayings(decision.node, decision.record, images.get)
    return lines


def shown(node: Node) -> str:
    """What is done for an output, for the dry run."""
    images = ", ".join(node.members.values()) or node.parents[0].node
    if node.kind == "rootfs":
        return f"exports the root file system of {images} to {os.path.dirname(node.record)}"
    if node.kind == "layout":
        return f"saves the image of {images} as the OCI layout {directory(node)}"
    return f"puts together the index over the images of {images} in the OCI layout {directory(node)}"
