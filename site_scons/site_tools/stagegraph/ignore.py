"""The ignore file of a Dockerfile: which paths of the build context a COPY can see.

BuildKit takes ``<Dockerfile>.dockerignore`` beside the Dockerfile, else ``.dockerignore`` at the context's
root; buildah and podman prefer a ``.containerignore`` that BuildKit does not know, so one is refused here.
The patterns are matched by e2b-dockerfile-utils (moby's matcher in Python), imported only when a path has to
be judged that was not judged before with the same patterns.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from .errors import UserError
from .parsecache import ParseCache

if TYPE_CHECKING:
    from e2b_dockerfile_utils import PatternMatcher

#: What the name of a Dockerfile's own ignore file ends in.
SUFFIX = ".dockerignore"

#: Raised by hand when the same patterns are judged differently.
_ABI = "2"


class Ignore:
    """The judgement of one ignore file.

    dockerfile: path of the Dockerfile it belongs to, relative to the root (for messages)
    path:       path of the ignore file, empty when there is none
    """

    def __init__(
        self, dockerfile: str, path: str = "", text: str = "", cache: ParseCache | None = None
    ) -> None:
        self.dockerfile = dockerfile
        self.path = path
        self._lines = text.removeprefix("\ufeff").splitlines()
        self._active = any(line.strip() and not line.startswith("#") for line in self._lines)
        self._matcher: PatternMatcher | None = None
        #: Each pattern alone, without its ``!``, and whether it had one.
        self._single: list[tuple[PatternMatcher, bool]] = []
        self._cache = cache
        self._key = "ignore:" + hashlib.sha256(f"{_ABI}\0{text}".encode()).hexdigest()
        kept = cache.get(self._key) if cache is not None and self._active else None
        #: Path → excluded; ``path/`` → whether the whole directory can be passed over.
        self._judged: dict[str, bool] = kept if isinstance(kept, dict) else {}

    def excluded(self, path: str) -> bool:
        """Whether ``path`` (relative to the context, with slashes) is hidden from the build."""
        if not self._active or path == ".":
            return False
        verdict = self._judged.get(path)
        return self._judge(path, path) if verdict is None else verdict

    def hides_all_of(self, directory: str) -> bool:
        """Whether ``directory`` is hidden and no ``!`` pattern can bring back a path below it."""
        if not self._active or directory == ".":
            return False
        verdict = self._judged.get(f"{directory}/")
        return self._judge(directory, f"{directory}/") if verdict is None else verdict

    def _judge(self, path: str, key: str) -> bool:
        matcher = self._load()
        verdict = matcher.matches(path)
        if verdict != self._last_match_wins(path):
            message = f"engines disagree about {path} with these patterns"
            hint = (
                "a !pattern that names a directory brings it back in some engines only: write !directory/**"
            )
            raise UserError("ignore-file", message, hint=hint, file=self.path)
        if verdict and key != path:
            verdict = not matcher.may_match_under(path)
        self._judged[key] = verdict
        if self._cache is not None:
            self._cache.put(self._key, self._judged)
        return verdict

    def _last_match_wins(self, path: str) -> bool:
        """The judgement of buildah 1.28: each pattern is tried on the path and on every directory above it.

        BuildKit instead asks on the way down, and a ``!`` pattern counts only where something was hidden
        before. A path on which the two differ would be in one engine's context and not in the other's.
        """
        hidden = False
        for matcher, brings_back in self._single:
            if brings_back == hidden and matcher.matches(path):
                hidden = not brings_back
        return hidden

    def _load(self) -> PatternMatcher:
        if self._matcher is None:
            from e2b_dockerfile_utils import PatternMatcher

            for number, line in enumerate(self._lines, start=1):
                try:
                    PatternMatcher([line])
                except ValueError as error:
                    reason = str(error).rpartition(": ")[2]
                    message = f"the pattern {line.strip()} is malformed: {reason}"
                    hint = "see the .dockerignore reference"
                    raise UserError("ignore-file", message, hint=hint, file=self.path, line=number) from None
            matcher = PatternMatcher(self._lines)
            self._single = [
                (PatternMatcher([f"/{pattern.removeprefix('!')}"]), pattern.startswith("!"))
                for pattern in matcher.patterns
            ]
            self._matcher = matcher  # last: another thread takes it for the sign that all is loaded
        return self._matcher


def load(root: str, dockerfile: str, cache: ParseCache | None = None) -> Ignore:
    """The ignore file of ``dockerfile`` (relative to ``root``, the context); judgements are kept in ``cache``.

    Raises UserError (ignore-file) for a file that engines would not read alike, and, when the first
    path is judged, for a malformed pattern.
    """
    for name in (f"{dockerfile}.containerignore", ".containerignore"):
        if os.path.lexists(os.path.join(root, name)):
            message = f"{name} is read by buildah and podman only"
            raise UserError(
                "ignore-file",
                message,
                hint=f"rename it to {name.removesuffix('.containerignore')}{SUFFIX}",
                file=name,
            )
    for name in (f"{dockerfile}{SUFFIX}", SUFFIX):
        try:
            with open(os.path.join(root, name), encoding="utf-8") as file:
                return Ignore(dockerfile, name, file.read(), cache)
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            message = f"cannot read the ignore file {name}: {reason}"
            raise UserError("ignore-file", message, hint="check the file", file=name) from None
    return Ignore(dockerfile)
