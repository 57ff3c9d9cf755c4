"""The build context of each Dockerfile, as an engine called by hand would get it: what the steps take, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stagegraph import dockerfile, ignore, inputs
from stagegraph.statcache import StatCache

TOP = Path(__file__).resolve().parents[2]

DOCKERFILES = sorted(str(path.relative_to(TOP)) for path in (TOP / "linux").glob("Dockerfile.*") if path.suffix != ".dockerignore")

#: A context is sent whole at every build by hand; the largest of ours is a sixth of this.
MAX_BYTES = 512 * 1024


def context(path: str) -> dict[str, int]:
    """File → bytes of everything that the Dockerfile's ignore file lets through."""
    rules = ignore.load(str(TOP), path)
    found = {}
    for folder, folders, names in os.walk(TOP):
        below = os.path.relpath(folder, TOP)
        folders[:] = [name for name in folders if not rules.hides_all_of(os.path.normpath(os.path.join(below, name)))]
        for name in names:
            file = os.path.normpath(os.path.join(below, name))
            if not rules.excluded(file):
                found[file] = os.lstat(os.path.join(TOP, file)).st_size
    return found


def taken(path: str) -> set[str]:
    """The files that the steps of the Dockerfile take."""
    sources = [source for step in dockerfile.read(str(TOP), path).steps for source in step.sources]
    states = inputs.snapshot(str(TOP), sources, ignore.load(str(TOP), path), StatCache(os.devnull))
    return {file for file, state in states.items() if not state.startswith("d")}


def test_every_dockerfile_has_an_ignore_file_of_its_own() -> None:
    assert DOCKERFILES
    assert [path for path in DOCKERFILES if not (TOP / f"{path}.dockerignore").is_file()] == []


@pytest.mark.parametrize("path", DOCKERFILES)
def test_the_context_is_what_the_steps_take(path: str) -> None:
    sizes = context(path)
    assert set(sizes) == taken(path)
    assert sum(sizes.values()) < MAX_BYTES


@pytest.mark.parametrize("path", DOCKERFILES)
def test_out_never_enters_a_context(path: str) -> None:
    rules = ignore.load(str(TOP), path)
    assert rules.excluded("out/linux-sdk/arm64/rootfs/etc/passwd")
    assert rules.hides_all_of("out")
