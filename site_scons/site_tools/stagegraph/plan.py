"""The plan: what must happen to each node of a requested closure, and why.

One pure computation serves the build, the dry run and every question (``--why``, ``--status``, ``--plan``, ``-q``).
It asks three things of the world, each behind a small interface: the state of the files a node takes, the record of
a node, the images in the engine's store. Reasons are written down where the decision falls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from .explain import NEVER_BUILT, Change, changes
from .graph import Graph
from .model import LABEL_NODE, LABEL_SIGNATURE, OUTPUT_KINDS, TAG_ROOT, ImageConfig, Node
from .records import Record, Unreadable
from .signature import Ledger, ledger, sign

UP_TO_DATE = "up to date"
BUILD = "build"
ADOPT = "adopt"
#: Stale only if a parent that is built first turns out different.
CONDITIONAL = "conditional"
#: The image or tree stands and is right; its names for people or its artifact.env are not.
RELABEL = "relabel"


class Store(Protocol):
    """The images an engine holds."""

    def has(self, image_id: str) -> bool:
        """Whether an image of this id is there."""

    def named(self, name: str) -> str:
        """The id of the image that bears this name, empty when none does."""

    def inspect(self, image_id: str) -> ImageConfig:
        """The config of an image that is there."""


class World(Protocol):
    """Everything a plan asks that is not the graph."""

    timestamp: int

    def files(self, node: Node) -> Mapping[str, str]:
        """Path → state of everything the node takes from the build context, as it is now."""

    def resolved(self, node: Node) -> Node:
        """The node with all options that decide its result, those too that are looked up only now."""

    def record(self, node: Node) -> Record | None:
        """The node's record; raises ``records.Unreadable``."""

    def store(self) -> Store | None:
        """The engine's images, asked for at most once; None when no engine can be had (dry run)."""

    def damage(self, node: Node, record: Record) -> str:
        """Why the output of a record cannot be what was made, empty when nothing speaks against it."""

    def outdated_labels(self, node: Node, record: Record, image: Record) -> str:
        """Why the artifact.env of an up-to-date export has to be written again, empty when it is right."""

    def content_id(self, image: ImageConfig) -> str:
        """The content id of an image."""


@dataclass
class Decision:
    """What happens to one node. ``ledger`` and ``signature`` are empty while a parent is not settled.

    image: when adopting, the config of the image that is taken; changes: the named inputs behind the reasons
    """

    node: Node
    state: str
    reasons: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    ledger: Ledger = field(default_factory=dict)
    signature: str = ""
    record: Record | None = None
    image: ImageConfig | None = None

    @property
    def stale(self) -> bool:
        """Whether work has to be done for this node, whatever its parents turn out to be."""
        return self.state in (BUILD, ADOPT, RELABEL)


def tag_of(node: Node, signature: str) -> str:
    """The name that only this tool gives, last of all, to a verified image of this node and signature."""
    where = node.record.rsplit("/", 2)[1]
    return f"{TAG_ROOT}/{where}/{node.step}:{signature}"


