"""ELF headers as the ABI has them, written apart from the scripts that read them."""

from __future__ import annotations

import struct

#: Architecture → ``e_machine``, as the ABI says it, not as a script does.
MACHINES = {"amd64": 62, "arm64": 183, "riscv64": 243}


def elf_header(
    machine: int = 62, *, bits: int = 2, order: int = 1, at: int = 0, count: int = 0
) -> bytes:
    """An ELF header with ``count`` program headers at ``at`` and no sections: a whole file where there are none.

    bits and order: ``EI_CLASS`` and ``EI_DATA``. The type is 3, a shared object or a program that may lie anywhere.
    """
    ident = b"\x7fELF" + bytes([bits, order, 1])
    return struct.pack("<16sHHIQQQIHHHHHH", ident, 3, machine, 1, 0, at, 0, 0, 64, 56, count, 0, 0, 0)
