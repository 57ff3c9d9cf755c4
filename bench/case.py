"""The nouns: sizes of graphs, what a case is given and what it yields."""

from __future__ import annotations

import os
from dataclasses import dataclass

from timing import Series


@dataclass(frozen=True)
class Shape:
    """A size of graph: ``nodes`` steps, ``steps`` a Dockerfile, each taking ``deps`` of ``files`` files."""

    nodes: int
    files: int
    deps: int
    steps: int = 10
    seed: int = 1

    @property
    def stages(self) -> int:
        """How many Dockerfiles."""
        return -(-self.nodes // self.steps)

    @property
    def last(self) -> str:
        """The name of the stage that stands on all others."""
        return f"s{self.stages - 1:02}"


SMALL = Shape(nodes=30, files=300, deps=10)
LARGE = Shape(nodes=300, files=5000, deps=17)
#: Few, since each is a real engine call.
TRIVIAL = Shape(nodes=8, files=20, deps=2, steps=4)


@dataclass(frozen=True)
class Group:
    """Series measured in one alternation; ``series[0]`` is what the others are compared with.

    notes: what a reader has to know; missing: what could not be measured, and why
    """

    title: str
    series: tuple[Series, ...]
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bench:
    """Where the bench works and how often it measures."""

    directory: str
    rounds: int

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def store(self, name: str) -> list[str]:
        """The options of buildah for a store of the bench's own, as ``--store`` gives them."""
        return [
            "--root",
            os.path.join(self.path(name), "root"),
            "--runroot",
            os.path.join(self.path(name), "run"),
        ]
