#!/usr/bin/env python3
"""Read what matters of ELF files; as a program: assert the machine of every ELF file below some paths.

    elf.py ARCH PATH…      exit 1 and one line per offender if an ELF file is not for ARCH

Objects inside static libraries (ar archives) count as well. Only the fields of the ELF header and the
dynamic section are read (System V ABI, chapters 4 and 5).
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# e_machine by Debian architecture name.
MACHINES = {"amd64": 62, "arm64": 183, "riscv64": 243}

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_SONAME = 0, 1, 5, 14


@dataclass(frozen=True)
class Elf:
    """One ELF file: machine number, needed libraries and own library name."""

    machine: int
    needed: list[str] = field(default_factory=list)
    soname: str = ""


def read_elf(path: Path) -> Elf | None:
    """Return what `path` holds, or None if it is no 64-bit little-endian ELF file."""
    with path.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:4] != b"\x7fELF" or head[4] != 2 or head[5] != 1:
            return None
        machine = struct.unpack_from("<H", head, 18)[0]
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
            return Elf(machine)
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
        base = next(
            (
                at + strings - address
                for address, at, length in loads
                if address <= strings < address + length
            ),
            None,
        )
        if base is None:
            return Elf(machine)

        def text(offset: int) -> str:
            file.seek(base + offset)
            return file.read(4096).split(b"\0", 1)[0].decode()

        return Elf(machine, [text(each) for each in needed], text(soname) if soname else "")


def elf_files(*roots: Path) -> Iterator[tuple[Path, Elf]]:
    """Yield every ELF file that is a real file (no link) at or below `roots`, in sorted order."""
    for root in roots:
        found = (
            [root]
            if root.is_file()
            else sorted(Path(folder) / name for folder, _, names in os.walk(root) for name in names)
        )
        for path in found:
            if path.is_symlink() or not path.is_file():
                continue
            elf = read_elf(path)
            if elf is not None:
                yield path, elf


def archive_machines(path: Path) -> set[int]:
    """Return the machines of the ELF objects in the ar archive `path`; empty if it is no archive."""
    machines: set[int] = set()
    with path.open("rb") as file:
        if file.read(8) != b"!<arch>\n":
            return machines
        while len(header := file.read(60)) == 60:
            size = int(header[48:58])
            start = file.tell()
            head = file.read(20)
            if head[:4] == b"\x7fELF":
                machines.add(struct.unpack_from("<H", head, 18)[0])
            file.seek(start + size + size % 2)
    return machines


def wrong_machine(arch: str, *roots: Path) -> list[str]:
    """Return one sentence for each ELF file or static library below `roots` that is not for `arch`."""
    found = [(path, {elf.machine}) for path, elf in elf_files(*roots)]
    for root in roots:
        found += [
            (path, archive_machines(path)) for path in sorted(root.rglob("*.a")) if not path.is_symlink()
        ]
    return [
        f"{path}: machine {', '.join(map(str, sorted(machines)))}, expected {MACHINES[arch]} ({arch})"
        for path, machines in found
        if machines - {MACHINES[arch]}
    ]


def main() -> int:
    arch, *names = sys.argv[1:]
    roots = [Path(name) for name in names]
    count = sum(1 for _ in elf_files(*roots))
    if not count:
        print(f"error: no ELF file below {' '.join(names)}: nothing was checked", file=sys.stderr)
        return 1
    offenders = wrong_machine(arch, *roots)
    for sentence in offenders:
        print(f"error: {sentence}", file=sys.stderr)
    if not offenders:
        print(f"{count} ELF files below {' '.join(names)} are for {arch}")
    return 1 if offenders else 0


if __name__ == "__main__":
    sys.exit(main())
