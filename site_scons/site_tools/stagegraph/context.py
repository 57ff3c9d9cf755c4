"""The build context of one step: a copy of exactly what was signed, for the engine to read instead of the checkout.

A build can take hours, and the files it reads are somebody's to edit. In a copy nothing changes under the engine, nothing
that was not signed can come along (a swap file of an editor, an extended attribute, a hard link), and an edit is taken
in by the next run.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Mapping

from .errors import UserError

#: What only the writing of the copy meets: repeating the command would not help.
_OF_THE_COPY = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)
_MAX_LINKS = 40
_PIECE = 1 << 20


def write(root: str, files: Mapping[str, str], engine_files: Mapping[str, bytes | None], target: str, timestamp: int) -> None:
    """Fill the new directory ``target`` with what ``files`` names below ``root``.

    files:        path → state, as ``inputs.snapshot`` gives them; links on the way to a path come along
    engine_files: path → bytes of what the engine reads by itself (the Dockerfile, its ignore file); None for one that is
                  not there
    timestamp:    mtime of everything, in seconds

    Raises UserError (inputs-changed) when a file is not, or not any more, what ``files`` or ``engine_files`` say, and
    OSError when the copy cannot be written.
    """
    copy = _Copy(root, target)
    for path, states in files.items():
        copy.take(path, states.split(" + "))
    for path, data in engine_files.items():
        if data is not None:
            copy.put(path, data)
    copy.finish(timestamp)


class _Copy:
    """The copy while it is made. Paths are relative to the context and, unless said otherwise, real: without links."""

    def __init__(self, root: str, target: str) -> None:
        self.root = root
        self.target = target
        #: What was copied, as ``inputs.snapshot`` would describe it.
        self.states: dict[str, str] = {}
        #: Directory → the mode it gets in the end; until then we must be able to write into it.
        self.modes: dict[str, int] = {}
        os.mkdir(target, 0o700)

    def take(self, path: str, wanted: list[str]) -> None:
        """Copy one path, which may lead through links, and check that it is in every state that is wanted."""
        for state in wanted:
            try:
                real = self._walk(path, follow=not state.startswith("l:"))
            except OSError as error:
                if error.errno in _OF_THE_COPY:
                    raise
                raise _changed(path) from error
            found = self.states[real]
            if state != found and not (state == "d" and found.startswith("d")):
                raise _changed(path)
            if found.startswith("d") and state != "d":
                self.modes[real] = int(found[1:], 8)

    def _walk(self, path: str, *, follow: bool, links: int = 0) -> str:
        """Copy the parts of a path from the top on, and what a link on the way (or at its end) leads to; the real path."""
        if links > _MAX_LINKS:
            raise OSError(f"{path} is a link that leads to itself")
        here = "."
        self._directory(here)
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for number, part in enumerate(parts, start=1):
            here = os.path.normpath(os.path.join(here, part))
            if here.startswith(".."):
                raise OSError(f"{path} leads out of the context")
            state = os.lstat(os.path.join(self.root, here))
            if stat.S_ISLNK(state.st_mode):
                self._link(here)
                if follow or number < len(parts):
                    onwards = os.path.join(os.path.dirname(here), self.states[here][2:], *parts[number:])
                    return self._walk(onwards, follow=follow, links=links + 1)
            elif stat.S_ISDIR(state.st_mode):
                self._directory(here)
            elif here not in self.states:
                self._file(here)
        return here

    def _link(self, path: str) -> None:
        if path not in self.states:
            target = os.readlink(os.path.join(self.root, path))
            os.symlink(target, os.path.join(self.target, path))
            self.states[path] = f"l:{target}"

    def _directory(self, path: str) -> None:
        if path not in self.states:
            if path != ".":
                os.mkdir(os.path.join(self.target, path), 0o700)
            mode = stat.S_IMODE(os.lstat(os.path.join(self.root, path)).st_mode)
            self.states[path] = f"d{mode:o}"
            self.modes[path] = 0o755  # of a directory on the way no step can see the mode

    def _file(self, path: str) -> None:
        # Written anew: engines keep hard links and extended attributes, and neither is signed.
        digest = hashlib.sha256()
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with (
            open(os.open(os.path.join(self.root, path), flags), "rb") as source,
            open(os.path.join(self.target, path), "xb") as out,
        ):
            mode = os.fstat(source.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise OSError(f"{path} is no regular file")
            while piece := source.read(_PIECE):
                digest.update(piece)
                out.write(piece)
            os.fchmod(out.fileno(), stat.S_IMODE(mode))
        self.states[path] = f"f{stat.S_IMODE(mode):o}:{digest.hexdigest()}"

    def put(self, path: str, data: bytes) -> None:
        """Have the engine read ``data`` at ``path``; where the step takes this file itself, both have to agree."""
        copy = os.path.join(self.target, path)
        if path in self.states:
            real = self._walk(path, follow=True)
            with open(os.path.join(self.target, real), "rb") as file:
                if file.read() != data:
                    raise _changed(path)
            return
        self._walk(os.path.dirname(path), follow=True)
        with open(copy, "xb") as out:
            out.write(data)
        self.states[path] = "f"

    def finish(self, timestamp: int) -> None:
        """Give everything its time, and the directories their modes, those above others last."""
        for path in sorted(self.states, reverse=True):
            copy = os.path.join(self.target, path)
            if path in self.modes:
                os.chmod(copy, self.modes[path])
            os.utime(copy, (timestamp, timestamp), follow_symlinks=False)


def _changed(path: str) -> UserError:
    return UserError(
        "inputs-changed",
        f"{path} was edited between its signing and its copying, so nothing was built",
        hint="run the same command again",
    )
