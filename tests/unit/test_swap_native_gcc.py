"""linux/scripts/04-android/swap_native_gcc.py: the compiler in the image is the target's afterwards, or nothing is (fix 4)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from elf_header import elf_header


def tree(top: Path, name: str, machine: int) -> Path:
    """A GCC tree whose programs are of this machine."""
    data = elf_header(machine)
    for path in ("bin/gcc-14", "bin/g++", "bin/cpp", "bin/gcov", "libexec/gcc/cc1"):
        file = top / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (top / name / "bin/gcc").symlink_to("gcc-14")
    return top / name


@pytest.fixture
def top(tmp_path: Path) -> Path:
    tree(tmp_path, "gcc-14.2.0", 62)
    for arch, machine in (("amd64", 62), ("arm64", 183), ("riscv64", 243)):
        tree(tmp_path, f"gcc-14.2.0-native-{arch}", machine)
    return tmp_path


def test_the_native_compiler_takes_the_place(script: Callable[[str], ModuleType], top: Path) -> None:
    script("swap_native_gcc").swap("arm64", "14.2.0", top)
    assert [path.name for path in top.iterdir()] == ["gcc-14.2.0"]
    assert struct.unpack_from("<H", (top / "gcc-14.2.0/bin/gcc").read_bytes(), 18)[0] == 183


def test_a_native_compiler_of_another_machine_is_refused_before_the_swap(
    script: Callable[[str], ModuleType], top: Path
) -> None:
    (top / "gcc-14.2.0-native-arm64/bin/g++").write_bytes((top / "gcc-14.2.0/bin/g++").read_bytes())
    with pytest.raises(SystemExit, match="machine 62, expected 183"):
        script("swap_native_gcc").swap("arm64", "14.2.0", top)
    assert len(list(top.iterdir())) == 4


def test_a_compiler_proper_of_another_machine_is_seen_after_the_swap(
    script: Callable[[str], ModuleType], top: Path
) -> None:
    (top / "gcc-14.2.0-native-riscv64/libexec/gcc/cc1").write_bytes((top / "gcc-14.2.0/bin/g++").read_bytes())
    with pytest.raises(SystemExit, match="cc1: machine 62, expected 243"):
        script("swap_native_gcc").swap("riscv64", "14.2.0", top)


def test_a_target_without_a_native_compiler_is_refused(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    tree(tmp_path, "gcc-14.2.0", 62)
    with pytest.raises(SystemExit, match="gcc is not there\nhint: does CROSS_TARGETS name arm64"):
        script("swap_native_gcc").swap("arm64", "14.2.0", tmp_path)
