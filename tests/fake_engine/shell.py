"""What a RUN of a test does to the file system, without a shell.

A few commands are understood, joined by ``&&``: ``true``, ``false``, ``exit N``, ``echo WORDS [> FILE]``, ``cat FILE… [> FILE]``,
``cp FROM TO``, ``mkdir -p DIR``, ``chmod OCTAL FILE``, ``rm -rf PATH``, ``test -e|-s PATH``, ``sleep N`` (no wait). They read files where
a real shell would. Any other command stands for work that depends on all it can see: it writes a file whose bytes are a hash
of the command, the variables, the file system and the mounted files (of scripts without their comment lines, so
that a changed comment gives the same image, as with a real interpreter).
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable

from . import filesystem as fs


class Failed(Exception):
    """A command ended with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def run(
    command: str,
    tree: fs.Tree,
    mounts: fs.Tree,
    values: dict[str, str],
    secrets: set[str],
    say: Callable[[str], None],
) -> None:
    """Change ``tree`` as the command says; ``mounts`` are seen above it and not kept, ``secrets`` are paths in them."""
    for part in command.split("&&"):
        words = _words(part, values)
        if not words:
            continue
        target = ""
        if len(words) > 2 and words[-2] == ">":
            words, target = words[:-2], words[-1]
        output = _one(words, part, tree, mounts, values, secrets)
        if output is None:
            continue
        if target:
            fs.put(tree, target, fs.regular(output))
        elif output:
            say(output.decode("utf-8", "replace").rstrip("\n"))


def _words(part: str, values: dict[str, str]) -> list[str]:
    from .dockerfile import expand

    return [expand(word, values) for word in shlex.split(part)]


def _read(path: str, tree: fs.Tree, mounts: fs.Tree) -> fs.Entry:
    entry = mounts.get(fs.clean(path)) or tree.get(fs.clean(path))
    if entry is None:
        raise Failed(1)
    return entry


def _one(
    words: list[str],
    text: str,
    tree: fs.Tree,
    mounts: fs.Tree,
    values: dict[str, str],
    secrets: set[str],
) -> bytes | None:
    """One command: what it prints, None for what may not be redirected."""
    name, args = words[0], words[1:]
    if name == "true" or name == "sleep":
        return b""
    if name == "false":
        raise Failed(1)
    if name == "exit":
        if int(args[0]):
            raise Failed(int(args[0]))
        return b""
    if name == "echo":
        return (" ".join(args) + "\n").encode()
    if name == "cat":
        return b"".join(_read(path, tree, mounts).data for path in args)
    if name == "cp":
        _copy(args[-2], args[-1], tree, mounts)
    elif name == "mkdir":
        fs.put(tree, args[-1], fs.directory())
    elif name == "chmod":
        entry = _read(args[1], tree, mounts)
        fs.put(
            tree, args[1], fs.Entry(entry.kind, int(args[0], 8), entry.data, entry.link, entry.uid, entry.gid)
        )
    elif name == "rm":
        fs.remove(tree, fs.clean(args[-1]))
    elif name == "test":
        entry = _read(args[1], tree, mounts)
        if args[0] == "-s" and not entry.data:
            raise Failed(1)
    else:
        _work(text, tree, mounts, values, secrets)
    return None


def _copy(source: str, target: str, tree: fs.Tree, mounts: fs.Tree) -> None:
    entry = _read(source, tree, mounts)
    existing = tree.get(fs.clean(target))
    if target.endswith("/") or (existing and existing.kind == fs.directory().kind):
        target = f"{target}/{source.rsplit('/', 1)[-1]}"
    fs.put(tree, target, entry)


def _work(text: str, tree: fs.Tree, mounts: fs.Tree, values: dict[str, str], secrets: set[str]) -> None:
    command = " ".join(text.split())
    seen = {path: _meaning(entry) for path, entry in mounts.items() if path not in secrets}
    said = repr((command, sorted(values.items()), fs.digest(tree), sorted(seen.items())))
    result = hashlib.sha256(said.encode()).hexdigest()
    place = hashlib.sha256(command.encode()).hexdigest()[:12]
    fs.put(tree, f"work/{place}", fs.regular(result.encode()))


def _meaning(entry: fs.Entry) -> tuple[bytes, int, bytes, str]:
    """What an interpreter would see of a file: a script's comment lines are nothing to it."""
    data = entry.data
    if data.startswith(b"#!"):
        data = b"\n".join(line for line in data.split(b"\n") if not line.lstrip().startswith(b"#"))
    return entry.kind, entry.mode, data, entry.link
