"""Copies of this project in which real scons processes run, so that no test touches the tree it is started from."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagegraph.engines.base import EngineOptions
from stagegraph.engines.buildah import Buildah

TOP = Path(__file__).resolve().parents[2]

#: Copies and stores of the tests. The stores stay, so that a second test run adopts what the first one built.
PLACE = TOP / "out" / "test"

#: Never part of a copy: what was built, and what tools leave behind.
NOT_COPIED = shutil.ignore_patterns(
    "out", ".git", ".venv", ".sconsign*", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"
)

#: Variables of the caller that would change what a run builds or where to; mirrors and proxies stay.
SCRUBBED = (
    "SCONSFLAGS", "PROFILE", "TARGET_ARCHES", "TARGET_ARCH", "CROSS_TARGETS", "LANE", "OUTPUT_ROOT", "IMAGE_REPO",
    "IMAGE", "LOG_DIR", "ROOT_IMAGE", "USE_FAST_UBUNTU_MIRROR", "FAST_UBUNTU_MIRROR_URL", "FAST_UBUNTU_PORTS_MIRROR_URL",
    "ARTIFACT_BUILD_MODE", "ARTIFACT_IMAGE_PREFIX", "ARTIFACT_CONTEXT_ROOT", "ARTIFACT_CONTEXT_MODE", "RUNTIME_CONTEXT_ROOT",
    "TORCH_APP_MODE", "CA_BUNDLE",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """How a run ended and what it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """All of it, for messages of asserts."""
        return f"exit status {self.status}\n--- stdout\n{self.stdout}--- stderr\n{self.stderr}"

    def nodes(self, what: str) -> list[str]:
        """The nodes that were ``built``, ``adopted``, ``exported`` or ``relabelled``, sorted."""
        return sorted(re.findall(rf"(?m)^\[ *[\d.]+\] {what} +(\S+) in ", self.stdout))

    @property
    def errors(self) -> list[str]:
        """The lines that begin an error."""
        return re.findall(r"(?m)^ *(?:error|sconsw): .*", self.stdout + self.stderr)


class Checkout:
    """A copy of this project.

    path: its top; folder: where scons runs in it; store: directory of the images, empty for the engine's own
    """

    def __init__(self, path: Path, store: str, folder: str = ".") -> None:
        self.path = path
        self.store = store
        self.folder = path / folder

    @classmethod
    def fresh(cls, name: str, store: str, folder: str = ".", place: Path = PLACE) -> Checkout:
        """A new copy in ``place``, instead of the one of the same name that an earlier test run left."""
        path = place / name
        if path.exists():
            shutil.rmtree(path)
        shutil.copytree(TOP, path, symlinks=True, ignore=NOT_COPIED)
        return cls(path, store, folder)

    def command(self, *words: str) -> list[str]:
        """The command line of a run."""
        store = [f"--store={self.store}"] if self.store else []
        return [sys.executable, "-P", "-m", "SCons", *store, *words]

    def scons(self, *words: str, env: Mapping[str, str] | None = None) -> Result:
        """Run scons to its end."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def good(self, *words: str, env: Mapping[str, str] | None = None) -> Result:
        """Run scons; it has to end well."""
        result = self.scons(*words, env=env)
        assert result.status == 0, result.text
        return result

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start scons as a process of its own; both streams come out of its stdout."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def options(self) -> EngineOptions:
        """Where the engine finds this checkout's store."""
        return Buildah(EngineOptions(root=f"{self.store}/root")).options if self.store else EngineOptions()

    def store_flags(self) -> list[str]:
        """The options that lead an engine, called by hand, to this checkout's store."""
        where = self.options()
        return ["--root", where.root, "--runroot", where.runroot] if self.store else []

    def engine(self, *words: str, program: str = "buildah") -> str:
        """What a command of the engine prints, asked of this checkout's store."""
        argv = [program, *self.store_flags(), *words]
        return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, cwd=self.folder).stdout

    def run_in(self, image: str, *argv: str) -> str:
        """What a command prints in a container of an image of the store."""
        container = self.engine("from", "--pull-never", image).strip()
        try:
            return self.engine("run", "--isolation", "chroot", container, "--", *argv)
        finally:
            self.engine("rm", container)

    def images(self) -> set[str]:
        """The ids of all images of the store."""
        listed = json.loads(self.engine("images", "--all", "--json", "--no-trunc"))
        return {image["id"] for image in listed or ()}

    def containers(self) -> set[str]:
        """The names of all containers of the store."""
        listed = json.loads(self.engine("containers", "--all", "--json"))
        return {container["containername"] for container in listed or ()}

    def record(self, node: str) -> dict[str, Any]:
        """The record of a node."""
        return self.records()[node]

    def records(self) -> dict[str, dict[str, Any]]:
        """The records of all nodes but the exports, by node."""
        files = sorted((self.folder / "out" / "images").rglob("*.json"))
        read: list[dict[str, Any]] = [json.loads(path.read_text()) for path in files]
        return {record["node"]: record for record in read}

    def edit(self, path: str, text: str) -> None:
        """Append text to a file of the copy."""
        with open(self.folder / path, "a", encoding="utf-8") as stream:
            stream.write(text)

    @contextmanager
    def edited(self, path: str, text: str) -> Iterator[None]:
        """The file with text behind it, for the length of a block."""
        file = self.folder / path
        before = file.read_text()
        file.write_text(before + text)
        try:
            yield
        finally:
            file.write_text(before)


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without what would change a run's result, with ``more`` laid over it."""
    kept = {name: value for name, value in os.environ.items() if name not in SCRUBBED}
    return {**kept, **(more or {})}


def profile() -> dict[str, str]:
    """The versions that the profile ``prebuilt`` advertises."""
    text = (TOP / "linux" / "profiles" / "prebuilt.env").read_text()
    return dict(re.findall(r"(?m)^([A-Z_0-9]+)=(.*)$", text))
