"""Fixtures of the graph tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lanes import Lanes
from .project import Project


def make_place() -> Path:
    """A fresh directory, in memory where there is such a place: thousands of small files are synced to it."""
    memory = "/dev/shm"
    return Path(tempfile.mkdtemp(prefix="graph-", dir=memory if os.access(memory, os.W_OK) else None))


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for one test."""
    path = make_place()
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def template() -> Iterator[Project]:
    """A project that was built once, to be copied."""
    path = make_place()
    project = Project(path / "project", path / "store")
    project.good()
    yield project
    shutil.rmtree(path)


@pytest.fixture
def built(template: Project, place: Path) -> Project:
    """The project of graph.project, up to date, with a store of its own."""
    shutil.copytree(template.path.parent, place, symlinks=True, dirs_exist_ok=True)
    return Project(place / "project", place / "store")


@pytest.fixture
def project(place: Path) -> Project:
    """The project of graph.project, never built."""
    return Project(place / "project", place / "store")


@pytest.fixture(scope="session")
def lanes_template() -> Iterator[Lanes]:
    """The project of graph.lanes, everything built once, to be copied."""
    path = make_place()
    lanes = Lanes(path)
    lanes.good("out", "manifest")
    yield lanes
    shutil.rmtree(path)


@pytest.fixture
def lanes(lanes_template: Lanes, place: Path) -> Lanes:
    """The project of graph.lanes, up to date, with a store of its own."""
    shutil.copytree(lanes_template.path.parent, place, symlinks=True, dirs_exist_ok=True)
    return Lanes(place)
