"""Room on disk: before a node is begun, the file systems that will grow are asked what they have left.

A node that is built writes about as much as it held the last time. One that is up to date, adopted or only named anew
asks nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping

from . import ancestry, disk, outputs, process, records
from .errors import UserError
from .graph import KNOWN_ARCHES, Graph
from .model import OUTPUT_KINDS, Node
from .records import Unreadable
from .report import size
from .world import Workspace

#: Free bytes that are asked for when nothing is known of a node: 1 GiB.
FLOOR = 1 << 30

#: Times what was written the last time.
MARGIN = 1.1

#: How often the bytes of a new layer lie in the store, and among the temporary files, before a build is over: the working
#: container and the image made of it; the archive of the layer and what is read back of it (measured with buildah 1.28).
STORE_COPIES, SCRATCH_COPIES = 2, 2

#: Seconds between two looks whether a run that waits for room was stopped.
_PATIENCE = 0.5

#: Outputs that the hint names.
_SHOWN = 3


class Room:
    """Keeps nodes from being begun that would fill a file system before they are done.

    scratch: the run's directory for temporary files
    """

    def __init__(self, space: Workspace, graph: Graph, scratch: str) -> None:
        self._space = space
        self._graph = graph
        self._scratch = scratch
        self._changed = threading.Condition()
        #: Node at work → directory → bytes that it may write there.
        self._taken: dict[str, dict[str, int]] = {}

    @contextlib.contextmanager
    def taken(self, node: Node) -> Iterator[None]:
        """Room for what a node writes, for as long as it is at work.

        Where it is missing only because of what others may write, their end is waited for. Raises ``UserError`` code
        disk-low, and ``process.Stopped``.
        """
        needs = self.needs(node)
        with self._changed:
            while problem := self._problem(node, needs):
                if not self._taken:
                    raise problem
                process.check_stopped()
                self._changed.wait(_PATIENCE)
            self._taken[node.name] = needs
        try:
            yield
        finally:
            with self._changed:
                del self._taken[node.name]
                self._changed.notify_all()

    def needs(self, node: Node) -> dict[str, int]:
        """Directory → bytes that a node may write there."""
        expected = self._expected(node)
        if node.kind in OUTPUT_KINDS:
            copies = {self._space.path(outputs.directory(node)): 1}
        else:
            copies = {self._space.engine().store(): STORE_COPIES, self._scratch: SCRATCH_COPIES}
        if expected is None:
            return {next(iter(copies)): FLOOR}
        return {path: int(expected * times * MARGIN) for path, times in copies.items()}

    def _expected(self, node: Node) -> int | None:
        """The bytes that a node is going to hold, by the records; None when they say nothing of it.

        An image: what it held the last time, else the most that the same step holds for another arch. An output: what it
        was the last time, else the size of its images.
        """
        record_of = ancestry.reader(self._space.record, self._graph)
        record = record_of(node.name)
        if node.kind in OUTPUT_KINDS:
            images = [record_of(name) for name in node.members.values() or (node.parents[0].node,)]
            return record.size if record is not None else sum(each.size for each in images if each is not None)
        if record is not None:
            return disk.recorded_own(self._graph, node, record, record_of)
        return max(self._twins(node), default=None)

    def _twins(self, node: Node) -> Iterator[int]:
        """The own bytes of the same step for other arches, be they targets of this command or not."""
        place = disk.where(node)
        stage, _, arch = place.rpartition("-")
        for other in KNOWN_ARCHES if arch in KNOWN_ARCHES else ():
            path = node.record.replace(f"/{place}/", f"/{stage}-{other}/")
            with contextlib.suppress(Unreadable):
                record = records.read(self._space.path(path))
                if record is not None and isinstance(record.extra.get("own"), int):
                    yield record.extra["own"]

    def _problem(self, node: Node, needs: Mapping[str, int]) -> UserError | None:
        """Why a node must not be begun now, as the error that says so; None when there is room."""
        volumes = {path: disk.look(path) for path in needs}
        taken = [(disk.look(path).device, count) for one in self._taken.values() for path, count in one.items()]
        for path, volume in volumes.items():
            wanted = sum(count for other, count in needs.items() if volumes[other].device == volume.device)
            if wanted + sum(count for device, count in taken if device == volume.device) > volume.free:
                return UserError(
                    "disk-low",
                    f"{node.name} needs {size(wanted)} on the file system of '{path}', of which {size(volume.free)} are free",
                    hint=f"free some space there: scons gc removes images that nobody needs{self._largest(volume.device)}",
                )
        return None

    def _largest(self, device: int) -> str:
        """The largest outputs on a file system, as the end of a sentence."""
        found: list[tuple[int, str]] = []
        for node in self._graph.nodes.values():
            if node.kind in OUTPUT_KINDS and disk.look(self._space.path(node.record)).device == device:
                with contextlib.suppress(Unreadable):
                    record = self._space.record(node)
                    found += [(record.size, node.name)] if record is not None else []
        named = ", ".join(f"{name} ({size(count)})" for count, name in sorted(found, reverse=True)[:_SHOWN])
        return f", scons -c removes an export, the largest are {named}" if named else ""
