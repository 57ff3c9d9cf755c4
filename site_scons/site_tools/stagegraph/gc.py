"""``scons gc``: images of this tool leave the store when no checkout's record needs them any more.

Every checkout that built into a store is registered there; an image is kept while a record of any of them names it.
Images of anybody else are never touched.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

from .engines.base import Engine
from .model import TAG_ROOT, StoredImage
from .runs import StoreLock


@dataclass(frozen=True)
class Doomed:
    """An image that nobody needs: its id and the names of ours it bears.

    shared: it also bears a name that is not ours, so only our names go
    """

    id: str
    names: tuple[str, ...]
    shared: bool = False


def collect(engine: Engine, images_dir: str, out: TextIO, *, dry: bool) -> None:
    """Remove what no record needs; with ``dry`` only say what would be removed.

    images_dir: the records of this checkout, absolute. Raises ``UserError`` when a build uses the store.
    """
    with contextlib.nullcontext() if dry else StoreLock(engine.store()).held(alone=True):
        doomed = find(engine.images(), needed({images_dir, *_registered(engine.store())}))
        out.writelines(f"{'would remove' if dry else 'removes'} {image.id[7:19]}  {', '.join(image.names)}\n" for image in doomed)
        if doomed and not dry:
            engine.untag([name for image in doomed if image.shared for name in image.names])
            engine.remove([image.id for image in doomed if not image.shared])
        images = "1 image" if len(doomed) == 1 else f"{len(doomed)} images"
        out.write(f"{images} {'would be removed' if dry else 'removed'}\n")


def find(stored: Iterable[StoredImage], kept: set[str]) -> list[Doomed]:
    """The images that bear a name of ours and that no record needs."""
    found = []
    for image in stored:
        own = [name for name in image.names if name.startswith(f"{TAG_ROOT}/")]
        if own and image.id not in kept:
            found.append(Doomed(image.id, tuple(own), shared=len(own) < len(image.names)))
    return found


def needed(directories: Iterable[str]) -> set[str]:
    """The ids of all images that the records below these directories name."""
    ids = set()
    for directory in directories:
        for folder, _, files in os.walk(directory):
            for name in files:
                if name.endswith(".json"):
                    ids.add(_image_id(os.path.join(folder, name)))
    return ids - {""}


def _image_id(path: str) -> str:
    """The image a record names; a record that cannot be read needs none, its node is built again anyway."""
    try:
        with open(path, "rb") as file:
            value = json.load(file)
        return str(value["image_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _registered(store: str) -> set[str]:
    """The record directories of all checkouts that built into this store and still exist."""
    directory = os.path.join(store, "roots")
    found = set()
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            path = file.read().strip()
        if os.path.isdir(path):
            found.add(path)
    return found
