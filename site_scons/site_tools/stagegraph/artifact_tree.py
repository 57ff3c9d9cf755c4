"""Root file systems in a directory as artifacts: whose programs they hold, what they are, and as an image of one layer.

Times do not count: every file of the image gets the one that all files have here. Owners, modes, links, devices and extended
attributes do.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from typing import IO

from . import oci, process, tree
from .errors import UserError
from .statcache import StatCache

#: The machine of an ELF header (System V ABI, e_machine) → Debian's name of the arch.
_MACHINES = {62: "amd64", 183: "arm64", 243: "riscv64"}

_MAX_LINKS = 40


def machine(root: str) -> tuple[str, str]:
    """A program of a root file system, as a path in it, and the arch it runs on; empty when there is none.

    The shell, else the first program below usr/bin. An arch that is not known is ``machine <number>``.
    """
    for path in _programs(root):
        try:
            with open(os.path.join(root, path), "rb") as file:
                head = file.read(20)
        except OSError:
            continue
        if head[:4] == b"\x7fELF" and len(head) == 20:
            number = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
            return path, _MACHINES.get(number, f"machine {number}")
    return "", ""


def _programs(root: str) -> Iterator[str]:
    """What may be programs, as paths without links, the shell first."""
    yield from (_inside(root, name) for name in ("bin/sh", "usr/bin/sh"))
    try:
        names = sorted(os.listdir(os.path.join(root, _inside(root, "usr/bin") or "usr/bin")))
    except OSError:
        return
    yield from (_inside(root, f"usr/bin/{name}") for name in names)


def _inside(root: str, path: str) -> str:
    """Where a path of a tree leads, as a path without links; empty when nowhere. No link leads out of the tree."""
    parts, done, links = path.split("/")[::-1], list[str](), 0
    while parts:
        part = parts.pop()
        if part == "..":
            del done[-1:]
        elif part not in ("", "."):
            here = "/".join([*done, part])
            try:
                target = os.readlink(os.path.join(root, here))
            except OSError as problem:
                if problem.errno != errno.EINVAL:  # which says that it is there and no link
                    return ""
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                return ""
            if target.startswith("/"):
                done.clear()
            parts += target.split("/")[::-1]
    return "/".join(done)


def digest(root: str, stats: StatCache) -> str:
    """What a directory tree is, as the image will show it: ``sha256:<hex>``; ``stats`` knows the files that did not change.

    Raises ``UserError``: rootfs-unreadable, source-changing.
    """

    def hash_file(path: bytes, status: os.stat_result) -> tuple[int, str]:
        return status.st_size, stats.digest("/", os.fsdecode(path), status)

    with tree.readable(root):
        return _without_times(tree.walk(os.fsencode(os.path.abspath(root)), hash_file))


def make_layout(
    root: str, signed: str, layout: str, config: Mapping[str, object], timestamp: int, work: str, log: IO[bytes]
) -> None:
    """Make ``layout`` an image of one layer that holds a directory tree; the same tree gives the same image.

    signed: what ``digest`` said of the tree; config: the OCI image config without its layer; timestamp: of all files, in
    seconds; work: a directory for the archive, on the file system of the layout. Raises ``UserError``: root-failed when tar
    failed, inputs-changed when the tree was edited meanwhile.
    """
    from . import tarstream

    archive = os.path.join(work, "tree.tar")
    status = process.run([word.format(archive=archive, root=root, seconds=timestamp) for word in _TAR], log)
    if status != 0:
        raise UserError(
            "root-failed", f"tar could not read '{root}' (status {status})", hint="look at the log; run as the owner of the tree"
        )
    with open(archive, "rb") as stream:
        found = _without_times(tarstream.scan(stream))
    if found != signed:
        raise UserError("inputs-changed", f"'{root}' was edited while it was read", hint="run the same command again")
    oci.write_layout(layout, archive, config)


#: The archive of a tree: a function of what ``digest`` sees. Holes are written out, as where they lie is up to the disk.
_TAR = (
    "tar", "--create", "--file={archive}", "--directory={root}", "--format=posix", "--mtime=@{seconds}",
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime", "--sort=name", "--numeric-owner", "--acls",
    "--xattrs", *(f"--xattrs-exclude={name}{'*' if name.endswith('.') else ''}" for name in tree.FOREIGN_XATTRS), ".",
)  # fmt: skip


def _without_times(found: Mapping[bytes, tree.Entry]) -> str:
    """The digest of a tree whose times do not count; sockets, which no archive holds, do not either."""
    kept = {path: entry for path, entry in found.items() if entry.kind != "socket"}
    for entry in kept.values():
        entry.mtime = 0
    return f"sha256:{tree.digest(tree.render(kept))}"
