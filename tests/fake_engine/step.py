"""Builds one step in memory: from its parents' trees and the build context to its own tree and config."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import shlex
import stat
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from e2b_dockerfile_utils import PatternMatcher

from . import filesystem as fs
from . import shell
from .dockerfile import Instruction, expand, pairs


class Wrong(Exception):
    """The build fails with this text."""


@dataclass
class State:
    """What a step has made so far."""

    tree: fs.Tree
    config: dict[str, object]
    values: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """ARGs with ENV above them."""
        env = self.config.get("Env") or []
        assert isinstance(env, list)
        return {**self.values, **dict(entry.split("=", 1) for entry in env)}


@dataclass(frozen=True)
class Inputs:
    """What a step may take: the context as the ignore file leaves it, other steps' trees, build arguments, secrets."""

    context: fs.Tree
    images: Callable[[str], fs.Tree]
    build_args: Mapping[str, str]
    defaults: Mapping[str, str]
    secrets: Mapping[str, bytes]
    say: Callable[[str], None]


def read_context(root: str, dockerfile: str) -> fs.Tree:
    """The build context without what its ignore file hides."""
    patterns: list[str] = []
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        path = os.path.join(root, name)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as stream:
                patterns = [line.strip() for line in stream if line.strip() and not line.startswith("#")]
            break
    matcher = PatternMatcher(patterns)
    tree: fs.Tree = {}
    for folder, folders, files in os.walk(root):
        here = os.path.relpath(folder, root)
        if here == ".":
            folders[:] = [name for name in folders if name not in (".git", "out")]
        for name in [*folders, *files]:
            relative = posixpath.normpath(posixpath.join(here, name))
            if not matcher.matches(relative):
                tree[relative] = _entry(os.path.join(folder, name))
    return tree


def _entry(path: str) -> fs.Entry:
    state = os.lstat(path)
    mode = stat.S_IMODE(state.st_mode)
    if stat.S_ISLNK(state.st_mode):
        return fs.Entry(tarfile.SYMTYPE, 0o777, link=os.readlink(path))
    if stat.S_ISDIR(state.st_mode):
        return fs.directory(mode)
    with open(path, "rb") as stream:
        return fs.regular(stream.read(), mode)


def build(state: State, instructions: tuple[Instruction, ...], inputs: Inputs) -> None:
    """Change ``state`` as the instructions say; raises ``Wrong``."""
    for number, one in enumerate(instructions, 2):
        inputs.say(f"STEP {number}/{len(instructions) + 1}: {one.word} {one.rest}")
        _perform(state, one, inputs)


def _perform(state: State, one: Instruction, inputs: Inputs) -> None:
    config, env = state.config, state.environment()
    if one.word == "ARG":
        name, has_default, default = one.rest.partition("=")
        if name in inputs.build_args:
            state.values[name] = inputs.build_args[name]
        elif has_default or name in inputs.defaults:
            state.values[name] = expand(default, env) if has_default else inputs.defaults[name]
    elif one.word == "ENV":
        known = dict(entry.split("=", 1) for entry in _list(config, "Env"))
        known.update((key, expand(value, env)) for key, value in pairs(one.rest))
        config["Env"] = [f"{key}={value}" for key, value in known.items()]
    elif one.word == "LABEL":
        labels = config.get("Labels") or {}
        assert isinstance(labels, dict)
        config["Labels"] = {**labels, **{key: expand(value, env) for key, value in pairs(one.rest)}}
    elif one.word in ("USER", "WORKDIR"):
        config["User" if one.word == "USER" else "WorkingDir"] = expand(one.rest, env)
    elif one.word == "CMD":
        config["Cmd"] = ["/bin/sh", "-c", one.rest]
    elif one.word == "COPY":
        _copy(state, one, inputs)
    elif one.word == "RUN":
        _run(state, one, inputs, env)
    else:
        raise Wrong(f"{one.word} is not understood")


def _list(config: Mapping[str, object], key: str) -> list[str]:
    value = config.get(key) or []
    assert isinstance(value, list)
    return value


def _copy(state: State, one: Instruction, inputs: Inputs) -> None:
    flags = dict(one.flags)
    origin = inputs.images(flags["from"]) if "from" in flags else inputs.context
    *sources, target = shlex.split(expand(one.rest, state.environment()))
    if not target.startswith("/"):
        target = posixpath.join(str(state.config.get("WorkingDir") or "/"), target)
    for pattern in sources:
        wanted = fs.clean(pattern)
        found = [path for path in origin if wanted == "." or _same(path, wanted)]
        if not found:
            raise Wrong(f'no items matching glob "{pattern}" copied')
        for path in found if wanted != "." else ["."]:
            _put(
                state.tree,
                origin,
                path,
                target,
                flags.get("chmod", ""),
                len(found) > 1 or target.endswith("/"),
            )


def _same(path: str, pattern: str) -> bool:
    """Go's filepath.Match, near enough: a wildcard does not cross a slash."""
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)


def _put(tree: fs.Tree, origin: fs.Tree, path: str, target: str, chmod: str, into: bool) -> None:
    below = {known: e for known, e in origin.items() if path == "." or known.startswith(path + "/")}
    entry = origin.get(path)
    if entry is not None and entry.kind != tarfile.DIRTYPE:
        here = f"{target}/{posixpath.basename(path)}" if into else target
        fs.put(tree, here, replace(entry, mode=int(chmod, 8)) if chmod else entry)
        return
    fs.put(tree, target, tree.get(fs.clean(target)) or fs.directory())
    for known, child in sorted(below.items()):
        relative = known if path == "." else known[len(path) + 1 :]
        fs.put(tree, posixpath.join(target, relative), child)


def _run(state: State, one: Instruction, inputs: Inputs, env: dict[str, str]) -> None:
    mounts: fs.Tree = {}
    secrets: set[str] = set()
    for name, value in one.flags:
        if name != "mount":
            continue
        options = dict(part.partition("=")[::2] for part in expand(value, env).split(","))
        target = options.get("target") or options.get("dst") or ""
        if options.get("type") == "secret":
            given = inputs.secrets.get(options.get("id", ""))
            if given is not None:
                mounts[fs.clean(target)] = fs.regular(given)
                secrets.add(fs.clean(target))
            elif options.get("required") == "true":
                raise Wrong("the secret is required and was not given")
        elif options.get("type") == "bind":
            origin = inputs.images(options["from"]) if "from" in options else inputs.context
            source = fs.clean(options.get("source") or options.get("src") or ".")
            if source != "." and source not in origin:
                raise Wrong(f"{source}: no such file or directory")
            _put(mounts, origin, source, target, "", False)
    try:
        shell.run(one.rest, state.tree, mounts, env, secrets, inputs.say)
    except shell.Failed as error:
        raise Wrong(f'while running "{one.rest}": exit status {error.status}') from None
