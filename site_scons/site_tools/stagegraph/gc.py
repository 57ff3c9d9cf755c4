"""``scons gc``: images of this tool leave the store when no checkout's record needs them any more.

Every checkout that built into a store is registered there; an image is kept while a record of any of them names it.
Every image that was built is noted there too: one that was refused after its build, or that lost its name to a later
build of the same signature, bears no name by which it could be known. Images of anybody else are never touched.
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
        store, stored = engine.store(), engine.images()
        checkouts = {images_dir, *_registered(store)}
        vanished = sorted(path for path in checkouts if not os.path.isdir(path))
        out.writelines(f"note: {path} is gone, so nothing is kept for it\n" for path in vanished)
        doomed = find(stored, needed(checkouts), made(store))
        verb = "would remove" if dry else "removes"
        out.writelines(f"{verb} {image.id[7:19]}  {', '.join(image.names) or '(no name)'}\n" for image in doomed)
        if not dry:
            if doomed:
                engine.untag([name for image in doomed if image.shared for name in image.names])
                engine.remove([image.id for image in doomed if not image.shared])
            gone = {image.id for image in doomed if not image.shared}
            _forget(store, made(store) - ({image.id for image in stored} - gone))
        images = "1 image" if len(doomed) == 1 else f"{len(doomed)} images"
        out.write(f"{images} {'would be removed' if dry else 'removed'}\n")


def find(stored: Iterable[StoredImage], kept: set[str], made_here: set[str]) -> list[Doomed]:
    """The images that no record needs and that bear a name of ours, or none at all and were made by us."""
    found = []
    for image in stored:
        own = [name for name in image.names if name.startswith(f"{TAG_ROOT}/")]
        if image.id not in kept and (own or (not image.names and image.id in made_here)):
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


def note(store: str, image_id: str, seconds: float) -> None:
    """Note that this tool made an image of the store, before it has a name, and how long that took."""
    directory = os.path.join(store, "made")
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, image_id.removeprefix("sha256:")), "w", encoding="ascii") as file:
        file.write(f"{seconds:.3f}\n")


def seconds_of(store: str, image_id: str) -> float:
    """How long it took to make an image of the store, 0 when that is not known; for estimates only."""
    try:
        with open(os.path.join(store, "made", image_id.removeprefix("sha256:")), encoding="ascii") as file:
            return float(file.read())
    except (OSError, ValueError):
        return 0.0


def made(store: str) -> set[str]:
    """The ids of the images that this tool made in the store and that no gc removed."""
    directory = os.path.join(store, "made")
    return {f"sha256:{name}" for name in (os.listdir(directory) if os.path.isdir(directory) else ())}


def _forget(store: str, image_ids: Iterable[str]) -> None:
    for image_id in image_ids:
        os.unlink(os.path.join(store, "made", image_id.removeprefix("sha256:")))


def _registered(store: str) -> set[str]:
    """The record directories of all checkouts that built into this store, those that are gone as well."""
    directory = os.path.join(store, "roots")
    found = set()
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        with open(os.path.join(directory, name), "rb") as file:
            found.add(os.fsdecode(file.read().removesuffix(b"\n")))
    return found
