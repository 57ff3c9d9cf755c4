"""What must not outlive a run, and the locks between runs.

A run directory holds the transport settings (a secret) and scratch files. It lies in memory (XDG_RUNTIME_DIR or
/dev/shm), and its lock is held by the run: a directory whose lock nobody holds belongs to a run that was killed, and the next
run removes it. Nothing here is touched by a dry run.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from .errors import UserError
from .removal import remove_tree

#: Without root, what engines and mmdebstrap start has our subordinate ids and must get through to its own files.
_SCRATCH_MODE = 0o711

#: Where the user wants scratch directories, empty for the places below.
_scratch_root = ""


class Run:
    """The directory of this run.

    id:      its name, ``20261123T035800Z-1a2b``
    path:    the directory, mode 0700, in memory where the system has such a place
    scratch: a directory on disk for large temporary files (the TMPDIR of engines), which others cannot read
    """

    def __init__(self, run_id: str, path: str, scratch: str, locks: Sequence[int]) -> None:
        self.id = run_id
        self.path = path
        self.scratch = scratch
        self._locks = list(locks)
        self._entries: list[str] = []

    def hold(self, path: str, descriptor: int) -> None:
        """Keep a locked file until the end of the run, which removes it."""
        self._entries.append(path)
        self._locks.append(descriptor)

    def secret(self, name: str, text: str) -> str:
        """Write ``text`` into a new file that only we can read, mode 0600; returns its path, which begins with ``name``.

        Every call makes a file of its own: a build is known by the secret it was given.
        """
        path = os.path.join(self.path, f"{name}-{os.urandom(4).hex()}")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        return path

    def close(self) -> None:
        """Remove all that belongs to the run; a second call does nothing."""
        if self._locks:
            remove_tree(self.path)
            remove_tree(self.scratch)
            while self._entries:
                os.unlink(self._entries.pop())
            while self._locks:
                os.close(self._locks.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def set_scratch_root(path: str) -> None:
    """Have the scratch directories of runs below this absolute path from now on; ``UserError`` code run-directory."""
    global _scratch_root
    refused = ""
    if not os.path.isdir(path):
        refused = "is no directory"
    elif not os.access(path, os.W_OK | os.X_OK):
        refused = "cannot be written by us"
    elif os.statvfs(path).f_flag & os.ST_NOEXEC:
        refused = "lies on a file system from which nothing may be run, as steps run scripts of their contexts"
    if refused:
        raise UserError("run-directory", f"RUNTIME_CONTEXT_ROOT names '{path}', which {refused}", hint="name another one")
    _scratch_root = path


def new_id() -> str:
    """A run id: the time in UTC, then four random hex digits."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + os.urandom(2).hex()


def open_run() -> Run:
    """Make the directories of this run and hold their locks; the caller closes it."""
    base, scratch_base = _base(), _scratch_base()
    with guard(base), guard(scratch_base):
        run_id = new_id()
        while os.path.lexists(os.path.join(base, run_id)):
            run_id = new_id()
        path, scratch = os.path.join(base, run_id), os.path.join(scratch_base, run_id)
        locks = []
        for directory, mode in ((path, 0o700), (scratch, _SCRATCH_MODE)):
            os.mkdir(directory)
            os.chmod(directory, mode)
            locks.append(os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT, 0o600))
            fcntl.flock(locks[-1], fcntl.LOCK_EX)
        return Run(run_id, path, scratch, locks)


def dead_runs() -> dict[str, str]:
    """The runs that were killed, of those with a directory where ours is: run id → its directory."""
    base = _base()
    with guard(base):
        return {name: os.path.join(base, name) for name in names(base) if _is_dead(os.path.join(base, name))}


def any_dead() -> bool:
    """Whether a killed run left a directory."""
    return any(_is_dead(os.path.join(base, name)) for base in (_base(), _scratch_base()) for name in names(base))


def remove_dead(elsewhere: Iterable[str] = ()) -> list[str]:
    """Remove the directories of killed runs: those where ours are, and these ``elsewhere``.

    Returns a sentence for each that could not be removed. Each directory has a lock of its own: two runs can have their
    run directories at different places (another XDG_RUNTIME_DIR) and their scratch directories at one.
    """
    base, scratch_base = _base(), _scratch_base()
    problems = []
    with guard(base), guard(scratch_base):
        paths = [os.path.join(where, name) for where in (base, scratch_base) for name in names(where)]
        for path in {**dict.fromkeys(paths), **dict.fromkeys(elsewhere)}:
            try:
                if _is_dead(path):
                    remove_tree(path)
            except (OSError, UserError) as problem:
                problems.append(f"{path}: {problem.message if isinstance(problem, UserError) else problem.strerror}")
    return problems