class Planner:
    """Decides about the nodes of a closure, first all at once, then again each at its turn.

    refresh: names of nodes that are built whatever their signature says
    """

    def __init__(self, graph: Graph, world: World, refresh: Iterable[str] = ()) -> None:
        self.graph = graph
        self.world = world
        self.refresh = set(refresh)
        self.decisions: dict[str, Decision] = {}
        #: Up-to-date nodes whose image is gone and wanted.
        self._missing: dict[str, str] = {}
        self._requested: set[str] = set()

    def plan(self, requested: Iterable[str]) -> dict[str, Decision]:
        """Decide about the requested nodes and everything below them."""
        requested = list(requested)
        self._requested = set(requested)
        closure = self.graph.closure(requested)
        while True:
            self.decisions = {}
            for node in closure:
                self.decisions[node.name] = self._decide(node)
            found = self._find_missing(closure, requested)
            if not found:
                for name in requested:
                    self._check_names(self.decisions[name])
                return self.decisions
            self._missing.update(found)

    def settle(self, name: str) -> Decision:
        """Decide again about one node whose parents have all had their turn."""
        decision = self._decide(self.graph.nodes[name])
        self.decisions[name] = decision
        if name in self._requested:
            self._check_names(decision)
        return decision

    def done(self, name: str, record: Record) -> None:
        """Take in that a node was brought up to date in this run."""
        self.refresh.discard(name)
        self._missing.pop(name, None)
        node = self.graph.nodes[name]
        self.decisions[name] = Decision(
            node, UP_TO_DATE, ledger=record.ledger, signature=record.signature, record=record
        )

    def missing_parents(self, name: str) -> list[str]:
        """Parents of a node about to be built that count as up to date although their image is gone."""
        store = self.world.store()
        found = []
        for parent in self.graph.nodes[name].parents:
            record = self.decisions[parent.node].record
            if parent.judges or store is None or record is None:
                continue
            if not store.has(record.image_id):
                found.append(parent.node)
        return found

    def mark_missing(self, name: str, reason: str) -> None:
        """Have a node built again although its signature stands, because its image is needed and gone."""
        self._missing[name] = reason

    def _decide(self, node: Node) -> Decision:
        decision = Decision(node, UP_TO_DATE)
        try:
            decision.record = self.world.record(node)
        except Unreadable as problem:
            decision.reasons.append(f"its record is unreadable ({problem})")
        contents, unsettled = self._parents(node)
        decision.ledger = ledger(self.world.resolved(node), self.world.files(node), contents, self.world.timestamp)
        if unsettled:
            return self._decide_early(decision, unsettled)
        decision.signature = sign(decision.ledger)
        record = decision.record
        if record is not None and record.signature == decision.signature:
            return self._decide_standing(decision, record)
        self._give_reasons(decision)
        return self._adopt_or_build(decision)

    def _parents(self, node: Node) -> tuple[dict[str, str], list[str]]:
        """The content ids of the parents that are settled, and the names of those that are not."""
        contents: dict[str, str] = {}
        unsettled = []
        for parent in node.parents:
            decision = self.decisions[parent.node]
            if decision.state == ADOPT and decision.image is not None:
                contents[parent.ref] = self.world.content_id(decision.image)
            elif decision.state in (UP_TO_DATE, RELABEL) and decision.record is not None:
                contents[parent.ref] = decision.record.content_id
            else:
                unsettled.append(parent.node)
        return contents, unsettled

    def _decide_early(self, decision: Decision, unsettled: list[str]) -> Decision:
        """A parent is not there yet: stale for sure when an own input changed, else it depends."""
        node, record = decision.node, decision.record
        if record is not None:
            pending = {parent.ref for parent in node.parents if parent.node in unsettled}
            known = {ref: value for ref, value in record.ledger.get("parents", {}).items() if ref in pending}
            assumed = {**decision.ledger, "parents": {**decision.ledger["parents"], **known}}
            decision.changes = changes(record.ledger, assumed, self._parent_name(node))
        damage = self.world.damage(node, record) if record is not None and node.kind in OUTPUT_KINDS else ""
        if decision.changes or record is None or node.name in self.refresh:
            self._give_reasons(decision)
            decision.state = BUILD
        elif damage:
            decision.reasons.append(damage)
            decision.state = BUILD
        else:
            waits = ", ".join(unsettled)
            decision.reasons.append(f"stands on {waits}, which {'is' if len(unsettled) == 1 else 'are'} built first")
            decision.state = CONDITIONAL
        if node.name in self._missing:
            decision.reasons.append(self._missing[node.name])
            decision.state = BUILD
        decision.ledger = {}
        return decision

    def _decide_standing(self, decision: Decision, record: Record) -> Decision:
        """The signature stands: nothing to do, unless it is asked for or something went missing."""
        node = decision.node
        if node.name in self.refresh:
            decision.reasons.append("--refresh was given for it")
            decision.state = BUILD
        elif node.name in self._missing:
            decision.reasons.append(self._missing[node.name])
            return self._adopt_or_build(decision)
        else:
            damage = self.world.damage(node, record)
            if damage:
                decision.reasons.append(damage)
                return self._adopt_or_build(decision)
            if node.kind == "rootfs":
                self._check_labels(decision, record)
        return decision

    def _check_labels(self, decision: Decision, record: Record) -> None:
        image = self.decisions[decision.node.parents[0].node]
        if image.state == ADOPT:
            decision.reasons.append(f"stands on {image.node.name}, which is adopted first")
            decision.state = CONDITIONAL
            return
        assert image.record is not None
        problem = self.world.outdated_labels(decision.node, record, image.record)
        if problem:
            decision.reasons.append(problem)
            decision.state = RELABEL

    def _check_names(self, decision: Decision) -> None:
        """An image asked for by name also has to bear its names for people."""
        node, record = decision.node, decision.record
        if decision.state != UP_TO_DATE or not node.tags or record is None:
            return
        store = self.world.store()
        lost = [tag for tag in node.tags if store is not None and store.named(tag) != record.image_id]
        if lost:
            decision.reasons.append(f"{', '.join(lost)} has to name its image")
            decision.state = RELABEL

    def _give_reasons(self, decision: Decision) -> None:
        node, record = decision.node, decision.record
        if record is not None:
            if not decision.changes:
                decision.changes = changes(record.ledger, decision.ledger, self._parent_name(node))
            decision.reasons += [change.sentence for change in decision.changes]
            if not decision.changes and node.name not in self.refresh:
                decision.reasons.append("its record does not agree with itself")
        elif not decision.reasons:
            decision.reasons.append(NEVER_BUILT)
        if node.name in self.refresh:
            decision.reasons.append("--refresh was given for it")

    def _adopt_or_build(self, decision: Decision) -> Decision:
        decision.state = BUILD
        if decision.node.name in self.refresh or decision.node.kind in OUTPUT_KINDS:
            return decision
        decision.image = self._adoptable(decision)
        if decision.image is not None:
            decision.state = ADOPT
        return decision

    def _adoptable(self, decision: Decision) -> ImageConfig | None:
        """The image that the store holds for this signature: our own tag *and* the equal labels.

        A label alone is no proof, children inherit it; a tag alone could have been moved by hand.
        """
        store = self.world.store()
        if store is None:
            return None
        found = store.named(tag_of(decision.node, decision.signature))
        if not found:
            return None
        image = store.inspect(found)
        labels = image.config.get("Labels")
        wanted = {LABEL_NODE: decision.node.name, LABEL_SIGNATURE: decision.signature}
        if not isinstance(labels, Mapping) or any(labels.get(key) != value for key, value in wanted.items()):
            return None
        return image if image.platform == decision.node.platform else None

    def _parent_name(self, node: Node) -> Callable[[str], str]:
        names = {parent.ref: parent.node for parent in node.parents}
        return lambda ref: names.get(ref, ref)

    def _find_missing(self, closure: list[Node], requested: Iterable[str]) -> dict[str, str]:
        """Nodes not known to be stale whose image is gone though it is asked for by name or a stale child needs it.

        An image that nobody stale needs is left missing. A child that is only conditional does not count: its
        parents are seen to when it turns out stale at its turn.
        """
        wanted = {name: "it was asked for" for name in requested if self.graph.nodes[name].kind not in OUTPUT_KINDS}
        for node in closure:
            if self.decisions[node.name].state == BUILD:
                wanted |= {parent.node: f"{node.name} needs it" for parent in node.parents if not parent.judges}
        wanted = {n: why for n, why in wanted.items() if self.decisions[n].state in (UP_TO_DATE, CONDITIONAL)}
        store = self.world.store() if wanted else None
        found = {}
        for name, why in wanted.items():
            record = self.decisions[name].record
            if store is not None and record is not None and not store.has(record.image_id):
                found[name] = f"image {record.image_id[7:19]} was removed from the engine's store and {why}"
        return found
