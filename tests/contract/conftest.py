"""Fixtures of the contract tests: each kind of engine with a store and a root of its own."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_engine import write_layout
from stagegraph import process
from stagegraph.engines.base import Engine

from .support import REAL, Project, make_engine, remove_store

TOOLS = ("sh", "cat", "chmod", "cp", "mkdir", "sleep")


@pytest.fixture(scope="module", params=["fake", *REAL])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    path = tmp_path_factory.mktemp(f"store-{request.param}")
    yield request.param, path
    remove_store(path)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path) -> Iterator[None]:
    """Killed engines leave files in their TMPDIR; here they go with the test's directory."""
    (tmp_path / "scratch").mkdir()
    process.set_scratch(str(tmp_path / "scratch"))
    yield
    process.set_scratch("")


@pytest.fixture
def engine(store: tuple[str, Path]) -> Engine:
    return make_engine(*store)


@pytest.fixture(scope="session")
def root_layout(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An OCI layout with the host's shell and the libraries it needs."""
    files: dict[str, str] = {}
    for tool in TOOLS:
        path = shutil.which(tool)
        assert path is not None, tool
        files[f"bin/{tool}"] = os.path.realpath(path)
        said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        files.update(
            (library.lstrip("/"), os.path.realpath(library)) for library in re.findall(r"/\S+", said)
        )
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, source in sorted(files.items()):
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.mode = os.path.getsize(source), 0o755
            with open(source, "rb") as stream:
                archive.addfile(info, stream)
    layout = tmp_path_factory.mktemp("root") / "Layout"
    write_layout(str(layout), [out.getvalue()], config={"Env": ["PATH=/bin", "FROM_ROOT=yes"]})
    return str(layout)


@pytest.fixture
def base(engine: Engine, root_layout: str) -> str:
    return engine.load(root_layout)


@pytest.fixture
def project(engine: Engine, tmp_path: Path) -> Project:
    return Project(engine, tmp_path / "project")
