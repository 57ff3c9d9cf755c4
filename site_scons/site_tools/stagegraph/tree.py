"""The canonical listing of a file tree: one line an entry, the same from a tar stream and from the disk.

A listing says all that an image says about a tree: paths, types, modes, owners, times in whole seconds, contents, link
targets, devices, hard links and extended attributes (POSIX ACLs and file capabilities are some). It looks like BSD's
mtree format::

    ./bin/ping type=file mode=0755 uid=0 gid=0 mtime=1700000000 size=3 sha256=… xattr.security.capability=0100…

Two trees are the same exactly when their listings are the same text. Paths are bytes to Linux; what is not printable
ASCII stands as a backslash and three octal digits.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from .errors import UserError

#: Extended attributes that belong to the host's file system, not to the tree.
FOREIGN_XATTRS = ("security.selinux", "trusted.overlay.", "user.overlay.")

#: Of the ``system.`` attributes only these are data of a file; others are views of the file system's own.
ACL_XATTRS = ("system.posix_acl_access", "system.posix_acl_default")


@dataclass(eq=False, slots=True)
class Entry:
    """One file of a tree. Paths that are hard links of one another map to the *same* Entry object.

    kind: "file", "dir", "symlink", "fifo", "char" or "block"; mode: permission bits with setuid, setgid and sticky;
    mtime: seconds since 1970, rounded down; size: bytes of a file; sha256: of its contents, in hex;
    target: of a symlink; device: major and minor number; xattrs: name → value
    """

    kind: str
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    sha256: str = ""
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)


#: A tree: path relative to its root (the root itself is b"") → entry.
Tree = Mapping[bytes, Entry]

#: From the path of a file and what stat says of it to its size and SHA-256.
HashFile = Callable[[bytes, os.stat_result], tuple[int, str]]

#: The root of an archive that says nothing about it.
DEFAULT_ROOT = Entry("dir", 0o755, 0, 0, 0)


def keeps_xattr(name: str) -> bool:
    """Whether an extended attribute is part of a listing."""
    if name.startswith("system."):
        return name in ACL_XATTRS
    return not name.startswith(FOREIGN_XATTRS)


def render(tree: Tree) -> str:
    """The listing of a tree, sorted by the bytes of the paths."""
    paths = sorted(tree)
    first: dict[int, bytes] = {}  # first path of each entry, by the entry's identity
    shared: set[int] = set()
    for path in paths:
        identity = id(tree[path])
        if first.setdefault(identity, path) is not path:
            shared.add(identity)
    lines = []
    for path in paths:
        entry = tree[path]
        words = [quote(b"./" + path if path else b".")]
        words.append(
            f"type={entry.kind} mode={entry.mode:04o} uid={entry.uid} gid={entry.gid} mtime={entry.mtime}"
        )
        if entry.kind == "file":
            words.append(f"size={entry.size} sha256={entry.sha256}")
        elif entry.kind == "symlink":
            words.append(f"link={quote(entry.target)}")
        elif entry.kind in ("char", "block"):
            words.append(f"device={entry.device[0]},{entry.device[1]}")
        if id(entry) in shared:
            words.append(f"hardlink={quote(b'./' + first[id(entry)])}")
        for name, value in sorted(entry.xattrs.items()):
            words.append(f"xattr.{quote(os.fsencode(name))}={value.hex()}")
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"


_UNSAFE = re.compile(rb"[^!-\[\]-~]")


def quote(path: bytes) -> str:
    """Bytes as printable ASCII without blanks."""
    return _UNSAFE.sub(lambda match: b"\\%03o" % match[0][0], path).decode("ascii")


def digest(listing: str) -> str:
    """The hash that stands for the whole tree, ROOTFS_SHA256: 64 hex digits."""
    return hashlib.sha256(listing.encode("ascii")).hexdigest()


def differences(first: str, second: str) -> list[str]:
    """What differs from the first listing to the second, a sentence a path, sorted by path; empty for equal trees."""
    if first == second:
        return []
    one, two = _parse(first), _parse(second)
    found = []
    for path in sorted(one.keys() | two.keys()):
        if path not in two:
            found.append(f"{path} is missing")
        elif path not in one:
            found.append(f"{path} was added")
        elif one[path] != two[path]:
            found.append(f"{path}: {_changes(one[path], two[path])}")
    return found


def _parse(listing: str) -> dict[str, dict[str, str]]:
    """Path → field → value."""
    tree = {}
    for line in listing.splitlines():
        path, *words = line.split(" ")
        pairs = (word.partition("=") for word in words)
        tree[path] = {name: value for name, _, value in pairs}
    return tree


def _changes(one: Mapping[str, str], two: Mapping[str, str]) -> str:
    """The fields that differ, with both values."""
    names = [name for name in {**one, **two} if one.get(name) != two.get(name)]
    return ", ".join(f"{name} {one.get(name, 'none')} → {two.get(name, 'none')}" for name in names)


def from_tar(stream: IO[bytes]) -> str:
    """The listing of what a tar stream holds. Raises ``UserError`` (codes rootfs-…) as ``tarstream.scan`` does."""
    from . import tarstream

    return render(tarstream.scan(stream))


def from_disk(root: str) -> str:
    """The listing of a directory tree. Raises ``UserError`` code rootfs-unreadable for what cannot be read."""
    with readable(root):
        return render(walk(os.fsencode(root)))


@contextmanager
def readable(root: str) -> Iterator[None]:
    """Turn what cannot be read below a tree into ``UserError`` code rootfs-unreadable."""
    try:
        yield
    except OSError as error:
        name = os.fsdecode(error.filename) if error.filename else root
        raise UserError(
            "rootfs-unreadable",
            f"{name} cannot be read: {error.strerror}",
            hint="run as the user who exported it",
        ) from error


def walk(root: bytes, hash_file: HashFile | None = None) -> dict[bytes, Entry]:
    """The tree below a directory; ``hash_file`` gives size and SHA-256 of a file, in place of reading it. Raises OSError."""
    hash_file = hash_file or _hash_file
    tree = {b"": _entry(root, os.lstat(root), hash_file)}
    inodes: dict[tuple[int, int], Entry] = {}
    pending = [b""]
    while pending:
        directory = pending.pop()
        with os.scandir(os.path.join(root, directory)) as found:
            for item in found:
                path = os.path.join(directory, item.name)
                status = item.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    pending.append(path)
                key = (status.st_dev, status.st_ino)
                known = inodes.get(key) if status.st_nlink > 1 else None
                tree[path] = known or _entry(item.path, status, hash_file)
                if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                    inodes[key] = tree[path]
    return tree


_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFSOCK: "socket",
}


def _entry(path: bytes, status: os.stat_result, hash_file: HashFile) -> Entry:
    entry = Entry(
        _KINDS[stat.S_IFMT(status.st_mode)],
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns // 1_000_000_000,
    )
    if entry.kind == "file":
        entry.size, entry.sha256 = hash_file(path, status)
    elif entry.kind == "symlink":
        entry.target = os.readlink(path)
    elif entry.kind in ("char", "block"):
        entry.device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    for name in os.listxattr(path, follow_symlinks=False):
        if keeps_xattr(name):
            entry.xattrs[name] = os.getxattr(path, name, follow_symlinks=False)
    return entry


def _hash_file(path: bytes, status: os.stat_result) -> tuple[int, str]:
    """Size and SHA-256 of a file's bytes, read once."""
    state = hashlib.sha256()
    size = 0
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while chunk := os.read(handle, 1 << 20):
            state.update(chunk)
            size += len(chunk)
    finally:
        os.close(handle)
    return size, state.hexdigest()


def save(path: str, listing: str) -> None:
    """Write a listing, compressed, in one step: afterwards the file is whole or what it was."""
    import gzip

    fresh = f"{path}.new"
    with open(fresh, "wb") as stream:
        stream.write(gzip.compress(listing.encode("ascii"), 6, mtime=0))
    os.replace(fresh, path)


def load(path: str) -> str:
    """Read a listing that ``save`` wrote. Raises OSError when it is missing or damaged."""
    import gzip
    import zlib

    try:
        with gzip.open(path, "rt", encoding="ascii") as stream:
            listing = stream.read()
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise OSError(f"{path} is damaged: {error}") from error
    if not listing:  # gzip takes an empty file for an empty text
        raise OSError(f"{path} is empty")
    return listing
