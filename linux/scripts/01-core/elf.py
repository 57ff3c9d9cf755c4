#!/usr/bin/env python3
"""Read what matters of ELF files; as a program: assert the machine of every ELF file below some paths.

    elf.py ARCH PATH…      exit 1 and one line per offender if an ELF file is not for ARCH

Objects inside static libraries (ar archives) count as well. An ELF file of another class or byte order than
the targets', or one that ends too early, is an offender too, never "no ELF file". Only the fields of the ELF
header and the dynamic section are read (System V ABI, chapters 4 and 5).
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

# By Debian architecture name: e_machine, and the name of the target in program names and folders.
MACHINES = {"amd64": 62, "arm64": 183, "riscv64": 243}
TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu", "riscv64": "riscv64-linux-gnu"}

_MAGIC = b"\x7fELF"
_HEADER = 64
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_SONAME = 0, 1, 5, 14


class ForeignElf(Exception):
    """An ELF file that no target can have: of another class or byte order, or cut off."""


@dataclass(frozen=True)
class Elf:
    """One ELF file: machine number, needed libraries and own library name."""

    machine: int
    needed: list[str] = field(default_factory=list)
    soname: str = ""


def machine_of(head: bytes) -> int | None:
    """Return e_machine of the ELF header in `head` (at least 64 bytes of the file, or all of it).

    None if it is no ELF file. Raises ForeignElf.
    """
    if head[:4] != _MAGIC:
        return None
    if len(head) < _HEADER:
        raise ForeignElf(f"an ELF file that ends after {len(head)} bytes, within its header")
    if head[4] != 2 or head[5] != 1:
        bits, order = {1: "32", 2: "64"}.get(head[4], "?"), {1: "little", 2: "big"}.get(head[5], "?")
        raise ForeignElf(f"a {bits}-bit {order}-endian ELF file")
    return int(struct.unpack_from("<H", head, 18)[0])


def read_elf(path: Path) -> Elf | None:
    """Return what `path` holds, or None if it is no ELF file. Raises ForeignElf."""
    with path.open("rb") as file:
        head = file.read(_HEADER)
        machine = machine_of(head)
        if machine is None:
            return None
        try:
            return Elf(machine, *_dynamic(file, head))
        except (struct.error, ValueError, OverflowError, OSError) as error:
            raise ForeignElf(f"an ELF file whose tables are cut off ({error})") from error


def _dynamic(file: BinaryIO, head: bytes) -> tuple[list[str], str]:
    """Return the needed libraries and the own name that the dynamic section says; ([], "") without one."""
    offset = struct.unpack_from("<Q", head, 32)[0]
    size, count = struct.unpack_from("<HH", head, 54)
    file.seek(offset)
    table = file.read(size * count)
    loads: list[tuple[int, int, int]] = []
    dynamic: tuple[int, int] | None = None
    for index in range(count):
        kind, _, at, address, _, length = struct.unpack_from("<IIQQQQ", table, index * size)
        if kind == _PT_LOAD:
            loads.append((address, at, length))
        elif kind == _PT_DYNAMIC:
            dynamic = (at, length)
    if dynamic is None:
        return [], ""
    if sum(dynamic) > os.fstat(file.fileno()).st_size:
        raise struct.error("the dynamic section")
    file.seek(dynamic[0])
    section = file.read(dynamic[1])
    needed: list[int] = []
    soname = strings = 0
    for tag, value in struct.iter_unpack("<QQ", section[: len(section) // 16 * 16]):
        if tag == _DT_NULL:
            break
        if tag == _DT_NEEDED:
            needed.append(value)
        elif tag == _DT_SONAME:
            soname = value
        elif tag == _DT_STRTAB:
            strings = value
    bases = [at + strings - address for address, at, length in loads if address <= strings < address + length]
    if not bases:
        return [], ""

    def text(offset: int) -> str:
        file.seek(bases[0] + offset)
        return file.read(4096).split(b"\0", 1)[0].decode()

    return [text(each) for each in needed], text(soname) if soname else ""


def regular_files(*roots: Path) -> Iterator[Path]:
    """Yield every real file (no link) at or below `roots`, in sorted order."""
    for root in roots:
        if root.is_file():
            found = [root]
        else:
            found = sorted(Path(folder) / name for folder, _, names in os.walk(root) for name in names)
        yield from (path for path in found if path.is_file() and not path.is_symlink())


def archive_machines(path: Path) -> set[int]:
    """Return the machines of the ELF objects in the ar archive `path`; empty if it is no archive (ar(5)).

    Raises ForeignElf, also for what cannot be looked into: a thin archive, a header that is none.
    """
    machines: set[int] = set()
    end = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(8)
        if magic == b"!<thin>\n":
            raise ForeignElf("a thin archive, whose objects lie elsewhere")
        if magic != b"!<arch>\n":
            return machines
        while header := file.read(60):
            if len(header) < 60 or header[58:] != b"`\n" or not header[48:58].strip().isdigit():
                raise ForeignElf("an archive whose member headers are broken")
            size, start = int(header[48:58]), file.tell()
            if start + size > end:
                raise ForeignElf("an archive that ends within a member")
            machine = machine_of(file.read(min(size, _HEADER)))
            if machine is not None:
                machines.add(machine)
            file.seek(start + size + size % 2)
    return machines


def check(arch: str, *roots: Path) -> tuple[int, list[str]]:
    """Look at every ELF file and static library below `roots`.

    Returns how many there are, and one sentence for each that is not for `arch`.
    """
    count, offenders = 0, []
    for path in regular_files(*roots):
        try:
            elf = read_elf(path)
            machines = {elf.machine} if elf else archive_machines(path)
        except ForeignElf as error:
            count += 1
            offenders.append(f"{path}: {error}, expected machine {MACHINES[arch]} ({arch})")
            continue
        count += bool(machines)
        if machines - {MACHINES[arch]}:
            said = ", ".join(map(str, sorted(machines)))
            offenders.append(f"{path}: machine {said}, expected {MACHINES[arch]} ({arch})")
    return count, offenders


def require(arch: str, *roots: Path) -> int:
    """Stop unless there is an ELF file below `roots` and all of them are for `arch`; return how many."""
    count, offenders = check(arch, *roots)
    if not count:
        sys.exit(f"error: no ELF file below {' '.join(map(str, roots))}: nothing was checked")
    if offenders:
        sys.exit("\n".join(f"error: {sentence}" for sentence in offenders))
    return count


if __name__ == "__main__":
    wanted, *names = sys.argv[1:]
    print(f"{require(wanted, *map(Path, names))} ELF files below {' '.join(names)} are for {wanted}")
