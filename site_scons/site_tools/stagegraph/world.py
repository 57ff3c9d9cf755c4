"""The world a plan asks: files, records and the engine's store, each looked at no more than it must be."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from . import exports, ignore, inputs, outputs, records
from .errors import UserError
from .image import content_id
from .model import OUTPUT_KINDS, ImageConfig, Node, StoredImage
from .parsecache import ParseCache
from .records import Record
from .statcache import StatCache

if TYPE_CHECKING:
    from .engines.base import Engine


class StoreView:
    """The engine's image list as it was when first asked for, kept up with what this run does."""

    def __init__(self, engine: Engine | None, listed: Iterable[StoredImage]) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._ids: set[str] = set()
        self._names: dict[str, str] = {}
        self._configs: dict[str, ImageConfig] = {}
        for image in listed:
            self.add(image.id, image.names)

    def has(self, image_id: str) -> bool:
        return image_id in self._ids

    def named(self, name: str) -> str:
        return self._names.get(name, "")

    def inspect(self, image_id: str) -> ImageConfig:
        with self._lock:
            known = self._configs.get(image_id)
        if known is None:
            assert self._engine is not None, image_id
            known = self._engine.inspect(image_id)
            with self._lock:
                self._configs[image_id] = known
        return known

    def add(self, image_id: str, names: Iterable[str]) -> None:
        """Take in an image that this run made, loaded or named."""
        with self._lock:
            self._ids.add(image_id)
            for name in names:
                self._names[name] = image_id


class Workspace:
    """One checkout with its out/ directory; the ``World`` of the planner.

    root:      absolute path of the project
    timestamp: SOURCE_DATE_EPOCH, in seconds
    stats, parsed: what was hashed and parsed before; saved by whoever may write
    engine:    gives the engine; asked only when the store matters, may raise ``UserError``
    verify:    look at whole exported trees and at the images behind records, not only at marks
    ca_bundle: file of certificates that CA_BUNDLE names; empty for the host's own
    """

    def __init__(
        self,
        root: str,
        timestamp: int,
        engine: Callable[[], Engine],
        stats: StatCache,
        parsed: ParseCache,
        *,
        verify: bool = False,
        ca_bundle: str = "",
    ) -> None:
        self.root = root
        self.timestamp = timestamp
        self.stats = stats
        self.parsed = parsed
        self.verify = verify
        self.ca_bundle = ca_bundle
        self.tolerate_no_engine = False
        #: Where --store points to, in a question: an engine that is asked about a store makes it.
        self.asked_store = ""
        self.no_engine = ""
        self._engine = engine
        self._view: StoreView | None = None
        self._asked = False
        self._ignores: dict[str, ignore.Ignore] = {}
        #: The files that the values of this run come from, as they were read.
        self.declared_by: Mapping[str, bytes] = {}
        #: What the engine reads by itself, as this run read it; None for a file that was not there.
        self._kept: dict[str, bytes | None] = {}
        self._lock = threading.Lock()
        self._tree_stats: StatCache | None = None

    def path(self, relative: str) -> str:
        """The absolute path of a path relative to the project's root (an absolute one stays as it is)."""
        return os.path.join(self.root, relative)

    def files(self, node: Node) -> Mapping[str, str]:
        if not node.sources:
            return {}
        return inputs.snapshot(self.root, node.sources, self._ignore(node.dockerfile), self.stats)

    def resolved(self, node: Node) -> Node:
        if node.kind != "root" or not ("tree" in node.options or "stored" in node.options):
            return node
        from . import artifacts

        return artifacts.resolved(node, self)

    def tree_stats(self) -> StatCache:
        """What was hashed of the trees of artifacts: too much to be read by commands that need none."""
        with self._lock:
            self._tree_stats = self._tree_stats or self.stats.beside("trees.json")
            return self._tree_stats

    def save_stats(self) -> None:
        """Keep what was hashed for the next run. Raises OSError."""
        for stats in (self.stats, self._tree_stats):
            if stats is not None:
                stats.save()

    def _ignore(self, dockerfile: str) -> ignore.Ignore:
        if dockerfile not in self._ignores:
            self._ignores[dockerfile] = ignore.load(self.root, dockerfile, self.parsed)
        return self._ignores[dockerfile]

    def record(self, node: Node) -> Record | None:
        return records.read(self.path(node.record))

    def store(self) -> StoreView | None:
        with self._lock:
            if not self._asked:
                self._asked = True
                self._view = self._list()
            return self._view

    def _list(self) -> StoreView | None:
        if self.asked_store and not os.path.isdir(self.asked_store):
            return StoreView(None, ())
        try:
            engine = self._engine()
            return StoreView(engine, engine.images())
        except UserError as problem:
            if not self.tolerate_no_engine:
                raise
            self.no_engine = problem.message
            return None

    def engine(self) -> Engine:
        """The engine; raises ``UserError`` when none works."""
        return self._engine()

    def content_id(self, image: ImageConfig) -> str:
        return content_id(image)

    def damage(self, node: Node, record: Record) -> str:
        if node.kind in OUTPUT_KINDS:
            return outputs.damage(self.path(node.record), node, record, deep=self.verify)
        if self.verify:
            return self._image_damage(record)
        return ""

    def _image_damage(self, record: Record) -> str:
        store = self.store()
        if store is None or not store.has(record.image_id):
            return ""
        found = content_id(store.inspect(record.image_id))
        if found == record.content_id:
            return ""
        return f"image {record.image_id[7:19]} has content {found[7:19]}, its record says {record.content_id[7:19]}"

    def outdated_labels(self, node: Node, record: Record, image: Record) -> str:
        return exports.outdated(self.path(os.path.dirname(node.record)), node, record, image)

    def read_beside(self, dockerfile: str) -> None:
        """Keep what the engine reads by itself during a build, as it is now; call before the Dockerfile is parsed."""
        for path in _read_by_engine(dockerfile):
            self._kept[path] = self._bytes(path)

    def check_read(self, dockerfile: str) -> None:
        """Load the ignore file. Raises ``UserError`` when it or the Dockerfile was edited since ``read_beside``."""
        self._ignore(dockerfile)
        edited = self.edited([dockerfile])
        if edited:
            raise UserError(
                "inputs-changed", f"{edited[0]} was edited while it was read", hint="run the same command again"
            )

    def edited(self, dockerfiles: Iterable[str]) -> list[str]:
        """The Dockerfiles among these, and their ignore files, that are not what this run goes by."""
        paths = [path for dockerfile in dockerfiles for path in _read_by_engine(dockerfile)]
        return [path for path in paths if self._bytes(path) != self._kept[path]]

    def edited_values(self) -> list[str]:
        """The files of versions that are not what this run goes by."""
        return [path for path, data in self.declared_by.items() if self._bytes(path) != data]

    def write_context(self, node: Node, files: Mapping[str, str], directory: str) -> None:
        """Copy what a step reads into a new directory: the files in the states that were signed, the Dockerfile as it
        was read. Raises ``UserError`` inputs-changed."""
        from . import context

        engine_files = {path: self._kept[path] for path in _read_by_engine(node.dockerfile)}
        context.write(self.root, files, engine_files, directory, self.timestamp)

    def forget_store(self) -> None:
        """Have the engine's images listed anew at the next question."""
        with self._lock:
            self._asked = False
            self._view = None

    def _bytes(self, path: str) -> bytes | None:
        try:
            with open(self.path(path), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None


def _read_by_engine(dockerfile: str) -> tuple[str, ...]:
    names = (f"{dockerfile}.containerignore", f"{dockerfile}.dockerignore", ".containerignore", ".dockerignore")
    return (dockerfile, *names)
