"""The files a step takes from the build context, and the state of each.

What counts is what the image can show: bytes, mode bits, link targets, directories, empty ones too. Owners
and times do not, engines set both. Measured with buildah 1.28: COPY of a directory copies what is in it, not
its own mode, but the modes of directories below it; a link named as the source is followed, a link inside a
directory is kept.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from typing import NoReturn

from .errors import UserError
from .ignore import Ignore
from .model import Source
from .statcache import StatCache

_MAX_LINKS = 40

_WILDCARD = re.compile(r"[*?\[]")


def snapshot(root: str, sources: Iterable[Source], ignore: Ignore, stats: StatCache) -> dict[str, str]:
    """Path → state of everything ``sources`` take from the context ``root``, sorted by path.

    A state is ``f<mode>:<sha256>`` (file), ``l:<target>`` (link inside a taken directory), ``d<mode>``
    (directory) or ``d`` (directory of which only the content is copied); modes are octal, with setuid, setgid
    and sticky bits. A path taken in two ways has both states, joined by " + ".

    COPY and ADD see the context through the ignore file. A bind mount of a directory counts whole: buildah
    shows the step also the files that the ignore file hides.

    Raises UserError at the Dockerfile's line: source-missing, source-ignored, source-outside, source-type,
    source-unreadable, source-name, source-changing.
    """
    walk = _Walk(root, ignore, stats)
    for source in sources:
        walk.take(source)
    return {path: " + ".join(sorted(walk.states[path])) for path in sorted(walk.states)}


class _Walk:
    def __init__(self, root: str, ignore: Ignore, stats: StatCache) -> None:
        self.root = root
        self.ignore = ignore
        self.stats = stats
        self.states: dict[str, set[str]] = {}
        self.directories: dict[str, os.stat_result] = {}
        self.source = Source("", 0)

    def take(self, source: Source) -> None:
        self.source = source
        if source.mount or not _WILDCARD.search(source.pattern):
            if not self._take_path(source.pattern):
                self._hidden(f"{source.pattern} is hidden")
            return
        found = self._glob(source.pattern)
        if not found:
            self._fail(
                "source-missing", f"{source.pattern} matches nothing", "check the pattern and the files"
            )
        taken = [self._take_path(path) for path in found]
        if not any(taken):
            self._hidden(f"everything that {source.pattern} matches is hidden")

    # ── errors ──

    def _fail(self, code: str, message: str, hint: str) -> NoReturn:
        raise UserError(code, message, hint=hint, file=self.ignore.dockerfile, line=self.source.line)

    def _hidden(self, message: str) -> NoReturn:
        hint = f"let it through in {self.ignore.path} with a line !{self.source.pattern}"
        self._fail("source-ignored", f"{message} by {self.ignore.path}", hint)

    def _os_error(self, path: str, error: OSError) -> NoReturn:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            link = "" if path == self.source.pattern else f" (to which {self.source.pattern} leads)"
            self._fail(
                "source-missing", f"{path}{link} does not exist", "check the path; it begins at the root"
            )
        self._fail("source-unreadable", f"cannot read {path}: {error.strerror}", "check its rights")

    # ── finding ──

    def _locate(self, path: str) -> tuple[str, os.stat_result]:
        """The real path of ``path`` and its state, every link on the way followed inside the context."""
        # Most paths are plain names in a directory that was reached before without a link: one question answers those.
        directory, _, name = path.rpartition("/")
        if name not in ("", ".", "..") and directory in self.directories:
            state = self._lstat(path)
            if not stat.S_ISLNK(state.st_mode):
                return path, state
        parts = [part for part in reversed(path.split("/")) if part != "."]
        done: list[str] = []
        links = 0
        state = self._lstat(".")
        while parts:
            part = parts.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    self._outside(path)
                done.pop()
                state = self._lstat("/".join(done) or ".")
                continue
            here = "/".join([*done, part])
            state = self._lstat(here)
            if not stat.S_ISLNK(state.st_mode):
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                self._fail("source-missing", f"{path} is a link that leads to itself", "mend the link")
            target = os.readlink(os.path.join(self.root, here))
            if target.startswith("/"):
                self._outside(path)
            parts.extend(reversed(target.split("/")))
        return "/".join(done) or ".", state

    def _outside(self, path: str) -> NoReturn:
        hint = "engines do not follow it; use a relative link that stays inside, or copy the file"
        self._fail("source-outside", f"{path} is a link that leads out of the build context", hint)

    def _lstat(self, path: str) -> os.stat_result:
        known = self.directories.get(path)
        if known is not None:
            return known
        try:
            state = os.lstat(f"{self.root}/{path}")
        except OSError as error:
            self._os_error(path, error)
        if stat.S_ISDIR(state.st_mode):
            self.directories[path] = state
        return state

    def _glob(self, pattern: str) -> list[str]:
        """The paths a pattern names, part by part as Go's filepath.Match has it: ``*`` does not cross a slash."""
        found = ["."]
        for part in pattern.split("/"):
            matcher = self._matcher(part) if _WILDCARD.search(part) else None
            matched = []
            for path in found:
                if matcher is None:
                    path = os.path.normpath(os.path.join(path, part))
                    if os.path.lexists(os.path.join(self.root, path)):
                        matched.append(path)
                    continue
                real, state = self._locate(path)
                if stat.S_ISDIR(state.st_mode):
                    names = sorted(entry.name for entry in self._scan(real))
                    hits = (name for name in names if matcher.fullmatch(name))
                    matched.extend(os.path.normpath(os.path.join(path, name)) for name in hits)
            found = matched
        return found

    def _matcher(self, part: str) -> re.Pattern[str]:
        text = ""
        rest = part
        while rest:
            character, rest = rest[0], rest[1:]
            if character == "*":
                text += ".*"
            elif character == "?":
                text += "."
            elif character == "[":
                match = re.match(r"(\^?)((?:[^\]\\-](?:-[^\]\\-])?)+)\]", rest)
                if match is None:
                    self._fail(
                        "source-missing", f"the pattern {part} is malformed", "close the bracket, as in [a-z]"
                    )
                members = re.sub(r"[\\^\[&~|]", r"\\\g<0>", match[2])
                text += f"[{match[1]}{members}]"
                rest = rest[match.end() :]
            else:
                text += re.escape(character)
        try:
            return re.compile(text, re.DOTALL)
        except re.error:
            self._fail(
                "source-missing", f"the pattern {part} is malformed", "a range goes upwards, as in [a-z]"
            )

    # ── taking ──

    def _take_path(self, path: str) -> bool:
        """Take what one named path gives; False if the ignore file hides all of it."""
        real, state = self._locate(path)
        is_directory = stat.S_ISDIR(state.st_mode)
        hides = self.ignore.hides_all_of if is_directory else self.ignore.excluded
        if hides(real) or (real != path and hides(path)):
            return False
        if not is_directory:
            self._add(path, self._leaf(real, state))
            return True
        if self.source.mount:
            self._add(path, f"d{stat.S_IMODE(state.st_mode):o}")
            self._take_below(real, path, None)
            return True
        taken = self._take_below(real, path, self.ignore)
        if not taken and self.ignore.excluded(real):
            return False
        self._add(path, "d")
        return True

    def _take_below(self, real: str, shown: str, ignore: Ignore | None) -> bool:
        """Take what is in the directory ``real`` under the name ``shown``; whether there was anything to take."""
        taken = False
        real_prefix = "" if real == "." else f"{real}/"
        shown_prefix = "" if shown == "." else f"{shown}/"
        for entry in self._scan(real):
            path, name = real_prefix + entry.name, shown_prefix + entry.name
            is_directory = entry.is_dir(follow_symlinks=False)
            if ignore is not None and not is_directory and ignore.excluded(path):
                continue
            if ignore is not None and is_directory and ignore.hides_all_of(path):
                continue
            try:
                state = entry.stat(follow_symlinks=False)
            except OSError as error:
                self._os_error(path, error)
            if not is_directory:
                self._add(name, self._leaf(path, state))
                taken = True
                continue
            # A hidden directory comes along for the sake of what is brought back below it.
            if self._take_below(path, name, ignore) or ignore is None or not ignore.excluded(path):
                self._add(name, f"d{stat.S_IMODE(state.st_mode):o}")
                taken = True
        return taken

    def _scan(self, path: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(os.path.join(self.root, path)) as entries:
                found = list(entries)
        except OSError as error:
            self._os_error(path, error)
        for entry in found:
            if not entry.name.isascii():
                self._check_name(os.path.join(path, entry.name), entry.name)
        return found

    def _check_name(self, path: str, text: str) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(path).decode("utf-8", "backslashreplace")
            self._fail(
                "source-name", f"the name {shown} is not UTF-8", "rename it; engines cannot agree on it"
            )

    def _leaf(self, path: str, state: os.stat_result) -> str:
        mode = state.st_mode
        try:
            if stat.S_ISREG(mode):
                return f"f{stat.S_IMODE(mode):o}:{self.stats.digest(self.root, path, state)}"
            if stat.S_ISLNK(mode):
                target = os.readlink(os.path.join(self.root, path))
                self._check_name(path, target)
                return f"l:{target}"
        except OSError as error:
            self._os_error(path, error)
        kinds = {
            stat.S_IFIFO: "a FIFO",
            stat.S_IFSOCK: "a socket",
            stat.S_IFBLK: "a device",
            stat.S_IFCHR: "a device",
        }
        kind = kinds.get(stat.S_IFMT(mode), "no file")
        self._fail("source-type", f"{path} is {kind}", "remove it, or exclude it in the ignore file")

    def _add(self, path: str, state: str) -> None:
        # Two sources may take one path in two ways (a link kept and followed): both count.
        states = self.states.setdefault(path, set())
        states.add(state)
