"""Image records: the files under out/images/ that say what was built from what.

A record is written last and atomically, so a record that can be read belongs to an image that was finished. It is
the only memory of the tool: SCons' own database is not needed to decide anything.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

from .signature import Ledger

SCHEMA = 1


@dataclass(frozen=True)
class Record:
    """What is known about a finished node.

    signature, ledger: what it was made of; content_id: what its children see; image_id: the image in the engine's
    store (for an export: the image it came from). how: "built", "adopted" or "exported"; when: UTC, ISO 8601;
    seconds: how long the engine took (0 when adopted); size: bytes of the image or tree; log: its log file relative
    to the project's root; extra: what only exports need.
    """

    node: str
    signature: str
    content_id: str
    image_id: str
    ledger: Ledger
    how: str
    when: str
    seconds: float
    size: int
    engine: str
    log: str
    reasons: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


class Unreadable(Exception):
    """The record exists but is no record: cut short, of another schema, or not ours."""


def read(path: str) -> Record | None:
    """The record at ``path``, or None when there is none; raises ``Unreadable``."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        raise Unreadable(f"{path}: {problem.strerror}") from problem
    try:
        value = json.loads(data)
        if value.pop("schema") != SCHEMA:
            raise Unreadable(f"{path}: another schema")
        value["reasons"] = tuple(value["reasons"])
        return Record(**value)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise Unreadable(f"{path}: {problem}") from problem


def write(path: str, record: Record) -> None:
    """Write the record so that at any moment either the old or the new one is there, whole."""
    value = {"schema": SCHEMA, **record.__dict__, "reasons": list(record.reasons)}
    write_atomically(path, json.dumps(value, sort_keys=True, indent=1).encode() + b"\n")


def write_atomically(path: str, data: bytes) -> None:
    """Replace the file at ``path``; survives a kill and a power cut, leaves nothing half written under its name."""
    directory = os.path.dirname(path)
    os.makedirs(directory, exist_ok=True)
    temporary = os.path.join(directory, f".{os.path.basename(path)}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
