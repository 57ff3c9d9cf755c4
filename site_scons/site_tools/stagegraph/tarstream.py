"""Reads the tar stream of a root file system and refuses what could harm the host or be read in two ways.

Every header is checked before a byte of its entry goes on to the program that unpacks it. The rules are strict, since
what this refuses no engine writes: paths stay below the root, each parent directory comes before what lies in it (so
nothing is ever written through a symlink), no path comes twice, a hard link names a file that was seen.

Formats: POSIX pax (IEEE 1003.1-2001) with GNU's sparse files 1.0 and SCHILY.xattr, ustar, and GNU's own with long names
and sparse files, as "Basic Tar Format" of the GNU tar manual describes them. GNU tar unpacks, so where formats leave
room its reading counts.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

from .errors import UserError
from .tree import DEFAULT_ROOT, Entry, keeps_xattr

BLOCK = 512
#: Bytes read at once; a multiple of BLOCK, so that no header is cut in two.
CHUNK = 1 << 20
#: No extended header of a real archive is longer: names have 4096 bytes at most, attributes 64 KiB each.
MAX_EXTENSION = 4 << 20
#: No file is longer, holes counted (16 TiB is where ext4 ends); a longer one is there to keep us busy.
MAX_SIZE = 1 << 44

_KINDS = {b"0": "file", b"\0": "file", b"7": "file", b"S": "file", b"5": "dir", b"2": "symlink",
          b"3": "char", b"4": "block", b"6": "fifo"}  # fmt: skip
_ZEROS = bytes(CHUNK)


def refuse(message: str) -> UserError:
    """The error for an archive that must not be unpacked."""
    return UserError(
        "rootfs-archive", message, hint="nothing was unpacked outside a directory that is removed again; rebuild the "
        "image and look at the step that made this entry",
    )  # fmt: skip


class Truncated(UserError):
    """The stream ended before the archive did."""

    def __init__(self) -> None:
        super().__init__(
            "rootfs-truncated",
            "the stream of the root file system ended before its archive did",
            hint="the engine's own message says why; the tree that stood here before is untouched",
        )


class _Blocks:
    """A stream in pieces of whole blocks; each piece goes to ``sink`` when all that lies in it has been checked."""

    def __init__(self, stream: IO[bytes], sink: Callable[[bytes], None] | None) -> None:
        self._stream = stream
        self._sink = sink
        self._chunk = b""
        self._view = memoryview(b"")
        self._at = 0

    def _fill(self) -> None:
        """Pass the piece on and read the next."""
        if self._sink and self._chunk:
            self._sink(self._chunk)
        self._at = 0
        pieces = []
        missing = CHUNK
        while missing and (piece := self._stream.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        self._chunk = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._view = memoryview(self._chunk)
        if len(self._chunk) < BLOCK:
            raise Truncated()

    def header(self) -> bytes:
        """The next block."""
        if self._at >= len(self._chunk):
            self._fill()
        block = self._chunk[self._at : self._at + BLOCK]
        if len(block) < BLOCK:
            raise Truncated()
        self._at += BLOCK
        return block

    def content(self, size: int) -> Iterator[memoryview]:
        """The next ``size`` bytes in pieces; the rest of their last block is skipped."""
        rest = size
        while rest:
            if self._at >= len(self._chunk):
                self._fill()
            piece = self._view[self._at : self._at + rest]
            self._at += len(piece)
            rest -= len(piece)
            yield piece
        self._at += -size % BLOCK  # never crosses a chunk: chunks are whole blocks

    def finish(self) -> None:
        """Pass on what is left of the archive and read the stream to its end."""
        if self._sink and self._chunk:
            self._sink(self._chunk)
        while self._stream.read(CHUNK):
            pass


@dataclass
class _Extensions:
    """What extended headers said about the entry that follows them."""

    name: bytes | None = None
    link: bytes | None = None
    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    mtime: int | None = None
    xattrs: dict[str, bytes] = field(default_factory=dict)
    sparse: dict[str, bytes] = field(default_factory=dict)
    acls: list[tuple[str, bytes]] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)


def scan(
    stream: IO[bytes], sink: Callable[[bytes], None] | None = None, *, devices: bool | None = None
) -> dict[bytes, Entry]:
    """Check an archive to its end and return its tree; ``sink`` receives the archive's bytes once they are checked.

    ``devices`` says whether device nodes are allowed; by default they are for root only. Raises ``UserError`` code
    rootfs-archive (refused) and ``Truncated``; bytes of a refused entry never reach ``sink``.
    """
    blocks = _Blocks(stream, sink)
    allowed = os.geteuid() == 0 if devices is None else devices
    tree: dict[bytes, Entry] = {b"": DEFAULT_ROOT}
    extensions = _Extensions()
    while True:
        header = blocks.header()
        if header == _ZEROS[:BLOCK]:
            if blocks.header() != _ZEROS[:BLOCK]:
                raise refuse("the archive has a lone block of zeros; programs do not agree where it ends")
            break
        _check_sum(header)
        flag = header[156:157]
        if flag in (b"x", b"L", b"K"):
            _extend(extensions, flag, _number(header, 124, 12, "size"), blocks)
            continue
        _add(tree, header, flag, extensions, blocks, allowed)
        extensions = _Extensions()
    if extensions.seen:
        raise refuse("the archive ends with an extended header that belongs to nothing")
    blocks.finish()
    return tree


def _check_sum(header: bytes) -> None:
    expected = _number(header, 148, 8, "checksum")
    if sum(header) - sum(header[148:156]) + 8 * 0x20 != expected:
        raise refuse(f"a header's checksum is wrong (entry {_text(header, 0, 100)!r})")


def _text(header: bytes, start: int, length: int) -> bytes:
    """A text field: up to its first NUL."""
    return header[start : start + length].split(b"\0", 1)[0]


def _number(header: bytes, start: int, length: int, what: str) -> int:
    """A number field: octal digits, or GNU's base-256 when its first bit is set."""
    data = header[start : start + length]
    if data[0] & 0x80:
        value = int.from_bytes(data, "big", signed=False)
        return value - (1 << 8 * length) if data[0] == 0xFF else value - (0x80 << 8 * (length - 1))
    digits = data.split(b"\0", 1)[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise refuse(f"a header's {what} is {data!r}, which is no number")
    return int(digits, 8) if digits else 0


def _extend(extensions: _Extensions, flag: bytes, size: int, blocks: _Blocks) -> None:
    """Read an extended header: pax records, or a GNU long name or link target."""
    if not 0 < size <= MAX_EXTENSION:
        raise refuse(f"an extended header has {size} bytes")
    if flag in extensions.seen or (extensions.seen and b"x" in extensions.seen | {flag}):
        raise refuse("an entry has several extended headers that compete")
    extensions.seen.add(flag)
    data = b"".join(blocks.content(size))
    if flag == b"x":
        for key, value in _records(data):
            _apply(extensions, key, value)
        return
    if data[-1:] != b"\0":
        raise refuse("a long name does not end with NUL")
    if flag == b"L":
        extensions.name = data[:-1]
    else:
        extensions.link = data[:-1]


def _records(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The records of a pax header, ``length key=value\\n`` each."""
    at = 0
    while at < len(data):
        blank = data.find(b" ", at, at + 20)
        digits = data[at:blank] if blank > 0 else b""
        if not digits.isdigit():
            raise refuse("a pax header holds a record without a length")
        end = at + int(digits)
        key, sign, value = data[blank + 1 : end - 1].partition(b"=")
        if not sign or data[end - 1 : end] != b"\n" or end > len(data):
            raise refuse(f"a pax header holds the malformed record {data[at : at + 40]!r}")
        yield os.fsdecode(key), value
        at = end


def _apply(extensions: _Extensions, key: str, value: bytes) -> None:
    if key == "path":
        extensions.name = value
    elif key == "linkpath":
        extensions.link = value
    elif key in ("size", "uid", "gid"):
        setattr(extensions, key, _decimal(key, value))
    elif key == "mtime":
        whole, _, fraction = value.partition(b".")
        seconds = _decimal(key, whole.removeprefix(b"-"))
        below = value.startswith(b"-")
        extensions.mtime = -seconds - bool(fraction.strip(b"0")) if below else seconds
    elif key.startswith("SCHILY.xattr."):
        extensions.xattrs[key.removeprefix("SCHILY.xattr.")] = value
    elif key.startswith("SCHILY.acl."):
        extensions.acls.append((key, value))
    elif key.startswith("GNU.sparse."):
        extensions.sparse[key.removeprefix("GNU.sparse.")] = value
    # Others (atime, uname, comment …) say nothing that is unpacked.


def _decimal(what: str, value: bytes) -> int:
    if not value.isdigit() or len(value) > 20:
        raise refuse(f"a pax header's {what} is {value!r}, which is no number")
    return int(value)


def _add(
    tree: dict[bytes, Entry],
    header: bytes,
    flag: bytes,
    extensions: _Extensions,
    blocks: _Blocks,
    devices: bool,
) -> None:
    """Check one entry, read its content and put it into the tree."""
    raw = extensions.sparse.get("name") or extensions.name
    if raw is None:
        raw = _text(header, 0, 100)
        # Only POSIX's magic "ustar\0" has a prefix there; GNU's "ustar  " keeps other things in that place.
        if header[257:263] == b"ustar\0" and (prefix := _text(header, 345, 155)):
            raw = prefix + b"/" + raw
    path = clean_path(raw, "entry")
    link = extensions.link if extensions.link is not None else _text(header, 157, 100)
    size = extensions.size if extensions.size is not None else _number(header, 124, 12, "size")
    if not 0 <= size <= MAX_SIZE:
        raise refuse(f"{path!r} claims {size} bytes")
    parent = tree.get(os.path.dirname(path))
    if path and (parent is None or parent.kind != "dir"):
        found = f"a {parent.kind}" if parent else "not in the archive before it"
        raise refuse(f"{path!r} lies below {os.path.dirname(path)!r}, which is {found}")
    if flag == b"1":
        _no_content(path, size)
        _link(tree, path, link)
        return
    kind = _KINDS.get(flag)
    if kind is None:
        raise refuse(f"{path!r} is of the unknown type {flag!r}")
    if kind in ("char", "block") and not devices:
        raise refuse(f"{path!r} is a device node, which only root may make")
    if kind == "file" and raw.endswith(b"/"):
        raise refuse(f"{raw!r} is a file whose name ends like a directory's")
    if path in tree and (tree[path] is not DEFAULT_ROOT or kind != "dir"):
        raise refuse(f"{path!r} comes twice")
    entry = Entry(
        kind,
        _number(header, 100, 8, "mode") & 0o7777,
        extensions.uid if extensions.uid is not None else _number(header, 108, 8, "uid"),
        extensions.gid if extensions.gid is not None else _number(header, 116, 8, "gid"),
        extensions.mtime if extensions.mtime is not None else _number(header, 136, 12, "mtime"),
    )
    _attributes(path, entry, extensions)
    if kind == "file":
        entry.size, entry.sha256 = _content(path, header, flag, size, extensions, blocks)
    else:
        _no_content(path, size)
    if kind == "symlink":
        if not link or b"\0" in link:
            raise refuse(f"the symlink {path!r} has the target {link!r}")
        entry.mode, entry.target = 0o777, link
    elif kind in ("char", "block"):
        entry.device = (_number(header, 329, 8, "major number"), _number(header, 337, 8, "minor number"))
    tree[path] = entry


def clean_path(raw: bytes, what: str) -> bytes:
    """A path without ``.`` and empty components; refused when it is absolute, has ``..`` or NUL, or is empty."""
    if not raw or raw.startswith(b"/") or b"\0" in raw:
        raise refuse(f"the {what} {raw!r} is not a path below the root")
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise refuse(f"the {what} {raw!r} leaves the root by '..'")
    return b"/".join(parts)


def _no_content(path: bytes, size: int) -> None:
    if size:
        raise refuse(f"{path!r} is no regular file but has {size} bytes")


def _link(tree: dict[bytes, Entry], path: bytes, link: bytes) -> None:
    target = clean_path(link, f"target of the hard link {os.fsdecode(path)!r}")
    entry = tree.get(target)
    if entry is None or entry.kind == "dir":
        found = "a directory" if entry else "not in the archive before it"
        raise refuse(f"{path!r} is a hard link to {target!r}, which is {found}")
    if path in tree:
        raise refuse(f"{path!r} comes twice")
    tree[path] = entry


def _attributes(path: bytes, entry: Entry, extensions: _Extensions) -> None:
    entry.xattrs = {name: value for name, value in extensions.xattrs.items() if keeps_xattr(name)}
    for key, value in extensions.acls:
        # The text form holds names of the machine that wrote it, so the attribute with its numbers must be there. Three
        # lines repeat what the mode bits say.
        needed = "system.posix_acl_" + key.removeprefix("SCHILY.acl.")
        minimal = len(value.replace(b",", b"\n").split()) <= 3 and key == "SCHILY.acl.access"
        if not minimal and needed not in entry.xattrs:
            raise refuse(f"{path!r} has an ACL without the attribute {needed}")


def _content(
    path: bytes, header: bytes, flag: bytes, size: int, extensions: _Extensions, blocks: _Blocks
) -> tuple[int, str]:
    """Size and SHA-256 of a file's bytes, holes as zeros."""
    state = hashlib.sha256()
    if flag != b"S" and not extensions.sparse:
        for piece in blocks.content(size):
            state.update(piece)
        return size, state.hexdigest()
    from . import tarsparse

    if flag == b"S":
        return tarsparse.read_gnu(path, header, size, blocks, state)
    return tarsparse.read_pax(path, size, extensions.sparse, blocks, state)
