"""Fixtures of the graph tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .project import Project


@pytest.fixture
def place() -> Iterator[Path]:
    """A fresh directory, in memory where there is such a place: thousands of small files are synced to it."""
    memory = "/dev/shm"
    path = Path(tempfile.mkdtemp(prefix="graph-", dir=memory if os.access(memory, os.W_OK) else None))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def project(place: Path) -> Project:
    """The project of graph.project, never built."""
    return Project(place / "project", place / "store")
