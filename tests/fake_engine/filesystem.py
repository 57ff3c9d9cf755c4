"""A root file system in memory: what the layers of an image make together, and the layer between two of them."""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

WHITEOUT = ".wh."


@dataclass(frozen=True)
class Entry:
    """A file, directory ("dir"), symbolic link or other thing at one path."""

    kind: bytes
    mode: int
    data: bytes = b""
    link: str = ""
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    pax: tuple[tuple[str, str], ...] = field(default=())


Tree = dict[str, Entry]


def directory(mode: int = 0o755) -> Entry:
    """A directory entry."""
    return Entry(tarfile.DIRTYPE, mode)


def regular(data: bytes, mode: int = 0o644) -> Entry:
    """A file entry."""
    return Entry(tarfile.REGTYPE, mode, data)


def clean(path: str) -> str:
    """``path`` without leading ``/`` or ``./``; the top directory is ``.``."""
    return posixpath.normpath("/" + path).lstrip("/") or "."


def apply(tree: Tree, layer: bytes) -> Tree:
    """The tree with an (uncompressed) layer laid over it."""
    result = dict(tree)
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        for member in archive:
            path = clean(member.name)
            folder, name = posixpath.split(path)
            if name.startswith(WHITEOUT):
                remove(result, posixpath.join(folder, name.removeprefix(WHITEOUT)))
                continue
            stream = archive.extractfile(member) if member.isreg() else None
            kept = {k: v for k, v in member.pax_headers.items() if k.startswith("SCHILY.xattr.")}
            if not member.isdir():
                remove(result, path)
            result[path] = Entry(
                kind=member.type if not member.isreg() else tarfile.REGTYPE,
                mode=member.mode,
                data=stream.read() if stream else b"",
                link=clean(member.linkname) if member.islnk() else member.linkname,
                uid=member.uid,
                gid=member.gid,
                mtime=int(member.mtime),
                pax=tuple(sorted(kept.items())),
            )
    return result


def remove(tree: Tree, path: str) -> None:
    """Remove a path and all below it."""
    for known in [known for known in tree if known == path or known.startswith(path + "/")]:
        del tree[known]


def put(tree: Tree, path: str, entry: Entry) -> None:
    """Set an entry and make the directories above it."""
    path = clean(path)
    for parent in parents(path):
        tree.setdefault(parent, directory())
    tree[path] = entry


def parents(path: str) -> Iterable[str]:
    """The directories above a path, nearest first, without the top."""
    while path := posixpath.dirname(path):
        yield path


def layer(old: Tree, new: Tree, timestamp: int) -> bytes:
    """The layer that turns ``old`` into ``new``; all times are ``timestamp``."""
    changed = {path: replace(e, mtime=timestamp) for path, e in new.items() if old.get(path) != e}
    for path in old:
        if path not in new and (posixpath.dirname(path) in new or "/" not in path):
            folder, name = posixpath.split(path)
            changed[posixpath.join(folder, WHITEOUT + name)] = Entry(tarfile.REGTYPE, 0, mtime=timestamp)
    return pack(changed)


def pack(tree: Tree) -> bytes:
    """A tree as a tar archive, sorted by path."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, entry in sorted(tree.items()):
            info = tarfile.TarInfo("." if path == "." else f"./{path}")
            info.type, info.mode, info.uid, info.gid = entry.kind, entry.mode, entry.uid, entry.gid
            info.mtime, info.size = entry.mtime, len(entry.data)
            info.linkname = f"./{entry.link}" if entry.kind == tarfile.LNKTYPE else entry.link
            info.pax_headers = dict(entry.pax)
            archive.addfile(info, io.BytesIO(entry.data))
    return out.getvalue()


def digest(tree: Tree) -> str:
    """A hash of all of a tree."""
    return hashlib.sha256(repr(sorted(tree.items())).encode()).hexdigest()
