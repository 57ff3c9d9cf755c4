"""Doing what the plan says: one node at its turn, from the missing parents it needs to its record.

Nothing here decides. Each method may run in a worker thread of SCons; two threads never work on the same node.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import IO, Protocol

from . import deliver, disk, gc, records, root, transport
from .engines.base import Engine
from .errors import UserError
from .graph import base_of
from .image import check_platform, check_pulled
from .model import LABEL_NODE, LABEL_SIGNATURE, OUTPUT_KINDS, BuildRequest, ImageConfig, Node
from .plan import ADOPT, BUILD, RELABEL, UP_TO_DATE, Decision, Planner, tag_of
from .records import Record
from .removal import remove_tree
from .report import ADOPTED, BUILT, RELABELLED
from .room import Room
from .runs import Run
from .world import Workspace


class Reporter(Protocol):
    """Who is told what happens."""

    def start(self, node: Node, what: str, reasons: list[str], log: str) -> None:
        """Work on a node begins; ``log`` is the path of its log relative to the project's root, or empty."""

    def end(self, node: Node, what: str, seconds: float) -> None:
        """The node is up to date now; ``what`` is one of the words of ``report``."""


@dataclass(frozen=True)
class Settings:
    """What one run was asked for beyond the graph.

    transport: settings for every RUN (mirrors, proxies);
    log_dir: where the logs of this run go, relative to the project's root or absolute
    """

    log_dir: str
    transport: Mapping[str, str] = field(default_factory=dict)


