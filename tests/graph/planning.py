"""The plan for a copy of this project in which every node counts as built: what an edit makes stale, without building.

A run of scons reads the copy as any run does; then, in the place of an answer or a build, the plan over all nodes is
written down. The records of the nodes are made, not built: each in the order of the graph from what it takes, with a
content id of its own. They stay in memory, so exports and images need not lie anywhere.
"""

from __future__ import annotations

import functools
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from stagegraph import plan, public, records, settings
from stagegraph.model import Node
from stagegraph.project import Project
from stagegraph.records import Record
from stagegraph.signature import ledger, sign

from .runner import Result, run_scons

TOP = Path(__file__).resolve().parents[2]

#: The words that declare each graph; the nodes of all of them count as built.
LANES: tuple[tuple[str, ...], ...] = ((), ("LANE=native",))

#: Variables of the caller that would change what is planned.
SCRUBBED = (*settings.SETTINGS, "SCONSFLAGS")


def tracked() -> list[str]:
    """The files of this project that git tracks or would track, without the tests (but what the SConstruct reads)."""
    words = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(words, cwd=TOP, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
    kept = {path for path in listed if path and (not path.startswith("tests/") or path == "tests/SConscript")}
    return sorted(path for path in kept if os.path.lexists(TOP / path))


@dataclass(frozen=True)
class Planned:
    """What the plan says of each node: state, and where it comes from (Dockerfile, step, arch)."""

    states: dict[str, str]
    reasons: dict[str, list[str]]
    origins: dict[str, tuple[str, str, str]]

    def named(self, state: str) -> set[str]:
        """The nodes in a state."""
        return {name for name, found in self.states.items() if found == state}

    @property
    def stale(self) -> set[str]:
        """The nodes that would be built for an input of their own."""
        return self.named(plan.BUILD)

    @property
    def renamed(self) -> set[str]:
        """The exports whose artifact.env would be written anew, and nothing else."""
        return self.named(plan.RELABEL)

    @property
    def followers(self) -> set[str]:
        """The nodes that would be built if what they stand on came out different."""
        return self.named(plan.CONDITIONAL)


class Copy:
    """A copy of this project at ``path``; ``scratch`` holds what runs print and the records of its nodes."""

    def __init__(self, path: Path, scratch: Path) -> None:
        self.path, self.scratch = path, scratch
        self._memory = scratch / "memory"

    @classmethod
    def make(cls, place: Path) -> Copy:
        """A fresh copy, all of whose nodes count as built."""
        copy = cls(place / "copy", place / "scratch")
        copy.scratch.mkdir()
        for name in tracked():
            (copy.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, copy.path / name, follow_symlinks=False)
        for words in LANES:
            result = copy._run(functools.partial(_remember, memory=copy._memory), *words)
            assert result.rc == 0, result.text
        return copy

    def clone(self, place: Path) -> Copy:
        """The same in another directory."""
        shutil.copytree(self.path.parent, place, symlinks=True, dirs_exist_ok=True)
        return Copy(place / self.path.name, place / self.scratch.name)

    # Files

    def read(self, name: str) -> str:
        return (self.path / name).read_text("utf-8")

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def append(self, name: str, text: str) -> None:
        self.write(name, self.read(name) + text)

    def replace(self, name: str, old: str, new: str) -> None:
        """Change a text in a file, everywhere; it must be there."""
        text = self.read(name)
        assert old in text, (name, old)
        self.write(name, text.replace(old, new))

    # Questions

    def plan(self, *words: str, env: Mapping[str, str] | None = None) -> Planned:
        """The plan over all nodes, with these settings (``NAME=value``) on the command line."""
        answer = self.scratch / "answer"
        answer.unlink(missing_ok=True)
        result = self._run(functools.partial(_plan, memory=self._memory, answer=answer), *words, env=env)
        assert answer.exists(), result.text
        found = json.loads(answer.read_text("utf-8"))
        return Planned(found["states"], found["reasons"], {name: tuple(told) for name, told in found["origins"].items()})

    def refused(self, *words: str) -> str:
        """What is printed where the project, as it is now, cannot even be read."""
        result = self._run(functools.partial(_plan, memory=self._memory, answer=self.scratch / "none"), *words)
        assert result.rc == 2 and "Traceback" not in result.text, result.text
        return result.stderr

    def scons(self, *words: str, path: Path) -> Result:
        """Run scons as a process of its own, with the records of all images below out/ and programs from ``path``."""
        for name, known in pickle.loads(self._memory.read_bytes()).items():
            if known["image"]:
                records.write(str(self.path / name), known["record"])
        kept = {name: value for name, value in os.environ.items() if name not in SCRUBBED}
        argv = [sys.executable, "-P", "-m", "SCons", *words]
        environment = {**kept, "PATH": str(path)}
        done = subprocess.run(argv, cwd=self.path, env=environment, capture_output=True, text=True, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    def _run(self, answer: Any, *words: str, env: Mapping[str, str] | None = None) -> Result:
        def hook() -> None:
            for name in set(SCRUBBED) - set(env or {}):
                os.environ.pop(name, None)
            public.carry_out = answer

        return run_scons(words, self.path, self.scratch, env, hook)


# What takes the place of command.carry_out, in the process that read the copy.


def _remember(project: Project, memory: Path) -> NoReturn:
    """Make the records of all nodes as they are now, beside those of another lane."""
    known: dict[str, dict[str, Any]] = pickle.loads(memory.read_bytes()) if memory.exists() else {}
    ids: dict[str, str] = {}
    for node in project.graph.nodes.values():
        contents = {parent.ref: ids[parent.node] for parent in node.parents}
        entries = ledger(node, project.space.files(node), contents, project.space.timestamp)
        signature = sign(entries)
        content = ids[node.name] = f"sha256:{signature}"
        record = Record(
            node=node.name, signature=signature, content_id=content, image_id=content, ledger=entries, how="built",
            when="2026-01-01T00:00:00Z", seconds=1.0, size=1, engine="none", log="",
        )  # fmt: skip
        known[node.record] = {"record": record, "env": dict(node.env), "image": node.kind in ("root", "step")}
    memory.write_bytes(pickle.dumps(known))
    project.save_caches()
    sys.exit(0)


def _plan(project: Project, memory: Path, answer: Path) -> NoReturn:
    """Plan over all nodes and write down what comes out."""
    known = pickle.loads(memory.read_bytes())

    def record(node: Node) -> Record | None:
        return known[node.record]["record"] if node.record in known else None

    def outdated(node: Node, _: Record, __: Record) -> str:
        return "" if known[node.record]["env"] == dict(node.env) else "artifact.env has to say something else"

    space = project.space
    space.record, space.outdated_labels = record, outdated
    space.damage = lambda node, record: ""
    space.store = lambda: None
    decisions = project.planner.plan(list(project.graph.nodes))
    told = {
        "states": {name: decision.state for name, decision in decisions.items()},
        "reasons": {name: decision.reasons for name, decision in decisions.items()},
        "origins": {name: (d.node.dockerfile, d.node.step, d.node.arch) for name, d in decisions.items()},
    }
    answer.write_text(json.dumps(told), "utf-8")
    sys.exit(0)
