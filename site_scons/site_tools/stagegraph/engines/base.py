"""The one interface behind which every engine stands.

An engine builds images into a store and answers questions about it. The interface names no store layout and asks for
no local path, so that an engine whose builder cannot see local images (BuildKit) can keep it too: it receives parents
as image ids in a ``BuildRequest`` and decides itself how to hand them over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import IO, Protocol

from ..model import BuildRequest, ImageConfig, StoredImage


@dataclass(frozen=True)
class EngineOptions:
    """Where an engine keeps its store; an empty string leaves it to the engine's own configuration.

    root: directory of the images; runroot: directory of the state that a reboot clears (with a root and without this, a
    short path made from the root's); driver: storage driver
    """

    root: str = ""
    runroot: str = ""
    driver: str = ""


class Engine(Protocol):
    """A program that builds images, with the store it keeps them in.

    Every method raises ``UserError`` (codes engine-…) with the command and the last lines it printed when the engine
    fails. Image ids are config digests, ``sha256:<64 hex>``.
    """

    #: The name used for --engine= and in messages.
    name: str

    def version(self) -> str:
        """The program's version, e.g. ``1.28.2``; proves that it runs."""

    def images(self) -> list[StoredImage]:
        """All images of the store with their names, in one process."""

    def inspect(self, image_id: str) -> ImageConfig:
        """The config of an image of the store; ``UserError`` code ``image-unknown`` when it is not there."""

    def build_argv(self, request: BuildRequest) -> list[str]:
        """The exact command of a build; the dry run prints what the real run executes."""

    def build(self, request: BuildRequest, log: IO[bytes]) -> str:
        """Run ``build_argv``; output goes to ``log``. Returns the id of the new image, read from the iidfile."""

    def tag(self, image_id: str, names: Sequence[str]) -> None:
        """Give the image these names in this order, taking them from any image that bore them."""

    def untag(self, names: Sequence[str]) -> None:
        """Take these names away; the images stay."""

    def remove(self, image_ids: Sequence[str]) -> None:
        """Remove images with all their names from the store."""

    def load(self, layout: str) -> str:
        """Bring the single image of an OCI layout directory into the store; returns its id."""

    def save(self, image_id: str, layout: str) -> None:
        """Write an image as the new OCI layout directory ``layout``, which holds nothing else.

        The same image gives the same bytes: nothing in the layout names the image, the engine or the store. Code
        ``image-unknown`` when the image is not there; what a failed call left is its caller's to remove.
        """

    def pull(self, reference: str, platform: str) -> str:
        """Fetch ``name@sha256:…`` from its registry into the store; returns its id.

        ``platform`` chooses from an index, e.g. ``linux/arm64``.
        """

    def rootfs(self, image_id: str, run: str) -> AbstractContextManager[IO[bytes]]:
        """The image's root file system as one tar stream; whatever it needs meanwhile bears the run's name."""

    def sweep(self, dead_runs: Mapping[str, str]) -> list[str]:
        """Remove what killed runs left in the store (run id → its run directory); returns what was removed.

        Never touches a container of a living run or one this tool did not make.
        """

    def store(self) -> str:
        """A directory that belongs to this store and outlives runs; locks and gc roots are kept below it."""


def shown(request: BuildRequest) -> BuildRequest:
    """The request as it is printed: no file of a run in it, so that its command can be copied and run at any time."""
    return replace(request, secret="/dev/null" if request.secret else "", iidfile="")