class Worker:
    """Brings nodes up to date in one run."""

    def __init__(self, space: Workspace, planner: Planner, run: Run, settings: Settings, reporter: Reporter) -> None:
        self.space = space
        self.planner = planner
        self.run = run
        self.settings = settings
        self.reporter = reporter
        #: Nodes that are worked on now, with their logs; one that failed stays until its failure was reported.
        self.at_work: dict[str, tuple[Node, str]] = {}
        self._room = Room(space, planner.graph, run.scratch)
        self._files = itertools.count()
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def bring_up_to_date(self, name: str) -> None:
        """Adopt, build, export or relabel one node whose parents have had their turn; raises ``UserError``."""
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            self._wait_for_parents(self.planner.graph.nodes[name])
            decision = self.planner.settle(name)
            if decision.state == BUILD and self._restore_parents(decision.node):
                decision = self.planner.settle(name)
            if decision.state == UP_TO_DATE:
                return
            self._check_parents(decision.node)
            self.carry_out(decision)

    def _wait_for_parents(self, node: Node) -> None:
        """A parent whose image is gone may be restored by another child at this moment."""
        for parent in node.parents:
            with self._lock:
                lock = self._locks.get(parent.node)
            if lock is not None:
                with lock:
                    pass

    def _check_parents(self, node: Node) -> None:
        """Refuse to build on what a parent was before it failed; only SCons' -i gets here then."""
        for parent in node.parents:
            decision = self.planner.decisions[parent.node]
            if decision.state not in (UP_TO_DATE, RELABEL) or decision.record is None:
                raise UserError(
                    "parent-failed",
                    f"{node.name} stands on {parent.node}, which failed",
                    hint="see the error above",
                )

    def _restore_parents(self, node: Node) -> bool:
        """Build again parents that count as up to date but whose images are gone; returns whether there were any."""
        missing = self.planner.missing_parents(node.name)
        for parent in missing:
            image = self.planner.decisions[parent].record
            short = image.image_id[7:19] if image else ""
            self.planner.mark_missing(
                parent, f"image {short} was removed from the engine's store and {node.name} needs it"
            )
            self.bring_up_to_date(parent)
        return bool(missing)

    def carry_out(self, decision: Decision) -> None:
        """Do what was decided about one node, whose parents stand; raises ``UserError``."""
        with self._room.taken(decision.node) if decision.state == BUILD else nullcontext():
            self._carry_out(decision)

    def _carry_out(self, decision: Decision) -> None:
        node = decision.node
        is_output = node.kind in OUTPUT_KINDS
        begin = time.monotonic()
        log = self._log_path(node) if decision.state == BUILD and not is_output else ""
        self.reporter.start(node, decision.state, decision.reasons, log)
        self.at_work[node.name] = (node, log)
        if decision.state == RELABEL:
            record, what = self._relabel(decision, is_output), RELABELLED
        elif decision.state == ADOPT:
            record, what = self._adopt(decision), ADOPTED
        elif is_output:
            record = deliver.deliver(self.space, self.planner, self.run.id, decision)
            what = record.how
        else:
            record, what = self._build(decision, log), BUILT
        self.planner.done(node.name, record)
        del self.at_work[node.name]
        self.reporter.end(node, what, time.monotonic() - begin)

    def _log_path(self, node: Node) -> str:
        name = node.name.replace("/", "-").replace(":", ".")
        return os.path.join(self.settings.log_dir, f"{name}.log")

    def _open_log(self, path: str, decision: Decision) -> IO[bytes]:
        full = self.space.path(path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        log = open(full, "ab")  # noqa: SIM115 - the caller closes it; LOG_DIR may hold the logs of another run
        log.writelines(f"# {decision.node.name}: {reason}\n".encode() for reason in decision.reasons)
        return log

    # Images ----------------------------------------------------------------------------------------------------

    def _adopt(self, decision: Decision) -> Record:
        image = decision.image
        assert image is not None
        self._name(decision.node, image.id, ())
        seconds = gc.seconds_of(self.space.engine().store(), image.id)
        return self._record(decision, image, ADOPTED, seconds, "")

    def _build(self, decision: Decision, log_path: str) -> Record:
        begin = time.monotonic()
        image = self._make(decision, log_path)
        seconds = time.monotonic() - begin
        self._name(decision.node, image.id, (tag_of(decision.node, decision.signature),))
        return self._record(decision, image, BUILT, seconds, log_path)

    def build_beside(self, decision: Decision) -> ImageConfig:
        """Build a node that is up to date once more, without a name or a record; returns the second image."""
        node = decision.node
        log = self._log_path(node)
        self.at_work[node.name] = (node, log)
        if self._restore_parents(node) and self.planner.settle(node.name).signature != decision.signature:
            raise UserError(
                "reproduce-stale", f"{node.name} became stale while its parents were restored", hint="build it first"
            )
        with self._room.taken(node):
            image = self._make(decision, log)
        del self.at_work[node.name]
        return image

    def _make(self, decision: Decision, log_path: str) -> ImageConfig:
        """A new image of a node, verified to be what was asked for."""
        node = decision.node
        engine = self.space.engine()
        begin = time.monotonic()
        with self._open_log(log_path, decision) as log:
            if node.kind == "root":
                image_id = self._root(engine, decision, log)
            else:
                self._check_base(node)
                image_id = self._step(engine, decision, log)
            gc.note(engine.store(), image_id, time.monotonic() - begin)
        return self._verified(decision, image_id)

    def _step(self, engine: Engine, decision: Decision, log: IO[bytes]) -> str:
        """Build a step from a copy of what was signed: the checkout may be edited meanwhile."""
        number = next(self._files)
        contexts = os.path.join(self.run.scratch, "contexts")
        os.makedirs(contexts, mode=0o700, exist_ok=True)
        context = os.path.join(contexts, str(number))
        self._fetch(engine, decision.node)
        self.space.write_context(decision.node, decision.ledger["files"], context)
        try:
            return engine.build(self._request(decision, context, os.path.join(self.run.path, f"iid-{number}")), log)
        finally:
            remove_tree(context)

    def _fetch(self, engine: Engine, node: Node) -> None:
        """Pull the external images that a step names by digest and that the store does not hold: builds pull nothing.

        An engine takes what bears the name, for whatever platform it is; so an index is good for one platform only.
        """
        store = self.space.store()
        assert store is not None
        for reference in node.images:
            if not store.named(reference):
                store.add(engine.pull(reference, node.platform), [reference])
            check_pulled(store.inspect(store.named(reference)), node, reference)

    def _request(self, decision: Decision, context: str, iidfile: str) -> BuildRequest:
        node = decision.node
        images = {parent.ref: self._image_of(parent.node) for parent in node.parents}
        request = build_request(self.space, node, decision.signature, images, secret=self._secret(), iidfile=iidfile)
        return replace(request, context=context)

    def _image_of(self, name: str) -> str:
        record = self.planner.decisions[name].record
        assert record is not None, name
        return record.image_id

    def _secret(self) -> str:
        settings = {**self.settings.transport, **transport.share(len(self.at_work))}
        return self.run.secret(f"transport-{next(self._files)}", transport.text(settings))

    def _root(self, engine: Engine, decision: Decision, log: IO[bytes]) -> str:
        labels = {LABEL_NODE: decision.node.name, LABEL_SIGNATURE: decision.signature}
        node = replace(decision.node, options=decision.ledger["options"])
        return root.make(engine, node, labels, self.space.timestamp, self.run, self.settings.transport, log)

    def _check_base(self, node: Node) -> None:
        """An engine marks the child with the platform it is told, whatever the parent really is."""
        base = base_of(node)
        if base is None:
            return
        store = self.space.store()
        assert store is not None
        found = store.inspect(self._image_of(base.node))
        check_platform(found, node, f"its parent {base.node}", "declare both stages on the same platform")

    def _verified(self, decision: Decision, image_id: str) -> ImageConfig:
        """The new image's config, when it is what was asked for."""
        node = decision.node
        store = self.space.store()
        assert store is not None
        image = store.inspect(image_id)
        labels = image.config.get("Labels")
        found = labels.get(LABEL_SIGNATURE) if isinstance(labels, Mapping) else None
        if found != decision.signature:
            raise UserError(
                "image-unexpected",
                f"the engine returned for {node.name} image {image_id[7:19]} with signature {found}",
                hint="the engine may have answered from its cache; report it with the log",
            )
        if image.platform != node.platform:
            raise UserError(
                "image-unexpected",
                f"the engine built {node.name} for {image.platform} instead of {node.platform}",
                hint="report it with the log",
            )
        return image

    def _name(self, node: Node, image_id: str, own: tuple[str, ...]) -> None:
        """Names for people first, our own tag last: it says that all checks were passed."""
        names = (*node.tags, *own)
        if names:
            self.space.engine().tag(image_id, names)
        store = self.space.store()
        if store is not None:
            store.add(image_id, names)

    def _relabel(self, decision: Decision, is_output: bool) -> Record:
        if is_output:
            return deliver.relabel(self.space, self.planner, decision)
        assert decision.record is not None
        self._name(decision.node, decision.record.image_id, ())
        return decision.record

    def _base_record(self, node: Node) -> Record | None:
        """The record of what a node's FROM stands on."""
        base = base_of(node)
        return self.planner.decisions[base.node].record if base is not None else None

    def _record(self, decision: Decision, image: ImageConfig, how: str, seconds: float, log: str) -> Record:
        engine = self.space.engine()
        record = Record(
            node=decision.node.name,
            signature=decision.signature,
            content_id=self.space.content_id(image),
            image_id=image.id,
            ledger=decision.ledger,
            how=how,
            when=deliver.now(),
            seconds=round(seconds, 3),
            size=image.size,
            engine=engine.name,
            log=log,
            reasons=tuple(decision.reasons),
            extra={"own": disk.own_bytes(image.size, self._base_record(decision.node))},
        )
        records.write(self.space.path(decision.node.record), record)
        return record


def build_request(
    space: Workspace, node: Node, signature: str, images: Mapping[str, str], *, secret: str, iidfile: str
) -> BuildRequest:
    """The engine call for a node; ``images`` maps what the Dockerfile calls each parent to its image id."""
    by_variable = {parent.ref: images[parent.ref] for parent in node.parents if parent.by_variable}
    return BuildRequest(
        context=space.root,
        dockerfile=node.dockerfile,
        target=node.step,
        platform=node.platform,
        build_args={**node.variables, **by_variable},
        contexts={parent.ref: images[parent.ref] for parent in node.parents if not parent.by_variable},
        labels={LABEL_NODE: node.name, LABEL_SIGNATURE: signature},
        timestamp=space.timestamp,
        secret=secret,
        iidfile=iidfile,
        ca_bundle=transport.ca_bundle(space.ca_bundle) if transport.takes_ca_bundle(node) else "",
    )
