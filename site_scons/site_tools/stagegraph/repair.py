"""``--repair``: a manifest put together again from the images of the last builds, whatever was edited since.

Nothing below the manifest is planned, built or adopted: the records say which images there are, the store has to hold them.
The record that is written is the one a build would have written from these images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from . import ancestry, manifest
from .errors import UserError
from .graph import Graph
from .model import Node
from .plan import BUILD, Decision, Store
from .records import Record
from .signature import ledger, sign

REASON = "--repair was given"


def decide(graph: Graph, node: Node, record_of: ancestry.RecordOf, store: Store | None, timestamp: int) -> Decision:
    """What ``--repair`` does of a manifest; raises ``UserError``, manifest-missing, manifest-mixed or manifest-gate.

    store: the engine's images, None when no engine can be asked (in a dry run)
    """
    missing = [problem for member in node.members.values() if (problem := _missing(member, record_of(member), store))]
    if "force" not in node.options:
        missing += [f"gate {gate} has not passed" for gate in node.gates if record_of(gate) is None]
    if missing:
        raise UserError(
            "manifest-missing",
            f"{node.name} cannot be put together: {'; '.join(missing)}",
            hint="run the same command without --repair: it builds what the manifest needs",
        )
    manifest.objections(graph, node, record_of)
    contents = {p.ref: found.content_id for p in node.parents if (found := record_of(p.node)) is not None}
    entries = ledger(node, {}, contents, timestamp)
    return Decision(node, BUILD, reasons=[REASON], ledger=entries, signature=sign(entries))


def _missing(member: str, record: Record | None, store: Store | None) -> str:
    if record is None:
        return f"{member} was never built here"
    if store is not None and not store.has(record.image_id):
        return f"image {record.image_id[7:19]} of {member} is not in the engine's store"
    return ""


def check_command(targets: Iterable[str], nodes: Mapping[str, Node], other: Iterable[str], beside: Iterable[str]) -> None:
    """Raise ``UserError`` code command-words unless --repair stands with manifests alone.

    targets: the nodes that the command names; other: words that are none of ours; beside: options that do not go with it
    """
    wrong = [*other, *(name for name in targets if nodes[name].kind != "manifest")]
    for said in (*wrong, *beside):
        raise UserError(
            "command-words",
            f"--repair puts manifests together, and {said!r} stands beside it",
            hint="scons manifest --repair, with -n to see what it would do",
        )
