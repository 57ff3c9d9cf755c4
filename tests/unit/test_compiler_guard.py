"""linux/scripts/06-packaging/compiler_guard.py: each of its three layers refuses what only it can see (fix 4)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from elf_header import MACHINES, elf_header

TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu", "riscv64": "riscv64-linux-gnu"}


@pytest.fixture
def guard(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("compiler_guard")


def compiler(folder: Path, says: str, makes: int, runs_on: int, name: str = "gcc") -> Path:
    """A compiler as wrapper script and program: what it says of itself, what it makes, and what the program is."""
    (folder / "object").write_bytes(elf_header(makes))
    path = folder / name
    path.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = -dumpmachine ]; then echo {says}; exit; fi\n'
        'while [ "$1" != -o ]; do shift; done\n'
        f'cp "{folder}/object" "$2"\n'
    )
    path.chmod(0o755)
    (folder / f"{name}.real").write_bytes(elf_header(runs_on))
    return path


@pytest.mark.parametrize("arch", MACHINES)
def test_the_targets_own_compiler_passes(guard: ModuleType, tmp_path: Path, arch: str) -> None:
    path = compiler(tmp_path, TRIPLETS[arch], MACHINES[arch], MACHINES[arch])
    assert f"runs on {arch}" in guard.guard(path, arch)


def test_layer_1_refuses_a_compiler_for_another_target(guard: ModuleType, tmp_path: Path) -> None:
    path = compiler(tmp_path, "x86_64-linux-gnu", makes=183, runs_on=183)
    assert guard.program_machine(path, "arm64") and guard.compiles(path, "arm64", tmp_path)
    with pytest.raises(guard.Wrong, match="compiles for x86_64-linux-gnu, not for aarch64-linux-gnu"):
        guard.guard(path, "arm64")


def test_layer_2_refuses_a_cross_compiler(guard: ModuleType, tmp_path: Path) -> None:
    """It says the right triplet and makes the right objects, under an emulator that nobody asked for."""
    path = compiler(tmp_path, "aarch64-linux-gnu", makes=183, runs_on=62)
    assert guard.dumpmachine(path, "arm64") and guard.compiles(path, "arm64", tmp_path)
    with pytest.raises(guard.Wrong, match=r"gcc\.real runs on machine 62, not on 183 \(arm64\)"):
        guard.guard(path, "arm64")


def test_layer_3_refuses_objects_of_another_machine(guard: ModuleType, tmp_path: Path) -> None:
    path = compiler(tmp_path, "riscv64-linux-gnu", makes=62, runs_on=243)
    assert guard.dumpmachine(path, "riscv64") and guard.program_machine(path, "riscv64")
    with pytest.raises(guard.Wrong, match="made an object for machine 62"):
        guard.guard(path, "riscv64")


def test_layer_3_refuses_a_driver_without_its_compiler_proper(guard: ModuleType, tmp_path: Path) -> None:
    path = compiler(tmp_path, "aarch64-linux-gnu", makes=183, runs_on=183)
    path.write_text(path.read_text().replace("cp ", 'echo "cannot execute cc1" >&2; exit 1; cp '))
    with pytest.raises(guard.Wrong, match=r"compiles nothing.*cannot execute cc1"):
        guard.guard(path, "arm64")


def test_a_wrapper_without_a_program_is_refused(guard: ModuleType, tmp_path: Path) -> None:
    path = compiler(tmp_path, "aarch64-linux-gnu", makes=183, runs_on=183)
    (tmp_path / "gcc.real").unlink()
    with pytest.raises(guard.Wrong, match=r"is no ELF file, and no gcc\.real lies beside it"):
        guard.guard(path, "arm64")


def test_a_compiler_that_is_not_there_is_refused(guard: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(guard.Wrong, match="does not start"):
        guard.guard(tmp_path / "none", "arm64")


def test_a_real_compiler_of_this_machine_passes_all_layers(guard: ModuleType) -> None:
    path = shutil.which("gcc")
    if path is None:
        pytest.skip("this host has no gcc to look at")
    assert "runs on amd64 and compiles for x86_64" in guard.guard(Path(path), "amd64")
    with pytest.raises(guard.Wrong, match="not for riscv64-linux-gnu"):
        guard.guard(Path(path), "riscv64")
