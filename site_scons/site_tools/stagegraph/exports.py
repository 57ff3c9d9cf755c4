"""Exported root file systems: image → rootfs/ and artifact.env, and whether they still stand.

``<directory>/rootfs`` is the tree, ``artifact.env`` says what it is, ``.export.json`` is its record and
``.rootfs.list`` the listing that ``--verify`` compares the tree with. The order of writing makes a kill harmless: the
tree comes by rename, then the listing, then artifact.env, and last the record.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from . import artifact, records
from .errors import UserError
from .model import Node
from .records import Record

if TYPE_CHECKING:
    from .engines.base import Engine

ROOTFS = "rootfs"
ENV_FILE = "artifact.env"
LISTING = ".rootfs.list"
RECORD = ".export.json"


def env_values(node: Node, record: Record, image: Record) -> dict[str, str]:
    """What the artifact.env of an export says, the specification's keys first."""
    return {
        **node.env,
        "SOURCE_DIGEST": image.image_id,
        "CONTENT_ID": record.content_id,
        "SIGNATURE": image.signature,
        "PROFILE": node.profile,
        "ROOTFS_SHA256": str(record.extra["sha256"]),
        "ROOTFS_FILES": str(record.extra["files"]),
        "ROOTFS_BYTES": str(record.size),
    }


def outdated(directory: str, node: Node, record: Record, image: Record) -> str:
    """Why artifact.env has to be written again although the tree is right, empty when it need not be."""
    wanted = env_values(node, record, image)
    try:
        found = artifact.read(os.path.join(directory, ENV_FILE))
    except UserError:
        return f"{ENV_FILE} is not what was written"
    if found == wanted:
        return ""
    names = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
    return f"{ENV_FILE} has to say something else of {', '.join(names)}"


def damage(directory: str, record: Record, *, deep: bool) -> str:
    """Why the tree cannot be the one that was exported, empty when nothing speaks against it.

    Without ``deep`` only presence and the names at the top of the tree are looked at.
    """
    tree = os.path.join(directory, ROOTFS)
    if not os.path.isdir(tree) or os.path.islink(tree):
        return f"{ROOTFS}/ is not there"
    if not os.path.isfile(os.path.join(directory, ENV_FILE)):
        return f"{ENV_FILE} is not there"
    if top_names(tree) != record.extra.get("top"):
        return f"the top of {ROOTFS}/ is not what was exported"
    return _deep_damage(directory, tree, record) if deep else ""


def top_names(tree: str) -> list[str]:
    """The names at the top of a tree, sorted: the mark that a no-op looks at."""
    return sorted(os.listdir(tree))


def _deep_damage(directory: str, tree: str, record: Record) -> str:
    from . import rootfs
    from . import tree as listings

    listing = os.path.join(directory, LISTING)
    try:
        if listings.digest(listings.load(listing)) != record.extra.get("sha256"):
            return f"the listing of {ROOTFS}/ is not the one that was written with it"
    except OSError:
        return f"the listing of {ROOTFS}/ is gone"
    different = rootfs.verify(tree, listing)
    if not different:
        return ""
    more = f" and {len(different) - 3} more" if len(different) > 3 else ""
    return f"{ROOTFS}/ is not what was exported: {'; '.join(different[:3])}{more}"


@contextmanager
def place(directory: str) -> Iterator[None]:
    """The lock of an export's directory: held from the unpacking until the record is written, and for every change.

    What a killed run left there half written is removed. Raises ``UserError`` code tree-foreign.
    """
    from . import rootfs

    with rootfs.alone(os.path.join(directory, ROOTFS), _described_by(directory)):
        records.remove_halves(*(os.path.join(directory, name) for name in (ENV_FILE, RECORD)))
        yield


def export(engine: Engine, image_id: str, run: str, directory: str) -> tuple[int, dict[str, object]]:
    """Export an image's root file system into ``directory``, whose ``place`` the caller holds.

    Returns its size in bytes and the record's extras.
    """
    from . import rootfs

    tree = os.path.join(directory, ROOTFS)
    summary = rootfs.export(
        engine.rootfs(image_id, run),
        tree,
        listing=os.path.join(directory, LISTING),
        retire=[path for path in _described_by(directory) if not path.endswith(LISTING)],
    )
    return summary.bytes, {"sha256": summary.sha256, "files": summary.files, "top": top_names(tree)}


def check_removable(directory: str) -> None:
    """Raise ``UserError`` (tree-mounted) when an export cannot be taken away now."""
    from . import mounts

    mounts.refuse(os.path.join(directory, ROOTFS))


def remove(directory: str) -> bool:
    """Take an export away for ``scons -c``; whether there was one of ours. Raises ``UserError`` (tree-mounted)."""
    from . import rootfs

    tree = os.path.join(directory, ROOTFS)
    there = [path for path in _described_by(directory) if os.path.lexists(path)]
    if not there:
        return False
    with place(directory):
        rootfs.remove_with(tree, there)
    return True


def _described_by(directory: str) -> list[str]:
    return [os.path.join(directory, name) for name in (RECORD, ENV_FILE, LISTING)]


def write_env(directory: str, node: Node, record: Record, image: Record) -> None:
    """Write artifact.env anew."""
    artifact.write(os.path.join(directory, ENV_FILE), env_values(node, record, image))
