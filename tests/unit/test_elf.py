"""linux/scripts/01-core/elf.py: which files are for a target, which are not, and that none passes unseen."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from elf_header import MACHINES, elf_header

SCRIPT = Path(__file__).resolve().parents[2] / "linux" / "scripts" / "01-core" / "elf.py"


@pytest.fixture
def elf(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("elf")


def segment(kind: int, at: int, address: int, length: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, 0, at, address, address, length, length, 8)


def library(length: int = 96) -> bytes:
    """A shared library whose segments lie at other addresses than offsets; its dynamic section says `length`."""
    strings = b"\0libone.so.1\0libtwo.so.2\0libown.so.3\0"
    entries = [(1, 1), (1, 13), (14, 25), (5, 0x4000 + 272), (0, 0), (1, 1)]  # what follows DT_NULL is void
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    tables = segment(1, 0, 0x4000, 4096) + segment(2, 176, 0x4000 + 176, length)
    return elf_header(at=64, count=2) + tables + dynamic + strings


def archive(*members: bytes) -> bytes:
    parts = [b"!<arch>\n"]
    for data in members:
        parts.append(b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (b"one.o/", 0, 0, 0, b"100644", len(data)))
        parts += [data, b"\n" * (len(data) % 2)]
    return b"".join(parts)


@pytest.mark.parametrize("arch", MACHINES)
@pytest.mark.parametrize("other", MACHINES)
@pytest.mark.parametrize("form", ["file", "archive"])
def test_each_machine_is_right_for_its_own_arch_only(
    elf: ModuleType, tmp_path: Path, arch: str, other: str, form: str
) -> None:
    path = tmp_path / "it"
    path.write_bytes(elf_header(MACHINES[other]) if form == "file" else archive(elf_header(MACHINES[other])))
    wrong = [f"{path}: machine {MACHINES[other]}, expected {MACHINES[arch]} ({arch})"]
    assert elf.check(arch, tmp_path) == (1, [] if arch == other else wrong)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(elf_header(bits=1), "a 32-bit little-endian ELF file", id="32-bit"),
        pytest.param(elf_header(order=2), "a 64-bit big-endian ELF file", id="big-endian"),
        pytest.param(elf_header(183, bits=1, order=2), "a 32-bit big-endian ELF file", id="both"),
        pytest.param(elf_header(bits=0), "a ?-bit little-endian ELF file", id="no class"),
        pytest.param(elf_header()[:4], "ends after 4 bytes", id="4 bytes"),
        pytest.param(elf_header()[:10], "ends after 10 bytes", id="10 bytes"),
        pytest.param(elf_header()[:63], "ends after 63 bytes", id="63 bytes"),
        pytest.param(elf_header(at=64, count=1), "tables are cut off", id="no table"),
        pytest.param(elf_header(at=64, count=2) + segment(1, 0, 0, 64), "tables are cut off", id="half a table"),
        pytest.param(library(4096), "tables are cut off", id="half a dynamic section"),
        pytest.param(elf_header(at=2**64 - 1, count=1), "cut off", id="table beyond"),
        pytest.param(library(2**62), "cut off", id="dynamic section too large"),
    ],
)
def test_what_no_target_can_have_is_an_offender(elf: ModuleType, tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "it"
    path.write_bytes(data)
    count, offenders = elf.check("amd64", tmp_path)
    assert (count, len(offenders)) == (1, 1)
    assert offenders[0].startswith(f"{path}: ") and said in offenders[0]
    assert offenders[0].endswith(", expected machine 62 (amd64)")


@pytest.mark.parametrize(
    "data", [b"", b"text\n", b"\x7fEL", b"#!/bin/sh\n" + elf_header(183), b"!<arch>\n", archive(b"text", b"more text")]
)
def test_what_is_no_elf_file_is_not_counted(elf: ModuleType, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "it").write_bytes(data)
    assert elf.check("amd64", tmp_path) == (0, [])


def test_links_are_not_followed(elf: ModuleType, tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside / "deep", outside):
        folder.mkdir(parents=True)
    (inside / "deep" / "right").write_bytes(elf_header())
    (outside / "wrong").write_bytes(elf_header(183))
    (inside / "file").symlink_to(outside / "wrong")
    (inside / "folder").symlink_to(outside)
    (inside / "dangling").symlink_to("nothing")
    assert elf.check("amd64", inside) == (1, [])
    assert elf.check("amd64", inside / "file") == (0, [])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(archive(elf_header(), b"odd", elf_header() + b"x", elf_header()), None, id="right"),
        pytest.param(archive(elf_header(), b"odd", elf_header(183)), "machine 62, 183, expected 62", id="wrong"),
        pytest.param(archive(elf_header() + b"x", elf_header(183)), "machine 62, 183, expected 62", id="odd object"),
        pytest.param(archive(elf_header(), elf_header(bits=1)), "a 32-bit little-endian", id="32-bit"),
        pytest.param(archive(elf_header(), elf_header()[:40]), "ends after 40 bytes", id="short object"),
        pytest.param(archive(elf_header())[:-1], "ends within a member", id="cut off"),
        pytest.param(archive(elf_header() + bytes(99))[:-50], "ends within a member", id="cut off late"),
        pytest.param(b"!<thin>\n" + archive(elf_header())[8:], "a thin archive", id="thin"),
        pytest.param(archive(elf_header()) + b"x" * 59, "headers are broken", id="header cut off"),
        pytest.param(archive(elf_header()).replace(b"`\n", b"``"), "headers are broken", id="no end mark"),
        pytest.param(archive(elf_header()).replace(b"64  ", b"-4  "), "headers are broken", id="negative size"),
    ],
)
def test_archives_are_looked_into(elf: ModuleType, tmp_path: Path, data: bytes, said: str | None) -> None:
    path = tmp_path / "libit.a"
    path.write_bytes(data)
    count, offenders = elf.check("amd64", path)
    assert (count, len(offenders)) == (1, 0 if said is None else 1)
    assert all(each.startswith(f"{path}: ") and str(said) in each for each in offenders)


def test_libraries_and_own_name_are_read_up_to_the_end_mark(elf: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "it.so"
    path.write_bytes(library())
    assert elf.read_elf(path) == elf.Elf(62, ["libone.so.1", "libtwo.so.2"], "libown.so.3")


def test_nothing_checked_is_an_error(elf: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program\n")
    with pytest.raises(SystemExit, match=f"^error: no ELF file below {tmp_path} /nothing: nothing was check"):
        elf.require("amd64", tmp_path, Path("/nothing"))
    (tmp_path / "program").write_bytes(elf_header())
    assert elf.require("amd64", tmp_path, Path("/nothing")) == 1


def test_as_a_program(tmp_path: Path) -> None:
    def run(arch: str) -> tuple[int, str, str]:
        command = [sys.executable, "-B", str(SCRIPT), arch, str(tmp_path / "a"), str(tmp_path / "b")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    for name in ("a", "b"):
        (tmp_path / name).write_bytes(elf_header(243))
    assert run("riscv64") == (0, f"2 ELF files below {tmp_path}/a {tmp_path}/b are for riscv64\n", "")
    lines = [f"error: {tmp_path}/{name}: machine 243, expected 183 (arm64)\n" for name in "ab"]
    assert run("arm64") == (1, "", "".join(lines))


def test_readelf_says_the_same_of_what_this_process_runs(elf: ModuleType) -> None:
    """Of the interpreter's own file and of every shared library mapped into it."""
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed; it comes with binutils")
    mapped = set(re.findall(r"\s(/\S+)$", Path("/proc/self/maps").read_text(), re.MULTILINE))
    paths = {path for path in map(Path, mapped) if path.is_file() and ".so" in path.name}
    read = {path: elf.read_elf(path) for path in [Path(sys.executable).resolve(), *sorted(paths)]}
    assert any(each.needed and each.soname for each in read.values())
    plain = {**os.environ, "LC_ALL": "C"}
    for path, each in read.items():
        said = subprocess.check_output(["readelf", "-dW", path], env=plain, text=True)
        assert each.needed == re.findall(r"\(NEEDED\) .*\[(.*)\]", said), path
        assert [each.soname] == (re.findall(r"\(SONAME\) .*\[(.*)\]", said) or [""]), path
