"""Digests of files, remembered by what stat says about them.

A file whose inode, size, mtime and ctime are those of the last time has its old bytes, with one exception: a
file changed twice within the clock's granularity can keep its times. As git's index does, an entry is
therefore trusted only if the file had been left alone for a while when it was hashed.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time

from .errors import UserError
from .parsecache import read_json, write_json

#: How long (ns) a file must have been unchanged before it was hashed; covers coarse file system clocks.
_SETTLED = 2_000_000_000

_ATTEMPTS = 3


class StatCache:
    """Digests by path below one root, kept in one JSON file. ``digest`` may be called from many threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._changed = False
        self._known: dict[str, list[int | str]] = read_json(path)

    def beside(self, name: str) -> StatCache:
        """Another one, in a file of this name beside the file of this one."""
        return StatCache(os.path.join(os.path.dirname(self._path), name))

    def digest(self, root: str, rel: str, state: os.stat_result) -> str:
        """The SHA-256 of the regular file ``rel`` below ``root`` in hex; ``state`` is what stat says of it now.

        Raises OSError as open does, UserError (source-changing) if the file is written to all the while.
        """
        known = self._known.get(rel)
        identity = _identity(state)
        if isinstance(known, list) and known[:4] == identity and len(known) == 5:
            return str(known[4])
        for _ in range(_ATTEMPTS):
            taken = time.time_ns()
            with open(os.path.join(root, rel), "rb") as file:
                before = _identity(os.fstat(file.fileno()))
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                after = _identity(os.fstat(file.fileno()))
            if before == after:
                self._remember(rel, after, digest, taken)
                return digest
        hint = "wait until it is written, or exclude it in the ignore file"
        raise UserError("source-changing", f"{rel} changes while it is read", hint=hint, file=rel)

    def save(self) -> None:
        """Write the file, atomically, if a digest was learned since it was read."""
        with self._lock:
            if self._changed:
                write_json(self._path, self._known)
                self._changed = False

    def _remember(self, rel: str, identity: list[int | str], digest: str, taken: int) -> None:
        changed = int(identity[3])
        with self._lock:
            if taken - changed >= _SETTLED:
                self._known[rel] = [*identity, digest]
                self._changed = True


def _identity(state: os.stat_result) -> list[int | str]:
    # The device is left out: its number can change with a reboot, and an inode's ctime does not repeat by chance.
    return [state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns]
