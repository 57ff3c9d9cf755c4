"""Export of a root file system: tar stream → checked and hashed on the way → GNU tar → fresh directory → its place.

The tree appears by one rename, so whatever kills the export leaves either the tree that stood there or the new one.
What a killed export left beside it (``rootfs.new-*``, ``rootfs.old-*``) the next one removes. A place that nothing of
ours was exported to, and a tree with mounts below it, are left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, Any

from . import mounts, tarstream, tree
from .errors import UserError
from .removal import remove_tree

#: --sparse is about creating archives; holes of a sparse entry are made without it. No --acls: ACLs come as the extended
#: attributes they are, with numbers; the text form would be looked up among the users of this machine.
TAR = (
    *("tar", "--extract", "--file=-", "--numeric-owner", "--same-owner", "--same-permissions"),
    *("--xattrs", "--xattrs-include=*", "--blocking-factor=2048"),
)

_PIPE_SIZE = 1 << 20
_PIECES_AHEAD = 8


@dataclass(frozen=True)
class Summary:
    """What was exported.

    sha256: digest of the tree's listing, ROOTFS_SHA256; files: entries below the root, directories and links among them;
    bytes: sum of the sizes of its regular files, hard links once
    """

    sha256: str
    files: int
    bytes: int


def export(
    source: AbstractContextManager[IO[bytes]], destination: str, *, listing: str, retire: Sequence[str] = ()
) -> Summary:
    """Put the root file system of an archive at ``destination`` and its listing (``tree.save``) at ``listing``.

    ``source`` gives the tar stream; the new tree is put into place only after it was left without an exception, since
    until then nobody knows whether its producer ended well. ``retire`` names files that describe the old tree
    (artifact.env): they and the old listing are removed just before the exchange, so that a kill never leaves them
    beside a tree that they do not describe. The caller holds ``alone(destination)``, and goes on holding it until what
    describes the new tree is written.

    Raises ``UserError``: rootfs-archive (refused), rootfs-truncated, rootfs-owners (no right to set owners),
    rootfs-unpack (GNU tar failed), disk-full, tree-mounted; and whatever ``source`` raises. The old tree then stands untouched.
    """
    mounts.refuse(destination)
    fresh = beside(destination, "new")
    try:
        os.mkdir(fresh, 0o700)
        _may_set_owners(fresh)
        entries = None
        # A stream that just ends is the producer's failure: leaving ``source`` tells which.
        with source as stream, contextlib.suppress(tarstream.Truncated):
            entries = _unpack(stream, fresh)
        if entries is None:
            raise tarstream.Truncated()
        text = tree.render(entries)
        tree.save(f"{fresh}.list", text)
        mounts.refuse(destination)
        for path in (*retire, listing):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        exchange(fresh, destination)
        os.replace(f"{fresh}.list", listing)
    except OSError as error:
        raise _explained(error, destination) from error
    finally:
        sweep(destination)
    sizes = {id(entry): entry.size for entry in entries.values()}
    return Summary(tree.digest(text), len(entries) - 1, sum(sizes.values()))


def verify(destination: str, listing: str) -> list[str]:
    """How the tree on disk differs from its saved listing, a sentence a path; empty when it does not.

    Raises ``UserError`` code rootfs-unreadable, for the listing too.
    """
    try:
        wanted = tree.load(listing)
    except OSError as error:
        raise UserError(
            "rootfs-unreadable",
            f"the listing {listing} cannot be read: {error}",
            hint="export the tree again",
        ) from error
    return tree.differences(wanted, tree.from_disk(destination))


def sweep(destination: str) -> None:
    """Remove what killed exports left beside ``destination``; a tree that one had moved aside goes back first.

    Only for who holds the lock of the place, as ``export`` does.
    """
    parent, name = os.path.split(os.path.abspath(destination))
    ours = re.compile(re.escape(name) + r"\.(new|old)-\d+-[0-9a-f]{8}(\.list(\.new)?)?")
    with os.scandir(parent) as found:
        left = sorted(item.path for item in found if ours.fullmatch(item.name))
    for path in left:
        if not os.path.lexists(destination) and os.path.basename(path).startswith(f"{name}.old-"):
            os.rename(path, destination)
        elif os.path.isdir(path) and not os.path.islink(path):
            remove_tree(path)
        else:
            os.unlink(path)


def remove_with(tree: str, described_by: Iterable[str]) -> None:
    """Remove what lies at ``tree``, then the files that describe it: they are the mark that it is ours. As ``remove`` raises."""
    if os.path.isdir(tree) and not os.path.islink(tree):
        remove(tree)
    elif os.path.lexists(tree):
        os.unlink(tree)
    for path in described_by:
        os.unlink(path)


def remove(destination: str) -> None:
    """Remove a tree: by one rename, then file by file. The caller holds ``alone(destination)``.

    Raises ``UserError`` code tree-mounted.
    """
    mounts.refuse(destination)
    doomed = beside(destination, "new")  # a name that the next export removes
    os.rename(destination, doomed)
    remove_tree(doomed)


@contextlib.contextmanager
def alone(destination: str, marks: Sequence[str] = ()) -> Iterator[None]:
    """Hold the lock of an export's place and clear what killed exports left there; a second run waits here.

    marks: files that lie beside a tree of ours. Raises ``UserError``: tree-foreign when a tree stands there that has
    none of these and never was exported to.
    """
    parent, name = os.path.split(os.path.abspath(destination))
    lock = os.path.join(parent, f".{name}.lock")
    if _holds_something(destination) and not any(map(os.path.lexists, (lock, *marks))):
        raise UserError(
            "tree-foreign",
            f"'{destination}' is there already and was not exported by this tool",
            hint="move it away, or set OUTPUT_ROOT= to another directory",
        )
    os.makedirs(parent, exist_ok=True)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        sweep(destination)
        yield
    finally:
        os.close(handle)


def _holds_something(path: str) -> bool:
    try:
        return bool(os.listdir(path))
    except NotADirectoryError:
        return True
    except FileNotFoundError:
        return os.path.lexists(path)


def beside(destination: str, what: str) -> str:
    """A new name beside a place, one that ``sweep`` knows; ``what`` is new or old."""
    return f"{os.path.abspath(destination)}.{what}-{os.getpid()}-{os.urandom(4).hex()}"


def _may_set_owners(directory: str) -> None:
    """Try to give a file away; better now than after half of the tree."""
    try:
        os.chown(directory, 1, 1)
        os.chown(directory, 0, 0)
    except OSError as error:
        raise _owners(error.strerror or "") from error


def _owners(said: str) -> UserError:
    return UserError(
        "rootfs-owners",
        f"a root file system cannot be exported without the right to set owners of files ({said})",
        hint="run as root, or in a user namespace with mapped ids: buildah unshare scons …",
    )


def _unpack(stream: IO[bytes], directory: str) -> dict[bytes, tree.Entry]:
    """Check and unpack the stream into an empty directory; returns its tree."""
    errors = os.memfd_create("tar-errors", os.MFD_CLOEXEC)
    free = shutil.disk_usage(directory).free
    # Reading and hashing stays in this thread, writing to tar has one of its own: each waits for the other only when
    # the pieces between them run out.
    process = subprocess.Popen(
        [*TAR, f"--directory={directory}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        start_new_session=True,  # an interrupt is ours to pass on
    )
    writer = _Writer(process)
    try:
        _widen(stream)
        entries = tarstream.scan(stream, writer.write)
        writer.close()
        if process.wait() != 0:
            raise _TarFailed()
        _finish_root(directory, entries)
        return entries
    except _TarFailed:
        process.wait()
        raise _tar_error(errors, writer.written, free, directory) from None
    finally:
        if process.poll() is None:
            process.kill()
        writer.abandon()
        process.wait()
        os.close(errors)


class _TarFailed(Exception):
    """GNU tar ended early or with an error; what it printed says why."""


class _Writer:
    """Writes pieces to tar's standard input from a thread of its own; ``written`` counts bytes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        self._pipe = process.stdin
        self._pieces: queue.Queue[bytes] = queue.Queue(_PIECES_AHEAD)
        self._failed = False
        self.written = 0
        _widen(self._pipe)
        self._thread = threading.Thread(target=self._work, name="tar-writer", daemon=True)
        self._thread.start()

    def write(self, piece: bytes) -> None:
        """Hand a piece over. Raises ``_TarFailed`` when tar takes no more."""
        if self._failed:
            raise _TarFailed()
        self._pieces.put(piece)

    def close(self) -> None:
        """Wait until all is written and close the pipe. Raises ``_TarFailed``."""
        self.abandon()
        if self._failed:
            raise _TarFailed()

    def abandon(self) -> None:
        """End the thread and close the pipe."""
        if self._thread.is_alive():
            self._pieces.put(b"")
            self._thread.join()
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()

    def _work(self) -> None:
        handle = self._pipe.fileno()
        while piece := self._pieces.get():
            view = memoryview(piece)
            while view and not self._failed:
                try:
                    count = os.write(handle, view)
                except BrokenPipeError:
                    self._failed = True  # pieces are still taken, so that nobody waits for us
                    break
                self.written += count
                view = view[count:]


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold a whole piece; for anything else, or where the limit is lower, it stays as it is."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_SIZE)


