"""A project's Dockerfiles, read from disk, and kept from one run to the next once they are parsed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict
from typing import Any

from .errors import UserError
from .model import Arg, Dockerfile, ImageUse, Source, Step
from .parsecache import ParseCache

__all__ = ["ParseCache", "from_json", "load", "read", "to_json"]

#: Raised by hand when this module reads the same bytes differently: entries of the cache are then left alone.
PARSER_ABI = "2"


def load(root: str, path: str, cache: ParseCache) -> Dockerfile:
    """As ``read``, but a file whose bytes were parsed before is taken from ``cache``."""
    data = _bytes(root, path)
    key = "dockerfile:" + hashlib.sha256(f"{PARSER_ABI}\0{path}\0".encode() + data).hexdigest()
    kept = cache.get(key)
    if kept is not None:
        try:
            return from_json(kept)
        except (KeyError, TypeError, ValueError):
            pass  # not written by this version: parsed again below, and replaced
    dockerfile = parse(path, data)
    cache.put(key, to_json(dockerfile))
    return dockerfile


def read(root: str, path: str) -> Dockerfile:
    """The Dockerfile at ``path``, relative to ``root``, the build context.

    Raises UserError: dockerfile-missing, dockerfile-encoding, dockerfile-syntax, dockerfile-unsupported,
    dockerfile-variable, step-name, step-unknown, image-unpinned, source-outside.
    """
    return parse(path, _bytes(root, path))


def parse(path: str, data: bytes) -> Dockerfile:
    """``dockerfile_reader.parse``, imported only now: a no-op parses nothing."""
    from . import dockerfile_reader

    return dockerfile_reader.parse(path, data)


def to_json(dockerfile: Dockerfile) -> dict[str, Any]:
    """The Dockerfile as JSON values; ``from_json`` is its inverse."""
    return asdict(dockerfile)


def from_json(data: dict[str, Any]) -> Dockerfile:
    """The Dockerfile that ``to_json`` wrote; KeyError, TypeError or ValueError if it did not write this."""
    steps = tuple(
        Step(
            name=step["name"],
            line=step["line"],
            base=ImageUse(**step["base"]),
            uses=tuple(ImageUse(**use) for use in step["uses"]),
            args=tuple(Arg(**arg) for arg in step["args"]),
            sources=tuple(Source(**source) for source in step["sources"]),
            instructions=tuple(step["instructions"]),
            platform=step["platform"],
        )
        for step in data["steps"]
    )
    return Dockerfile(path=data["path"], steps=steps, args=tuple(Arg(**arg) for arg in data["args"]))


def _bytes(root: str, path: str) -> bytes:
    try:
        with open(os.path.join(root, path), "rb") as file:
            return file.read()
    except OSError as error:
        raise UserError(
            "dockerfile-missing",
            f"cannot read the Dockerfile {path}: {error.strerror}",
            hint="check the name given to Stage(dockerfile=…)",
            file=path,
        ) from None
