"""artifact.env: what an exported root file system is, for shells and for people.

One ``KEY=value`` a line; any POSIX shell can source it. Values are quoted as ``shlex.quote`` does, only when they must be.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from .errors import UserError
from .records import write_atomically

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLAIN = re.compile(r"[\w@%+=:,./-]*\Z", re.ASCII)


def render(values: Mapping[str, str]) -> str:
    """The file's text, in the order of the mapping. Raises ValueError for a key or value a shell cannot hold."""
    lines = []
    for key, value in values.items():
        if not _KEY.match(key):
            raise ValueError(f"'{key}' is no name of a shell variable")
        if "\0" in value:
            raise ValueError(f"the value of {key} holds NUL")
        lines.append(f"{key}={shlex.quote(value) if value else ''}\n")
    return "".join(lines)


def write(path: str, values: Mapping[str, str]) -> None:
    """Write the file in one step, to the disk: afterwards it is the new one or what it was, never half of it."""
    write_atomically(path, render(values).encode("utf-8", "surrogateescape"))


def read(path: str) -> dict[str, str]:
    """Read the file as strictly as it was written, in its order.

    Raises FileNotFoundError, and ``UserError`` code artifact-malformed for a text that ``write`` does not write.
    """
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
        text = stream.read()
    values: dict[str, str] = {}
    number, at = 1, 0
    while at < len(text):
        key, sign, _ = text[at:].partition("=")
        end = _value_end(text, at + len(key) + 1)
        raw = text[at + len(key) + 1 : end]
        value = raw if _PLAIN.match(raw) else _unquote(raw)
        if not sign or not _KEY.match(key) or key in values or value is None or end >= len(text):
            raise _malformed(path, number, text[at:].split("\n", 1)[0])
        values[key] = value
        number += text.count("\n", at, end + 1)
        at = end + 1
    return values


def _value_end(text: str, at: int) -> int:
    """Where the line of a value ends: at the first line end outside single quotes."""
    quoted = doubled = False
    while at < len(text) and (quoted or doubled or text[at] != "\n"):
        if text[at] == "'" and not doubled:
            quoted = not quoted
        elif text[at] == '"' and not quoted:
            doubled = not doubled
        at += 1
    return at


def _unquote(raw: str) -> str | None:
    """The value that ``shlex.quote`` wrote so; None when it did not."""
    if len(raw) < 2 or raw[0] != "'" or raw[-1] != "'":
        return None
    value = raw[1:-1].replace("'\"'\"'", "'")
    return value if shlex.quote(value) == raw else None


def _malformed(path: str, number: int, line: str) -> UserError:
    return UserError(
        "artifact-malformed",
        f"'{line}' is not a line of artifact.env",
        hint="remove the file; the next run writes it again",
        file=path,
        line=number,
    )