def _tar_error(errors: int, written: int, free: int, directory: str) -> UserError:
    """The error for a failed tar, from what it printed."""
    said = os.pread(errors, 1 << 16, 0).decode("utf-8", "replace").strip().splitlines()
    first = said[0] if said else "it said nothing"
    # A write that only fits in part is reported without the system's reason.
    full = ("No space left on device", "Disk quota exceeded", ": Wrote only ")
    if any(reason in line for line in said for reason in full):
        return _full(directory, written, free)
    if any("Cannot change ownership" in line for line in said):
        return _owners(first)
    return UserError(
        "rootfs-unpack",
        f"GNU tar could not unpack the root file system: {first}",
        hint=f"it was unpacking into {os.path.dirname(directory)}; the tree that stood there before is untouched",
    )


def _full(directory: str, written: int, free: int) -> UserError:
    return UserError(
        "disk-full",
        f"the disk of {os.path.dirname(directory)} is full: {free >> 20} MiB were free, {written >> 20} MiB of the "
        "root file system had come",
        hint="free space there or set OUTPUT_ROOT= to another disk; what was unpacked is removed again",
    )


def _explained(error: OSError, destination: str) -> UserError:
    """The error for a system call that failed around the unpacking."""
    import errno

    parent = os.path.dirname(os.path.abspath(destination))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full(os.path.join(parent, "x"), 0, shutil.disk_usage(parent).free)
    name = os.fsdecode(error.filename) if error.filename else destination
    return UserError("rootfs-unpack", f"{name} cannot be written: {error.strerror}", hint=f"look at {parent}")


def _finish_root(directory: str, entries: dict[bytes, tree.Entry]) -> None:
    """Give the root what the archive would have said of it, when it said nothing."""
    if entries[b""] is tree.DEFAULT_ROOT:
        os.chmod(directory, tree.DEFAULT_ROOT.mode)
        os.utime(directory, (tree.DEFAULT_ROOT.mtime, tree.DEFAULT_ROOT.mtime))


def exchange(fresh: str, destination: str) -> None:
    """Put ``fresh`` at ``destination``; a tree that stands there takes the other name (``sweep`` removes it)."""
    if not os.path.lexists(destination):
        os.rename(fresh, destination)
    elif not _swap(fresh, destination):
        os.rename(destination, beside(destination, "old"))
        os.rename(fresh, destination)


def _swap(one: str, two: str) -> bool:
    """Exchange two names in one step (renameat2 with RENAME_EXCHANGE, Linux 3.15); False where it is not to be had."""
    import ctypes

    library: Any = ctypes.CDLL(None, use_errno=True)
    at_cwd, exchange = -100, 2
    try:
        done: int = library.renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(two), exchange)
    except AttributeError:  # a C library older than glibc 2.28
        return False
    return done == 0
