"""Answers that build nothing: the dry run, ``--why``, ``--status``, ``--plan``. All read the one plan."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TextIO

from . import outputs
from .graph import Graph
from .model import OUTPUT_KINDS, Node
from .plan import ADOPT, BUILD, CONDITIONAL, RELABEL, Decision, Store
from .report import duration, size

#: Gives the exact command for a node; parents without an image yet are named by ``placeholder``.
ArgvOf = Callable[[Decision], list[str]]


def placeholder(name: str) -> str:
    """What stands for the id of an image that does not exist yet."""
    return f"<image of {name}>"


def dry_run(decisions: Mapping[str, Decision], argv_of: ArgvOf, out: TextIO) -> None:
    """The commands in order: first those that can be run as they stand, then those that wait for them."""
    stale = [decision for decision in decisions.values() if decision.state != "up to date"]
    if not stale:
        out.write("# everything is up to date\n")
        return
    waiting = [decision for decision in stale if not decision.signature and decision.state != RELABEL]
    ready = [decision for decision in stale if decision not in waiting]
    for decision in ready:
        _command(decision, argv_of, out)
    if waiting:
        out.write("# the following wait for images above; <image of NODE> stands for an id that does not exist yet\n")
    for decision in waiting:
        _command(decision, argv_of, out)


def _command(decision: Decision, argv_of: ArgvOf, out: TextIO) -> None:
    node = decision.node
    mark = "conditional, only if a parent changes: " if decision.state == CONDITIONAL else ""
    out.writelines(f"# {node.name}: {mark}{reason}\n" for reason in decision.reasons)
    if decision.state == ADOPT and decision.image is not None:
        out.write(f"# {node.name}: adopts {decision.image.id}, which the store holds for the same signature\n")
    elif decision.state == RELABEL:
        out.write(f"# {node.name}: gets its names or artifact.env anew, nothing is built\n")
    elif node.kind in OUTPUT_KINDS:
        out.write(f"# {node.name}: {outputs.shown(node)}\n")
    elif node.kind == "root":
        out.write(f"# {node.name}: makes or takes a root file system ({_options(node)}) and puts it into the store\n")
        argv = argv_of(decision)
        if argv:
            out.write(_shown(argv) + "\n")
    else:
        out.write(_shown(argv_of(decision)) + "\n")


def _options(node: Node) -> str:
    return ", ".join(f"{name} {value or node.location}" for name, value in node.options.items() if value or node.location)


def _shown(argv: list[str]) -> str:
    return " ".join(shlex.quote(word) for word in argv)


def why(graph: Graph, decisions: Mapping[str, Decision], requested: Iterable[str], out: TextIO) -> None:
    """For each stale node its reasons with old and new values, and what it drags along."""
    stale = [decision for decision in decisions.values() if decision.stale]
    if not stale:
        out.write(f"{', '.join(requested)}: up to date, nothing to explain\n")
        return
    for decision in stale:
        out.write(f"{decision.node.name}: {_verb(decision)}\n")
        for reason in decision.reasons:
            out.write(f"    {reason}\n")
            for change in decision.changes:
                if change.sentence == reason:
                    _values(change.old, change.new, out)
        followers = _followers(graph, decisions, decision.node.name)
        if followers:
            out.write(f"    drags along, if its content changes: {', '.join(followers)}\n")


def _verb(decision: Decision) -> str:
    return {BUILD: "has to be built", ADOPT: "is adopted from the store", RELABEL: "needs new names"}[
        decision.state
    ]


def _values(old: str, new: str, out: TextIO) -> None:
    for label, value in (("old", old), ("new", new)):
        out.writelines(f"        {label if number == 0 else '   '}: {line}\n" for number, line in enumerate((value or "(none)").splitlines()))


def _followers(graph: Graph, decisions: Mapping[str, Decision], name: str) -> list[str]:
    below = {name}
    found = []
    for other in decisions:
        if any(parent.node in below for parent in graph.nodes[other].parents):
            below.add(other)
            found.append(other)
    return found


def status(decisions: Mapping[str, Decision], store: Store | None, now: float, out: TextIO) -> None:
    """The table of nodes: state, age, size, last duration. ``now`` in seconds since the epoch."""
    width = max((len(name) for name in decisions), default=4)
    states = {name: _shown_state(decision, store) for name, decision in decisions.items()}
    wide = max(12, *map(len, states.values()))
    out.write(f"{'node':{width}}  {'state':{wide}} {'age':>10} {'size':>9} {'took':>12}\n")
    for name, decision in decisions.items():
        record = decision.record
        age = made = took = ""
        if record is not None:
            age = _age(record.when, now)
            made = size(record.size) if record.size else ""
            took = duration(record.seconds) if record.seconds else record.how
        out.write(f"{name:{width}}  {states[name]:{wide}} {age:>10} {made:>9} {took:>12}\n")


def _shown_state(decision: Decision, store: Store | None) -> str:
    """The state, and whether the node stands for a component that its profile leaves out."""
    absent = any(key.endswith("_PROVIDER") and value == "absent" for key, value in decision.node.variables.items())
    return f"{_state(decision, store)} (absent)" if absent else _state(decision, store)


def _state(decision: Decision, store: Store | None) -> str:
    record = decision.record
    if record is None:
        return "adoptable" if decision.state == ADOPT else "never built"
    if decision.state == CONDITIONAL:
        return "conditional"
    if decision.stale:
        return "stale"
    if decision.node.kind not in OUTPUT_KINDS and store is not None and not store.has(record.image_id):
        return "missing"
    return "up to date"


def _age(when: str, now: float) -> str:
    import calendar

    try:
        then = calendar.timegm(time.strptime(when, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return "?"
    minutes = max(0, int(now - then)) // 60
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"


def plan(graph: Graph, decisions: Mapping[str, Decision], parallel: int, out: TextIO) -> None:
    """What is stale and how long it may take, from the durations of the last builds."""
    work = [d for d in decisions.values() if d.state in (BUILD, CONDITIONAL, ADOPT, RELABEL)]
    if not work:
        out.write("nothing to do\n")
        return
    known, unknown = 0.0, 0
    ends: dict[str, float] = {}
    for decision in work:
        seconds = _estimate(decision)
        starts = max((ends.get(parent.node, 0.0) for parent in decision.node.parents), default=0.0)
        ends[decision.node.name] = starts + (seconds or 0.0)
        known += seconds or 0.0
        unknown += seconds is None
        shown = "not known yet" if seconds is None else duration(seconds)
        out.write(f"{decision.state:12} {decision.node.name:40} {shown}\n")
    longest = max(ends.values())
    wall = max(longest, known / parallel)
    more = f", {unknown} of them never timed" if unknown else ""
    out.write(f"{len(work)} nodes{more}: {duration(known)} of work, about {duration(wall)} at -j{parallel}\n")


def _estimate(decision: Decision) -> float | None:
    if decision.state in (ADOPT, RELABEL):
        return 0.1
    if decision.record is None or not decision.record.seconds:
        return None
    return decision.record.seconds


def targets(words: Mapping[str, list[str]], nodes: Mapping[str, Node], out: TextIO) -> None:
    """Every word that can be given as a target, with how many nodes it names."""
    made = {name: [name] for name, node in nodes.items() if node.kind in OUTPUT_KINDS}
    for word, names in {**words, **made}.items():
        node = nodes.get(word)
        what = ", ".join(names) if node is None else f"{node.kind} on {node.platform}" if node.platform else node.kind
        out.write(f"{word:32} {what}\n")
