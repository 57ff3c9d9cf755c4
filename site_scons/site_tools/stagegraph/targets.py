"""Words on the command line: which graph nodes each of them means."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from SCons.Node.Alias import default_ans
from SCons.Script import BUILD_TARGETS, COMMAND_LINE_TARGETS

from . import settings
from .errors import UserError
from .nodes import GraphFile


class Targets:
    """The SCons nodes of all graph nodes, and the words and paths that name them.

    env: the SCons environment; root: absolute path of the project
    """

    def __init__(self, env: Any, root: str) -> None:
        self._env = env
        self._root = root
        #: Name of a graph node → its SCons node.
        self.files: dict[str, GraphFile] = {}
        #: Name of an output → where its files lie, absolute.
        self.places: dict[str, str] = {}
        #: Word → names of the graph nodes it means.
        self.words: dict[str, list[str]] = {}

    def add_word(self, word: str, name: str) -> None:
        """Let ``word`` mean the graph node ``name``, besides what it means already."""
        names = self.words.setdefault(word, [])
        if name not in names:
            names.append(name)

    def make_aliases(self) -> None:
        """Tell SCons every word, and where an export lies that OUTPUT_ROOT moved away from its name."""
        for word, names in self.words.items():
            self._env.Alias(word, [self.files[name] for name in names])
        for number, word in enumerate(BUILD_TARGETS):
            path = self._absolute(str(word))
            for name, file in self.files.items():
                if path == os.path.join(self._root, name):
                    BUILD_TARGETS[number] = file

    def named(self, word: str) -> list[str]:
        """The graph nodes that a word or path names; a path names every export and record at or below it."""
        return self.words.get(word) or self._at_path(word)

    def requested(self) -> tuple[list[str], list[str]]:
        """The graph nodes that this command needs, and the words that are targets of somebody else's.

        Such a target may stand on graph nodes of ours; they are needed like those that are named.
        """
        found: list[str] = []
        other: list[str] = []
        for word in _words():
            names = self.named(word)
            if not names:
                other.append(word)
                names = self._under(self._node(word))
            found += [name for name in names if name not in found]
        return found, other

    def directly_requested(self) -> list[str]:
        """The graph nodes that the command line names themselves, without those a target of somebody else's needs."""
        return [name for word in _words() for name in self.named(word)]

    def check(self, words: Iterable[str]) -> None:
        """Refuse a target that neither this tool nor SCons knows; ``UserError`` with a suggestion."""
        known = {*self.words, *self.files, *(str(name) for name in default_ans)}
        for word in words:
            node = self._node(word)
            if node.has_builder() or word in default_ans or _holds_targets(node):
                continue
            raise UserError(
                "target-unknown",
                f"there is no target {word!r}",
                hint=settings.suggestion(word, known) or "scons --list-targets prints all of them",
            )

    def _at_path(self, word: str) -> list[str]:
        path = self._absolute(word)
        found = []
        for name, file in self.files.items():
            own = str(file.get_abspath())
            others = (self.places.get(name), os.path.join(self._root, name))
            if own == path or own.startswith(path.rstrip("/") + "/") or path in others:
                found.append(name)
        return found

    def _node(self, word: str) -> Any:
        """The SCons node that SCons takes a word of the command line for."""
        return default_ans.lookup(word) or self._env.Entry(self._absolute(word))

    def _absolute(self, word: str) -> str:
        """The path a word means: from where scons was started with -u, -U or -D, else from the project's root."""
        if word.startswith("#"):
            return os.path.normpath(os.path.join(self._root, word[1:].lstrip("/")))
        base = self._root
        if settings.option("climb_up") and COMMAND_LINE_TARGETS:
            base = os.path.join(self._env.GetLaunchDir(), *settings.option("directory"))
        return os.path.normpath(os.path.join(base, word))

    def _under(self, node: Any) -> list[str]:
        """The graph nodes that a target of somebody else's stands on, directly or not."""
        found: list[str] = []
        seen = set()
        pending = [node]
        while pending:
            entry = pending.pop()
            if entry in seen:
                continue
            seen.add(entry)
            if isinstance(entry, GraphFile):
                found.append(entry.attributes.graph_node)
            else:
                pending += [*entry.sources, *entry.depends, *(entry.prerequisites or ())]
                held = getattr(entry, "entries", None) or {}
                pending += [child for name, child in held.items() if name not in (".", "..")]
        return found


def _words() -> list[str]:
    """The targets of this command; without any, and without defaults, that is all, as SCons has it."""
    return [str(word) for word in (COMMAND_LINE_TARGETS or BUILD_TARGETS or ["."])]


def start_directory(env: Any) -> str:
    """The directory from which SCons takes paths on the command line: where it was started, then -C."""
    return str(os.path.join(env.GetLaunchDir(), *(settings.option("directory") or [])))


def _holds_targets(node: Any) -> bool:
    """Whether SCons has a target below this directory."""
    entries = getattr(node, "entries", None) or {}
    return any(child.has_builder() for name, child in entries.items() if name not in (".", ".."))
