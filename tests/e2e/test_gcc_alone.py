"""/opt/gcc-<version> copied alone into a clean root compiles: it holds real files and needs no other folder of the chain."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from elf_header import MACHINES

from .checkout import PLACE, profile
from .conftest import Sdk
from .machine import Tree, elf_machine, host_mirror, triplet
from .test_use_sdk import CXX, C

GCC = f"opt/gcc-{profile()['GCC_VERSION']}"


@pytest.fixture(scope="module")
def clean(sdk: Sdk) -> Iterator[Path]:
    """A root of binutils and libc6-dev, with that one folder of the SDK."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not installed; ./sconsw setup installs it")
    root = PLACE / "gcc-alone"
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", "--include=binutils,libc6-dev", "stable", str(root), host_mirror()],
        check=True,
    )
    subprocess.run(["cp", "-a", str(sdk.rootfs / GCC), str(root / "opt")], check=True)
    yield root
    shutil.rmtree(root)


@pytest.fixture
def alone(clean: Path, tmp_path: Path) -> Tree:
    return Tree(clean, tmp_path, profile())


def test_no_link_leads_outside(sdk: Sdk) -> None:
    top = sdk.rootfs / GCC
    for folder, folders, names in os.walk(top):
        for path in (Path(folder, name) for name in [*folders, *names]):
            if path.is_symlink():
                leads = os.readlink(path)
                assert not os.path.isabs(leads), f"{path} → {leads}"
                assert path.resolve().is_relative_to(top) and path.exists(), f"{path} → {leads}"


def test_it_compiles_for_the_machine_it_runs_on(alone: Tree) -> None:
    assert not (alone.root / "usr/bin/gcc").exists(), "the root is not clean"
    (alone.work / "c.c").write_text(C)
    (alone.work / "cxx.cc").write_text(CXX)
    alone.run("gcc", "-Wall", "-Werror", "-O2", "/mnt/c.c", "-lm", "-o", "/mnt/c")
    alone.run("g++", "-Wall", "-Werror", "-O2", "-std=c++20", "-pthread", "/mnt/cxx.cc", "-o", "/mnt/cxx")
    done = alone.call("/mnt/c", "word")
    assert (done.returncode, done.stdout) == (2, "word 2.000\n")
    library = alone.run("g++", "-print-file-name=libstdc++.so.6").strip()
    place = str(Path(library).parent) if library.startswith("/") else ""
    assert place.startswith(f"/{GCC}/"), f"libstdc++ comes from {library}"
    assert alone.run("/mnt/cxx", LD_LIBRARY_PATH=place) == "0bottom 1bottom 2bottom 3bottom 8\n"
    assert alone.run("gcc", "-print-prog-name=cc1").startswith(f"/{GCC}/")


@pytest.mark.parametrize("target", ["arm64", "riscv64"])
def test_it_compiles_for_foreign_targets(alone: Tree, sdk: Sdk, target: str) -> None:
    (alone.work / "c.c").write_text(C)
    (alone.work / "cxx.cc").write_text(CXX)
    name = triplet(target)
    for tool in ("as", "ld", "cc1"):
        assert os.path.realpath(alone.run(f"{name}-gcc", f"-print-prog-name={tool}").strip()).startswith(f"/{GCC}/")
    alone.run(f"{name}-g++", "-O2", "-std=c++20", "-pthread", "/mnt/cxx.cc", "-o", "/mnt/dynamic")
    assert elf_machine(alone.work / "dynamic") == MACHINES[target]
    alone.run(f"{name}-gcc", "-O2", "-static", "/mnt/c.c", "-lm", "-o", "/mnt/c")
    alone.run(f"{name}-g++", "-O2", "-std=c++20", "-pthread", "-static", "/mnt/cxx.cc", "-o", "/mnt/cxx")
    assert elf_machine(alone.work / "cxx") == MACHINES[target]
    whole = Tree(sdk.rootfs, alone.work, profile())
    assert whole.call(*whole.emulated(target, "/mnt/c", "word")).stdout == "word 2.000\n"
    assert whole.run(*whole.emulated(target, "/mnt/cxx")) == "0bottom 1bottom 2bottom 3bottom 8\n"
