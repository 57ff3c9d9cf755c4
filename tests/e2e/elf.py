"""Programs of a few instructions for each arch, so that an image needs no distribution to have something to run."""

from __future__ import annotations

import struct

from elf_header import MACHINES

_BASE = 0x400000
_HEADERS = 64 + 56


def program(arch: str) -> bytes:
    """A static ELF program for linux/<arch> that prints its arch and a line end, and ends with status 0."""
    text = f"{arch}\n".encode()
    code = {"amd64": _amd64, "arm64": _arm64, "riscv64": _riscv64}[arch](len(text))
    body = code + text
    size = _HEADERS + len(body)
    flags = 4 if arch == "riscv64" else 0  # the double-float ABI, which QEMU wants to be told
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, MACHINES[arch], 1, _BASE + _HEADERS, 64, 0, flags, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + body


def _amd64(length: int) -> bytes:
    """write(1, text, length) and exit(0); the text lies right behind the code."""
    end = bytes([0xB8, 60, 0, 0, 0, 0x31, 0xFF, 0x0F, 0x05])  # mov eax, 60; xor edi, edi; syscall
    load = bytes([0xB8, 1, 0, 0, 0, 0xBF, 1, 0, 0, 0, 0xBA]) + struct.pack("<I", length)  # mov eax, 1; edi, 1; edx
    call = bytes([0x0F, 0x05])
    return load + bytes([0x48, 0x8D, 0x35]) + struct.pack("<I", len(call + end)) + call + end  # lea rsi, [rip + …]


def _arm64(length: int) -> bytes:
    def mov(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register

    svc, words = 0xD4000001, 8
    adr = 0x10000001 | (words - 1) << 5  # x1, the text: seven instructions on
    code = [mov(0, 1), adr, mov(2, length), mov(8, 64), svc, mov(0, 0), mov(8, 93), svc]
    return struct.pack(f"<{words}I", *code)


def _riscv64(length: int) -> bytes:
    def li(register: int, value: int) -> int:
        return value << 20 | register << 7 | 0x13

    ecall, words = 0x73, 9
    auipc = 11 << 7 | 0x17  # a1, this place
    add = (words - 1) * 4 << 20 | 11 << 15 | 11 << 7 | 0x13  # a1, the text
    code = [li(10, 1), auipc, add, li(12, length), li(17, 64), ecall, li(10, 0), li(17, 93), ecall]
    return struct.pack(f"<{words}I", *code)