class TreeLock:
    """The lock of an output directory: one run builds into it at a time."""

    def __init__(self, out: str) -> None:
        self.path = os.path.join(out, ".lock")
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the lock; ``UserError`` code tree-locked, with the process that holds it, when it is taken."""
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise UserError(
                "tree-locked",
                f"another run (process {holder}) builds into '{os.path.dirname(self.path)}'",
                hint="wait for its end, or stop it",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; the file stays, or a waiting run could hold a lock on a file that is gone."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class StoreLock:
    """The lock of an engine's store: builds share it, the removal of images needs it alone."""

    def __init__(self, store: str) -> None:
        self.path = os.path.join(store, "lock")
        self._descriptor = -1

    def acquire(self, *, alone: bool) -> None:
        """Take the lock without waiting; ``UserError`` code store-locked when the other kind of run holds it."""
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            other = "a build uses" if alone else "scons gc cleans"
            raise UserError(
                "store-locked",
                f"{other} the image store '{os.path.dirname(self.path)}'",
                hint="wait for its end and try again",
            ) from None
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @contextlib.contextmanager
    def held(self, *, alone: bool) -> Iterator[None]:
        """The lock for the length of a block."""
        self.acquire(alone=alone)
        try:
            yield
        finally:
            self.release()


def _base() -> str:
    """The directory of all runs of this user."""
    places = (os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm", os.environ.get("TMPDIR", ""), "/tmp")
    return _private(f"stagegraph-{_owner()}", places)


def _scratch_base() -> str:
    """The directory of all scratch directories of this user."""
    if _scratch_root:
        return _private(f"stagegraph-scratch-{_owner()}", [_scratch_root], _SCRATCH_MODE)
    places = [path for path in (os.environ.get("TMPDIR", ""), "/var/tmp", "/tmp") if path and os.path.isdir(path)]
    if os.geteuid() != 0:
        places.sort(key=lambda path: not _lets_others_through(path))
    # The copies of contexts hold scripts, which steps run where they lie.
    places.sort(key=lambda path: bool(os.statvfs(path).f_flag & os.ST_NOEXEC))
    return _private(f"stagegraph-scratch-{_owner()}", places, _SCRATCH_MODE)


def _lets_others_through(path: str) -> bool:
    """Whether a process with one of our subordinate ids gets to what lies in a directory."""
    path = os.path.abspath(path)
    ancestors = [path]
    while ancestors[-1] != "/":
        ancestors.append(os.path.dirname(ancestors[-1]))
    return all(os.path.isdir(each) and os.stat(each).st_mode & stat.S_IXOTH for each in ancestors)


def _owner() -> int:
    """The user id that we have outside of a user namespace, where root of the namespace is somebody's (user_namespaces(7))."""
    own = os.getuid()
    with open("/proc/self/uid_map", encoding="ascii") as file:
        for line in file:
            inside, outside, count = map(int, line.split())
            if inside <= own < inside + count:
                return outside + own - inside
    return own


def _private(name: str, candidates: Sequence[str], mode: int = 0o700) -> str:
    """The directory ``name`` below the first candidate that we can write to; ours alone, others at most pass through."""
    place = next(
        (path for path in candidates if path and os.path.isdir(path) and os.access(path, os.W_OK)), ""
    )
    if not place:
        raise UserError("run-directory", "there is no directory for temporary files", hint="set TMPDIR")
    path = os.path.join(place, name)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
        os.chmod(path, mode)
    # Others can write in /dev/shm and /tmp: a link or a directory of theirs would hand them our secrets.
    state = os.lstat(path)
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or stat.S_IMODE(state.st_mode) & 0o777 & ~mode:
        raise UserError(
            "run-directory",
            f"'{path}' is not a directory that only we can read",
            hint="remove it, or set TMPDIR",
        )
    return path


@contextlib.contextmanager
def guard(base: str) -> Iterator[None]:
    """Keeps a run that is just being made from looking dead to another."""
    descriptor = os.open(os.path.join(base, ".guard"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def names(base: str) -> list[str]:
    """What lies in a directory of runs, our own files left out."""
    return sorted(name for name in os.listdir(base) if not name.startswith("."))


def _is_dead(path: str) -> bool:
    """Whether a run's directory belongs to nobody."""
    lock = os.path.join(path, "lock")
    return os.path.isdir(path) and (not os.path.exists(lock) or not is_locked(lock))


def is_locked(path: str) -> bool:
    """Whether a process holds the lock of a file; one that is gone is not locked."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
