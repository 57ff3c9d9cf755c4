"""Sparse files in tar streams: GNU's own format and its pax format 1.0, see "Storing Sparse Files" of the GNU tar manual.

Loaded only when an archive has one. A file's hash is that of what a program reads, holes as zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from .tarstream import BLOCK, MAX_SIZE, _Blocks, _number, refuse

if TYPE_CHECKING:
    from hashlib import _Hash

#: A run of data: offset in the file and length.
Run = tuple[int, int]

#: More runs than this no file system makes of a file that an image holds; each one costs memory.
MAX_RUNS = 1 << 20

_ZEROS = bytes(1 << 20)


def read_gnu(path: bytes, header: bytes, size: int, blocks: _Blocks, state: _Hash) -> tuple[int, str]:
    """A file of type S: four runs stand in the header, more in blocks that follow it."""
    runs = list(_gnu_runs(header, 386, 4))
    more = header[482]
    while more:
        block = blocks.header()
        runs += _gnu_runs(block, 0, 21)
        more = block[504]
        if len(runs) > MAX_RUNS:
            raise refuse(f"the sparse file {path!r} has more than {MAX_RUNS} runs")
    return _expand(path, runs, _number(header, 483, 12, "real size"), size, blocks, state)


def _gnu_runs(block: bytes, start: int, count: int) -> Iterator[Run]:
    for at in range(start, start + 24 * count, 24):
        if block[at] == 0:
            return
        yield _number(block, at, 12, "sparse offset"), _number(block, at + 12, 12, "sparse length")


def read_pax(
    path: bytes, size: int, keys: Mapping[str, bytes], blocks: _Blocks, state: _Hash
) -> tuple[int, str]:
    """A sparse file in pax format 1.0: its content begins with the runs as lines of decimal numbers."""
    real = keys.get("realsize", b"")
    if keys.get("major") != b"1" or keys.get("minor") != b"0" or not real.isdigit() or "name" not in keys:
        raise refuse(f"the sparse file {path!r} is in another format than pax 1.0: {dict(keys)!r}")
    text = bytearray()
    wanted = 1  # numbers in the map: their count, then two a run
    read = 0
    while text.count(b"\n") < wanted:
        if read + BLOCK > size:
            raise refuse(f"the sparse file {path!r} has an incomplete map")
        for piece in blocks.content(BLOCK):
            text += piece
        read += BLOCK
        count, end, _ = text.partition(b"\n")
        if end:
            if not count.isdigit() or not int(count) <= MAX_RUNS:
                raise refuse(f"the sparse file {path!r} claims {bytes(count[:20])!r} runs")
            wanted = 1 + 2 * int(count)
    numbers = bytes(text).split(b"\n")[1:wanted]
    if not all(number.isdigit() for number in numbers):
        raise refuse(f"the sparse file {path!r} has a malformed map")
    runs = [(int(numbers[at]), int(numbers[at + 1])) for at in range(0, len(numbers), 2)]
    return _expand(path, runs, int(real), size - read, blocks, state)


def _expand(
    path: bytes, runs: list[Run], real: int, stored: int, blocks: _Blocks, state: _Hash
) -> tuple[int, str]:
    """Hash the whole file; runs must ascend, fit into it and add up to what the archive stores of it."""
    position = 0
    for offset, length in runs:
        if offset < position or length < 0 or offset + length > real:
            raise refuse(
                f"the sparse file {path!r} has the run {offset}+{length} out of order or out of its {real} bytes"
            )
        position = offset + length
    if real > MAX_SIZE or sum(length for _, length in runs) != stored:
        raise refuse(
            f"the sparse file {path!r} of {real} bytes stores {stored} bytes, which its map contradicts"
        )
    data = blocks.content(stored)
    rest = memoryview(b"")
    position = 0
    for offset, length in runs:
        _zeros(state, offset - position)
        position = offset + length
        while length:
            rest = rest or next(data)
            state.update(rest[:length])
            length, rest = length - len(rest[:length]), rest[length:]
    for _ in data:  # past the padding of the last block
        pass
    _zeros(state, real - position)
    return real, state.hexdigest()


def _zeros(state: _Hash, count: int) -> None:
    while count > 0:
        state.update(_ZEROS[:count])
        count -= len(_ZEROS)
