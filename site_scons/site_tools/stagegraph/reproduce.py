"""``--check-reproducible``: nodes are built again beside the first image, and the two are compared.

Verdicts are kept in out/report/reproducible.json with the node's signature and content id, so a long list can be worked
off in several runs: what has a verdict for its present image is not built again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from .errors import UserError
from .model import Node
from .parsecache import read_json
from .plan import UP_TO_DATE, Decision
from .records import Record, write_atomically

if TYPE_CHECKING:
    from .engines.base import Engine
    from .work import Worker

REPORT = os.path.join("report", "reproducible.json")

#: Differing paths that are printed and kept of one node.
SHOWN = 40


def check(
    worker: Worker,
    nodes: list[Node],
    out_dir: str,
    out: TextIO,
    *,
    keep_going: bool,
    failed: Callable[[str, UserError], None],
) -> int:
    """Judge every node; returns the exit status: 0 when all are reproducible, 1 when one is not, 2 when one failed.

    A node that cannot be judged (not up to date, or its build fails) is told to ``failed``; without ``keep_going`` it is
    the last one.
    """
    path = os.path.join(out_dir, REPORT)
    verdicts = read_json(path)
    status = 0
    for node in nodes:
        decision = worker.planner.decisions[node.name]
        try:
            if decision.state != UP_TO_DATE or decision.record is None:
                raise UserError(
                    "reproduce-stale", f"{node.name} is not up to date", hint="build it first, then check it"
                )
            verdict = verdicts.get(node.name)
            if verdict is None or not _is_of(verdict, decision.record):
                out.write(f"{node.name}: is built again\n")
                out.flush()
                verdict = _judge(worker, decision, decision.record)
                verdicts[node.name] = verdict
                write_atomically(path, json.dumps(verdicts, indent=1, sort_keys=True).encode() + b"\n")
        except UserError as problem:
            failed(node.name, problem)
            status = 2
            if not keep_going:
                break
            continue
        _show(node, verdict, out)
        if not verdict["reproducible"]:
            status = max(status, 1)
    return status


def _is_of(verdict: Any, record: Record) -> bool:
    """Whether a verdict is about this very image: one made anew of the same inputs (--refresh) needs another."""
    return (
        isinstance(verdict, dict)
        and verdict.get("signature") == record.signature
        and verdict.get("content_id") == record.content_id
    )


def _judge(worker: Worker, decision: Decision, record: Record) -> dict[str, Any]:
    begin = time.monotonic()
    image = worker.build_beside(decision)
    engine = worker.space.engine()
    verdict: dict[str, Any] = {
        "signature": decision.signature,
        "content_id": record.content_id,
        "reproducible": worker.space.content_id(image) == record.content_id,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.monotonic() - begin, 1),
    }
    if not verdict["reproducible"]:
        found = _differences(engine, worker.run.id, record.image_id, image.id)
        verdict["differences"] = found[:SHOWN]
        verdict["count"] = len(found)
    if image.id != record.image_id:
        engine.remove([image.id])
    return verdict


def _differences(engine: Engine, run: str, first: str, second: str) -> list[str]:
    from . import tree

    listings = []
    for image in (first, second):
        with engine.rootfs(image, run) as stream:
            listings.append(tree.from_tar(stream))
    return tree.differences(*listings) or ["only the image's configuration differs"]


def _show(node: Node, verdict: dict[str, Any], out: TextIO) -> None:
    if verdict["reproducible"]:
        out.write(f"{node.name}: reproducible\n")
    else:
        out.write(f"{node.name}: NOT reproducible, {verdict['count']} differences\n")
        out.writelines(f"    {line}\n" for line in verdict["differences"])
    out.flush()
