"""What images and outputs hold on disk: ``scons --status --disk``.

Sizes come from the records alone. Layers are shared, so an image holds the bytes by which it is larger than the image its
FROM stands on: its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from .ancestry import RecordOf
from .graph import Graph, base_of
from .model import OUTPUT_KINDS, Node
from .plan import Decision, Store
from .records import Record
from .report import size


@dataclass(frozen=True)
class Volume:
    """A file system: its device number, the bytes that we may still write, the bytes of all of it."""

    device: int
    free: int
    total: int


def look(path: str) -> Volume:
    """The file system in which an absolute ``path`` lies, or would lie if it were made."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    state = os.statvfs(path)
    return Volume(os.stat(path).st_dev, state.f_bavail * state.f_frsize, state.f_blocks * state.f_frsize)


def own_bytes(size: int, base: Record | None) -> int:
    """The bytes of an image of this size that the image it stands on, if any, does not hold already."""
    return max(0, size - (base.size if base is not None else 0))


def recorded_own(graph: Graph, node: Node, record: Record, record_of: RecordOf) -> int:
    """The own bytes of a recorded image; when its record does not say, by what its parent is now."""
    said = record.extra.get("own")
    if isinstance(said, int):
        return said
    base = base_of(node)
    return own_bytes(record.size, record_of(base.node) if base is not None else None)


def where(node: Node) -> str:
    """``<stage>[-<arch>]`` of an image."""
    return node.record.rsplit("/", 2)[1]


@dataclass
class Held:
    """What one stage holds, for one arch or for all: images, their own bytes, the bytes of outputs made of them."""

    images: int = 0
    own: int = 0
    exports: int = 0


def held(graph: Graph, decisions: Mapping[str, Decision], store: Store | None) -> dict[str, Held]:
    """Stage (with its arch) → what it holds. An image that the store is known not to have holds nothing."""
    found: dict[str, Held] = {}

    def record_of(name: str) -> Record | None:
        return decisions[name].record

    for decision in decisions.values():
        node, record = decision.node, decision.record
        row = found.setdefault(_row(graph, node), Held())
        if record is None:
            continue
        if node.kind in OUTPUT_KINDS:
            row.exports += record.size
        elif store is None or store.has(record.image_id):
            row.images += 1
            row.own += recorded_own(graph, node, record, record_of)
    return found


def _row(graph: Graph, node: Node) -> str:
    """The stage of an image; of an output that of the image it is made of, or its own name when it is made of several."""
    if node.kind not in OUTPUT_KINDS:
        return where(node)
    return node.name if node.members else where(graph.nodes[node.parents[0].node])


def table(rows: Mapping[str, Held], places: Mapping[str, str], out: TextIO) -> None:
    """The table of ``held``, its sum, and what is free. places: what lies there → path, empty where it is not known."""
    sums = [sum(column) for column in zip(*((row.images, row.own, row.exports) for row in rows.values()), strict=True)]
    shown = {**rows, "total": Held(*sums)}
    width = max(len(name) for name in shown)
    out.write(f"{'stage':{width}}  {'images':>6} {'own':>9} {'exports':>9} {'total':>9}\n")
    for name, row in shown.items():
        own, exports, both = (size(each) if each else "" for each in (row.own, row.exports, row.own + row.exports))
        out.write(f"{name:{width}}  {row.images or '':>6} {own:>9} {exports:>9} {both:>9}".rstrip() + "\n")
    for what, path in places.items():
        if path:
            volume = look(path)
            out.write(f"{size(volume.free)} of {size(volume.total)} are free for {what}, '{path}'\n")
        else:
            out.write(f"what is free for {what} is not known\n")
