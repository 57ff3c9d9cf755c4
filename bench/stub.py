"""An engine for setting up a bench: it builds nothing and keeps nothing.

A no-op asks about records, inputs and exports, and no engine when an export is asked for. So a graph whose real
build takes hours can be brought to "up to date" in a second: every image is an empty one. Never used in what is
measured.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from stagegraph.engines import detect
from stagegraph.model import BuildRequest, ImageConfig, StoredImage


class StubEngine:
    """An ``Engine`` that lives as long as its process; ``directory`` is where locks go."""

    name = "stub"

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._images: dict[str, ImageConfig] = {}
        self._names: dict[str, str] = {}

    def _add(self, platform: str, labels: Mapping[str, str]) -> str:
        system, architecture = platform.split("/")[:2]
        known = json.dumps([platform, dict(labels)], sort_keys=True)
        image = f"sha256:{hashlib.sha256(known.encode()).hexdigest()}"
        # The layer differs from node to node, or all of them would have one content id.
        layer = f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"
        self._images[image] = ImageConfig(image, system, architecture, "", (layer,), {"Labels": dict(labels)})
        return image

    def version(self) -> str:
        return "1.0"

    def images(self) -> list[StoredImage]:
        return [
            StoredImage(image, tuple(name for name, named in self._names.items() if named == image))
            for image in self._images
        ]

    def inspect(self, image_id: str) -> ImageConfig:
        return self._images[image_id]

    def build_argv(self, request: BuildRequest) -> list[str]:
        return ["stub", request.dockerfile, request.target]

    def build(self, request: BuildRequest, log: IO[bytes]) -> str:
        return self._add(request.platform, request.labels)

    def tag(self, image_id: str, names: Sequence[str]) -> None:
        self._names |= dict.fromkeys(names, image_id)

    def untag(self, names: Sequence[str]) -> None:
        for name in names:
            self._names.pop(name, None)

    def remove(self, image_ids: Sequence[str]) -> None:
        for image in image_ids:
            del self._images[image]

    def load(self, layout: str) -> str:
        return self._add("linux/amd64", {})

    def pull(self, reference: str, platform: str) -> str:
        return self._add(platform, {})

    @contextmanager
    def rootfs(self, image_id: str, run: str) -> Iterator[IO[bytes]]:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for name in (".", "./etc", "./usr"):
                entry = tarfile.TarInfo(name)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
        stream.seek(0)
        yield stream

    def sweep(self, dead_runs: Mapping[str, str]) -> list[str]:
        return []

    def store(self) -> str:
        return self._directory


def register(directory: str) -> None:
    """Make ``--engine=stub`` known."""
    os.makedirs(directory, exist_ok=True)
    engine = StubEngine(directory)
    detect.ENGINES["stub"] = lambda options: engine
