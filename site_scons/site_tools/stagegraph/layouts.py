"""Images as OCI layouts on disk: image → ``<name>/<arch>/``, and whether it still stands.

Beside the directory lies its record, ``<name>/.<arch>.json``: a strict reader of layouts refuses files it does not know.
The order of writing makes a kill harmless: a fresh directory is written and forced to disk, the record of the old one
removed, the directory put into place by one rename, and last the new record is written.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from . import oci, records
from .graph import gate_parent
from .model import Node, Parent
from .records import Record

if TYPE_CHECKING:
    from .engines.base import Engine


def layout_node(name: str, arch: str, image: Node, directory: str, gates: Sequence[Node] = ()) -> Node:
    """The node of an image saved as an OCI layout; the arguments are those of ``graph.export_node``."""
    return Node(
        name=name,
        stage=name,
        arch=arch,
        step="layout",
        kind="layout",
        platform=image.platform,
        record=record_of(directory),
        parents=(Parent("image", image.name, by_variable=False), *map(gate_parent, gates)),
        options={"layout": "1"},
        profile=image.profile,
    )


def record_of(directory: str) -> str:
    """Where the record of the layout in ``directory`` lies."""
    parent, name = os.path.split(directory)
    return os.path.join(parent, f".{name}.json")


def directory_of(record: str) -> str:
    """The directory of the layout whose record this is."""
    parent, name = os.path.split(record)
    return os.path.join(parent, name[1 : -len(".json")])


def damage(path: str, record: Record, *, deep: bool) -> str:
    """Why the layout cannot be the one that was written, empty when nothing speaks against it.

    path: that of the record. Without ``deep`` only its index and the names of its blobs are looked at.
    """
    directory = directory_of(path)
    name = os.path.basename(directory)
    if not os.path.isdir(directory) or os.path.islink(directory):
        return f"{name}/ is not there"
    for file in ("index.json", "oci-layout"):
        if not os.path.isfile(os.path.join(directory, file)):
            return f"{name}/{file} is not there"
    if oci.file_digest(os.path.join(directory, "index.json")) != record.extra.get("index"):
        return f"{name}/index.json is not what was written"
    if oci.blob_names(directory) != record.extra.get("blobs"):
        return f"the blobs of {name}/ are not those that were written"
    return oci.problem(directory) if deep else ""


@contextlib.contextmanager
def place(path: str, *described_by: str) -> Iterator[None]:
    """The lock of a layout's place: held from the saving until the record is written, and for every change.

    path: that of the record; described_by: more files that describe the layout. What a killed run left there is removed.
    Raises ``UserError`` code tree-foreign.
    """
    from . import rootfs

    with rootfs.alone(directory_of(path), (path, *described_by)):
        records.remove_halves(path, *described_by)
        yield


def save(engine: Engine, image_id: str, path: str) -> tuple[int, dict[str, object]]:
    """Save an image as the layout whose record is ``path`` and whose ``place`` the caller holds.

    Returns its size in bytes and the record's extras.
    """
    from . import rootfs

    directory = directory_of(path)
    fresh = rootfs.beside(directory, "new")
    try:
        engine.save(image_id, fresh)
        return put_in_place(fresh, path)
    finally:
        rootfs.sweep(directory)


def put_in_place(fresh: str, path: str, *described_by: str) -> tuple[int, dict[str, object]]:
    """Put a finished layout that lies beside into its place; the record and what else describes the old one go before.

    Returns its size in bytes and the record's extras. Raises ``UserError`` code tree-mounted.
    """
    from . import mounts, rootfs

    directory = directory_of(path)
    mounts.refuse(directory)
    _force_to_disk(fresh)
    for file in (path, *described_by):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file)
    rootfs.exchange(fresh, directory)
    _sync(os.path.dirname(directory))
    names = oci.blob_names(directory)
    size = sum(os.path.getsize(oci.blob_path(directory, f"sha256:{name}")) for name in names)
    entry = oci.only_entry(directory)
    index = oci.file_digest(os.path.join(directory, "index.json"))
    return size, {"index": index, "blobs": names, "digest": entry["digest"]}


def check_removable(path: str) -> None:
    """Raise ``UserError`` (tree-mounted) when a layout cannot be taken away now."""
    from . import mounts

    mounts.refuse(directory_of(path))


def remove(path: str, *described_by: str) -> bool:
    """Take a layout away for ``scons -c``; whether there was one of ours. Raises ``UserError`` (tree-mounted)."""
    from . import rootfs

    directory = directory_of(path)
    there = [file for file in (path, *described_by) if os.path.lexists(file)]
    if not there and not (os.path.isdir(directory) and _was_ours(directory)):
        return False
    with place(path, *described_by):
        rootfs.remove_with(directory, there)
    return True


def _was_ours(directory: str) -> bool:
    """Whether a layout was put there once: a kill between the exchange and the record leaves no other mark."""
    parent, name = os.path.split(directory)
    return os.path.lexists(os.path.join(parent, f".{name}.lock"))


def _force_to_disk(directory: str) -> None:
    """Survive a power cut: a blob whose name is its digest must never be half of it."""
    for folder, _, files in os.walk(directory, topdown=False):
        for name in files:
            _sync(os.path.join(folder, name))
        _sync(folder)


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
