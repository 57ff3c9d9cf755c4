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
    store (for an export: the image it came from). how: what was done, a word of ``report``; when: UTC, ISO 8601;
    seconds: how long the engine took (0 when adopted); size: bytes of the image or tree; log: its log file relative
    to the project's root; extra: what only outputs need.
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
        record = Record(**value)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise Unreadable(f"{path}: {problem}") from problem
    _check_shape(path, record)
    return record


#: The types of a record's fields; reasons and ledger have their own check.
_TYPES = (
    *((name, str) for name in ("node", "signature", "content_id", "image_id", "how", "when", "engine", "log")),
    *(("size", int), ("extra", dict), ("ledger", dict)),
)


def _check_shape(path: str, record: Record) -> None:
    """Raise ``Unreadable`` when a field is not what it is in every record that was written here."""
    fields = record.__dict__
    wrong = [name for name, kind in _TYPES if type(fields[name]) is not kind]
    if type(record.seconds) not in (int, float):
        wrong.append("seconds")
    if not all(type(reason) is str for reason in record.reasons):
        wrong.append("reasons")
    if not wrong and not all(map(_is_section, record.ledger.values())):
        wrong.append("ledger")
    if wrong:
        raise Unreadable(f"{path}: {', '.join(wrong)} of another type")


def _is_section(section: object) -> bool:
    """Whether this is a part of a ledger: names with texts, or with the list of instructions."""
    return type(section) is dict and all(
        type(value) is str or (type(value) is list and all(type(line) is str for line in value))
        for value in section.values()
    )


def write(path: str, record: Record) -> None:
    """Write the record so that at any moment either the old or the new one is there, whole."""
    value = {"schema": SCHEMA, **record.__dict__, "reasons": list(record.reasons)}
    write_atomically(path, json.dumps(value, sort_keys=True, indent=1).encode() + b"\n")


def remove_halves(*paths: str) -> None:
    """Remove what killed runs left half written beside these files; only for who may write them."""
    for path in paths:
        directory, name = os.path.split(path)
        for found in os.listdir(directory):
            if found.startswith(f".{name}.") and found.rpartition(".")[2].isdigit():
                os.unlink(os.path.join(directory, found))


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
    except BaseException as problem:
        if isinstance(problem, OSError) and problem.filename is None:
            problem.filename = path  # write() and fsync() name no file, and the user has to know which disk is full
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
