"""What was read once and need not be parsed again: a JSON file of values by key.

A key names everything the value follows from (the bytes that were parsed, the version of the parser), so an
entry is never wrong, only unused; a missing or broken file is an empty cache.
"""

from __future__ import annotations

import json
import os
from typing import Any

#: Entries kept in the file, the most lately used ones. A project has about ten.
_KEEP = 128


class ParseCache:
    """A map of JSON values in one file. Nothing is written before ``save()``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._changed = False
        self._entries = read_json(path)

    def get(self, key: str) -> Any:
        """The value under ``key``, or None."""
        value = self._entries.pop(key, None)
        if value is not None:
            self._entries[key] = value
        return value

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value. It may still be filled after this call, up to ``save()``."""
        self._entries.pop(key, None)
        self._entries[key] = value
        self._changed = True

    def save(self) -> None:
        """Write the file, atomically, if something was put since it was read."""
        if not self._changed:
            return
        kept = dict(list(self._entries.items())[-_KEEP:])
        write_json(self._path, kept)
        self._changed = False


def read_json(path: str) -> dict[str, Any]:
    """The map that ``write_json`` put into ``path``; an empty one when the file is missing or broken."""
    try:
        with open(path, encoding="utf-8") as file:
            loaded = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def write_json(path: str, value: Any) -> None:
    """Put ``value`` into ``path`` so that a reader sees the old file or the new one, never a half."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = f"{path}.{os.getpid()}.new"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file, separators=(",", ":"))
    os.replace(temporary, path)
