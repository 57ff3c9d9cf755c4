"""linux/scripts/02-toolchain/keep-targets.sh: the compiler image holds the targets of CROSS_TARGETS, no others."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "linux" / "scripts" / "02-toolchain" / "keep-targets.sh"

GCC = "opt/gcc-14.2.0"

#: What no target takes with it.
ALWAYS = {
    f"{GCC}/bin/gcc",
    f"{GCC}/lib/libgmp.so.10",
    "opt/gcc-13.1.0/bin/aarch64-linux-gnu-gcc",
    "opt/llvm-19/bin/clang",
    "usr/local/bin/python3",
    "usr/local/bin/clang-format",
}

#: The image's own compiler on linux/amd64, which stays there even where amd64 is no target.
HOST = {
    f"{GCC}/bin/x86_64-linux-gnu-gcc",
    f"{GCC}/lib/gcc/x86_64-linux-gnu/14/libgcc.a",
    f"{GCC}/x86_64-linux-gnu/bin/as",
}


def cross(triplet: str) -> set[str]:
    """The compiler for a foreign target, folders within folders of its name among it."""
    return {
        f"{GCC}/bin/{triplet}-gcc",
        f"{GCC}/bin/{triplet}-ld.bfd",
        f"{GCC}/lib/gcc-cross/{triplet}/14/libgcc.a",
        f"{GCC}/libexec/gcc-cross/{triplet}/14/cc1",
        f"{GCC}/lib/x86_64-linux-gnu/{triplet}-plugin.so",
        f"{GCC}/{triplet}/include/{triplet}/stdio.h",
    }


def of_arch(arch: str) -> set[str]:
    """What each target has under its arch's name."""
    return {
        f"{GCC}-native-{arch}/bin/gcc",
        f"opt/python-cross/{arch}/usr/local/bin/python3",
        f"usr/local/bin/clang-{arch}",
        f"usr/local/bin/clang++-{arch}",
    }


TARGETS = {
    "amd64": of_arch("amd64"),
    "arm64": of_arch("arm64") | cross("aarch64-linux-gnu"),
    "riscv64": of_arch("riscv64") | cross("riscv64-linux-gnu"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small root with everything for all targets."""
    root = tmp_path / "root"
    for name in ALWAYS.union(HOST, *TARGETS.values()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def keep(root: Path, cross_targets: str, here: str = "amd64") -> subprocess.CompletedProcess[str]:
    """Run a copy, in `root`, without the first slash of its paths: the script would take this host's compilers.

    here: the platform of the build, as far as dpkg says
    """
    text = SCRIPT.read_text(encoding="utf-8")
    absolute = re.compile(r"(?<![\w}!*/.+-])/\w[\w+/-]*")
    found = absolute.findall(text)
    assert found and all(path.startswith(("/opt/", "/usr/local/")) for path in found), found
    copy = root.parent / "keep-targets.sh"
    copy.write_text(absolute.sub(lambda match: match[0][1:], text), encoding="utf-8")
    dpkg = root.parent / "bin" / "dpkg"
    dpkg.parent.mkdir(exist_ok=True)
    dpkg.write_text(f"#!/bin/sh\necho {here}\n")
    dpkg.chmod(0o755)
    environment = {**os.environ, "PATH": f"{dpkg.parent}:{os.environ['PATH']}"}
    command = ["bash", str(copy), cross_targets, GCC.rpartition("-")[2]]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("cross_targets", "kept"),
    [
        ("amd64,arm64,riscv64", {"amd64", "arm64", "riscv64"}),
        ("arm64", {"arm64"}),
        ("amd64", {"amd64"}),
        ("riscv64,amd64", {"riscv64", "amd64"}),
        ("riscv64 amd64", {"riscv64", "amd64"}),
    ],
)
def test_exactly_the_named_targets_stay(root: Path, cross_targets: str, kept: set[str]) -> None:
    done = keep(root, cross_targets)
    assert (done.returncode, done.stderr) == (0, "")
    left = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert left == ALWAYS.union(HOST, *(TARGETS[arch] for arch in kept))
    assert done.stdout.splitlines() == [
        f"{arch} is not in CROSS_TARGETS={cross_targets}: its compilers are left out"
        for arch in TARGETS
        if arch not in kept
    ]


def test_on_another_platform_its_own_gcc_stays(root: Path) -> None:
    assert keep(root, "riscv64", here="riscv64").returncode == 0
    left = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert left == {path for path in ALWAYS | HOST | TARGETS["riscv64"] if "x86_64" not in path}
    assert keep(root, "amd64", here="riscv64").returncode == 0
    assert (root / GCC / "bin/riscv64-linux-gnu-gcc").exists()


def test_links_and_folders_of_a_left_out_target_go_too(root: Path) -> None:
    for triplet in ("x86_64-linux-gnu", "aarch64-linux-gnu"):
        (root / GCC / f"bin/{triplet}-cc").symlink_to(f"{triplet}-gcc")
    assert keep(root, "amd64").returncode == 0
    assert (root / GCC / "bin/x86_64-linux-gnu-cc").exists()
    left = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir() or path.is_symlink()}
    assert [name for name in left if re.search("aarch64|arm64|riscv64", name)] == []


def test_an_unknown_target_removes_nothing(root: Path) -> None:
    done = keep(root, "amd64,arm46")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "error: CROSS_TARGETS names 'arm46'")
    assert {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} == ALWAYS.union(
        HOST, *TARGETS.values()
    )


def test_a_root_without_the_gcc_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    done = keep(tmp_path / "root", "amd64")
    assert done.returncode != 0
    assert GCC in done.stderr
