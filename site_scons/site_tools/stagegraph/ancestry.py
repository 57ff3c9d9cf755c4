"""What the members of a manifest stand on, by their records: whether it is one and the same, and whether it passed.

A record's ledger says which content of each parent the image was built from. So the walk goes from a member down, and on
from a parent only while the parent's record is about that very content: a later build of it says nothing of what the
member was made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .graph import Graph
from .model import Node, Parent
from .records import Record, Unreadable

#: Gives the record of a node; None when there is none that can be read.
RecordOf = Callable[[str], Record | None]


@dataclass(frozen=True)
class Verdict:
    """What became of a gate, for one member.

    gate, member: names of nodes; judged: the node whose image the gate judged, content_id: of that image, image_id: the
    one in the store with this content, empty when it is another by now; problem: why the gate does not count, as a sentence
    """

    gate: str
    member: str
    judged: str
    content_id: str
    image_id: str
    problem: str = ""


def reader(read: Callable[[Node], Record | None], graph: Graph) -> RecordOf:
    """A ``RecordOf`` that reads each record once; one that is not to be read counts as none."""
    known: dict[str, Record | None] = {}

    def record_of(name: str) -> Record | None:
        if name not in known:
            try:
                known[name] = read(graph.nodes[name])
            except Unreadable:
                known[name] = None
        return known[name]

    return record_of


def mixed(graph: Graph, members: Iterable[str], record_of: RecordOf) -> list[str]:
    """Why the members cannot be said to stand on the same images, a sentence each; empty when they do.

    Every member has a record.
    """
    members = sorted(members)
    shared = _shared(graph, members)
    found: dict[str, dict[str, list[str]]] = {}
    problems: list[str] = []
    for member in members:
        stands, unknown = _walk(graph, member, record_of, shared)
        problems += [sentence for sentence in unknown if sentence not in problems]
        for name, contents in stands.items():
            for content in sorted(contents):
                found.setdefault(name, {}).setdefault(content, []).append(member)
    for name, contents_of in found.items():
        if len(contents_of) > 1:
            said = (f"{', '.join(who)} on {content[7:19]}" for content, who in contents_of.items())
            problems.append(f"of {name} stand {'; '.join(said)}")
    return problems


def verdicts(graph: Graph, members: Iterable[str], gates: Iterable[str], record_of: RecordOf) -> list[Verdict]:
    """What each gate says of each member that it judges, or that stands on what it judges."""
    members = list(members)
    shared = _shared(graph, members)
    stands = {member: _walk(graph, member, record_of, shared)[0] for member in members}
    return [
        _verdict(gate, member, parent, stands[member], record_of)
        for gate in gates
        for member in members
        for parent in judged(graph, gate, member)
    ]


def judged(graph: Graph, gate: str, member: str) -> list[Parent]:
    """The parents of a gate that are the member or that it stands on; of several only those no other one stands on."""
    node, above = graph.nodes[gate], graph.nodes[member]
    if node.arch and above.arch and node.arch != above.arch:
        return []
    below = {each.name for each in graph.closure([member])}
    near = [parent for parent in node.parents if parent.node in below]
    under = {each.name for parent in near for each in graph.closure([parent.node]) if each.name != parent.node}
    return [parent for parent in near if parent.node not in under]


def _verdict(
    gate: str, member: str, parent: Parent, stands: Mapping[str, set[str]], record_of: RecordOf
) -> Verdict:
    passed, image = record_of(gate), record_of(parent.node)
    if passed is None:
        return Verdict(gate, member, parent.node, "", "", f"gate {gate} has not passed")
    content = str(passed.ledger.get("parents", {}).get(parent.ref, ""))
    image_id = image.image_id if image is not None and image.content_id == content else ""
    if parent.node == member:
        wanted = {image.content_id} if image is not None else set()
    else:
        wanted = stands.get(parent.node, set())
    problem = ""
    if wanted != {content}:
        used = ", ".join(sorted(each[7:19] for each in wanted)) or "one that is not known"
        verb = "is" if parent.node == member else "stands on"
        problem = f"gate {gate} judged {content[7:19] or 'nothing'} of {parent.node}, but {member} {verb} {used}"
    return Verdict(gate, member, parent.node, content, image_id, problem)


def _shared(graph: Graph, members: Iterable[str]) -> set[str]:
    """The nodes that more than one member stands on."""
    once: set[str] = set()
    more: set[str] = set()
    for member in members:
        names = {node.name for node in graph.closure([member])}
        more |= once & names
        once |= names
    return more


def _walk(graph: Graph, member: str, record_of: RecordOf, shared: set[str]) -> tuple[dict[str, set[str]], list[str]]:
    """Node → contents of it that a member stands on, and sentences about what below it is not known."""
    stands: dict[str, set[str]] = {}
    unknown: list[str] = []
    pending, seen = [member], set()
    while pending:
        name = pending.pop()
        record = record_of(name)
        if record is None or name in seen:
            continue
        seen.add(name)
        for parent in graph.nodes[name].parents:
            content = record.ledger.get("parents", {}).get(parent.ref)
            if content is None:
                unknown.append(f"the record of {name} does not say which {parent.node} it was built from")
                continue
            stands.setdefault(parent.node, set()).add(content)
            below = record_of(parent.node)
            if below is not None and below.content_id == content:
                pending.append(parent.node)
            elif parent.node not in shared and any(node.name in shared for node in graph.closure([parent.node])):
                what = "has no record" if below is None else f"was built again since, as {below.content_id[7:19]}"
                unknown.append(f"{name} stands on {content[7:19]} of {parent.node}, which {what}")
    return stands, unknown
