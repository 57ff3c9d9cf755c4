"""Images of containers/storage to and from OCI layouts on disk.

These engines take what stands behind ``oci:`` for a path and a tag, so a path with a colon is cut in two, and they name a
loaded image after its path, which not every path allows. So they are given a link in a directory of its own, whose name
is one of ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .. import oci, process
from ..errors import UserError

if TYPE_CHECKING:
    from .containers_store import ContainersStoreEngine


def load(engine: ContainersStoreEngine, layout: str) -> str:
    """See ``base.Engine.load``. The name that the store gives to the image is taken away again."""
    with _linked(layout) as (directory, link):
        image_id = engine.pulled(engine.ask("pull", "--quiet", f"oci:{link}", cwd=directory))
    engine.untag([f"localhost/{link}:latest"])
    return image_id


def save(engine: ContainersStoreEngine, image_id: str, layout: str) -> None:
    """See ``base.Engine.save``."""
    os.mkdir(layout)
    with _linked(layout) as (directory, link):
        try:
            engine.ask("push", "--quiet", image_id, f"oci:{link}", cwd=directory)
        except UserError as error:
            raise engine.unknown(image_id, error) from error
    oci.normalise(layout, image_id)


@contextmanager
def _linked(layout: str) -> Iterator[tuple[str, str]]:
    """A directory and the name of a link in it to a layout, which must be there."""
    from tempfile import TemporaryDirectory

    link = f"stagegraph-{os.urandom(8).hex()}"
    with TemporaryDirectory(dir=process.environment().get("TMPDIR")) as directory:
        os.symlink(os.path.abspath(layout), os.path.join(directory, link))
        yield directory, link
