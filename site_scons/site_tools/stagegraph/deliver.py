"""Making what leaves the store: the work on exports, layouts and manifests, from the image records to their own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping

from . import ancestry, exports, layouts, manifest, records
from .model import Node
from .plan import Decision, Planner
from .records import Record
from .report import ASSEMBLED, EXPORTED, SAVED
from .world import Workspace


def deliver(space: Workspace, planner: Planner, run: str, decision: Decision) -> Record:
    """Make the output of a node whose images stand; ``run`` is the id of the run. Returns the record that was written."""
    kind = decision.node.kind
    if kind == "rootfs":
        return _export(space, planner, run, decision)
    if kind == "layout":
        return _save(space, planner, decision)
    return _assemble(space, planner, decision)


def relabel(space: Workspace, planner: Planner, decision: Decision) -> Record:
    """Write the artifact.env of an export anew."""
    node, record = decision.node, decision.record
    image = _image(planner, node)
    assert record is not None
    directory = space.path(os.path.dirname(node.record))
    with exports.place(directory):
        exports.write_env(directory, node, record, image)
    return record


def now() -> str:
    """The time in UTC, as records have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _export(space: Workspace, planner: Planner, run: str, decision: Decision) -> Record:
    node = decision.node
    image = _image(planner, node)
    directory = space.path(os.path.dirname(node.record))
    begin = time.monotonic()
    with exports.place(directory):
        size, extra = exports.export(space.engine(), image.image_id, run, directory)
        record = _record(space, decision, EXPORTED, begin, image.content_id, image.image_id, size, extra)
        exports.write_env(directory, node, record, image)
        records.write(space.path(node.record), record)
    return record


def _save(space: Workspace, planner: Planner, decision: Decision) -> Record:
    node = decision.node
    image = _image(planner, node)
    path = space.path(node.record)
    begin = time.monotonic()
    with layouts.place(path):
        size, extra = layouts.save(space.engine(), image.image_id, path)
        record = _record(space, decision, SAVED, begin, image.content_id, image.image_id, size, extra)
        records.write(path, record)
    return record


def _assemble(space: Workspace, planner: Planner, decision: Decision) -> Record:
    node = decision.node
    path = space.path(node.record)
    begin = time.monotonic()
    record_of = ancestry.reader(space.record, planner.graph)
    said, forced = manifest.objections(planner.graph, node, record_of)
    for reason in forced:
        sys.stderr.write(f"warning: {node.name} is made all the same (--force): {reason}\n")
    images = {arch: record for arch, member in node.members.items() if (record := record_of(member)) is not None}
    with layouts.place(path, manifest.env_file(path)):
        size, extra = manifest.assemble(space.engine(), node, images, forced, path)
        extra |= {"gates": manifest.gates_of(said), "forced": forced}
        record = _record(space, decision, ASSEMBLED, begin, str(extra["digest"]), "", size, extra)
        manifest.write_env(path, node, record)
        records.write(path, record)
    return record


def _image(planner: Planner, node: Node) -> Record:
    """The record of the image that an export or a layout is made of."""
    record = planner.decisions[node.parents[0].node].record
    assert record is not None, node.name
    return record


def _record(
    space: Workspace,
    decision: Decision,
    how: str,
    begin: float,
    content_id: str,
    image_id: str,
    size: int,
    extra: Mapping[str, object],
) -> Record:
    return Record(
        node=decision.node.name,
        signature=decision.signature,
        content_id=content_id,
        image_id=image_id,
        ledger=decision.ledger,
        how=how,
        when=now(),
        seconds=round(time.monotonic() - begin, 3),
        size=size,
        engine=space.engine().name,
        log="",
        reasons=tuple(decision.reasons),
        extra=dict(extra),
    )
