"""The engine ``buildah``: no daemon, the default."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

from ..errors import UserError
from ..model import StoredImage
from .containers_store import ContainersStoreEngine


class Buildah(ContainersStoreEngine):
    """buildah with its local store (see ``base.Engine``)."""

    name = "buildah"
    minimum = "1.28"
    package = "buildah"
    pull_never = ("--pull-never",)
    build_word = "bud"

    def _list(self) -> list[StoredImage]:
        # With -a: an image without names that has children is still an image.
        lines = json.loads(self.ask("images", "--all", "--json", "--no-trunc"))
        return [StoredImage(line["id"], tuple(line["names"] or ())) for line in lines or ()]

    def _config(self, image_id: str) -> dict[str, object]:
        said = json.loads(self.ask("inspect", "--type", "image", image_id))
        config: dict[str, object] = json.loads(said["Config"])
        config["size"] = sum(layer["size"] for layer in json.loads(said["Manifest"])["layers"])
        return config

    def _rmi(self) -> list[str]:
        return ["rmi"]

    def untag(self, names: Sequence[str]) -> None:
        """See ``base.Engine``.

        buildah has no such command, and removing an image's last name removes the image. So the names move to an
        empty image made for this, and go with it.
        """
        borne = {name for image in self._list() for name in image.names}
        gone = [name for name in names if name in borne]
        if not gone:
            return
        container = self.ask("from", "--name", f"stagegraph-untag-{os.urandom(8).hex()}", "scratch").strip()
        try:
            # The name makes this image another one than any that a run beside us makes for the same purpose.
            self.ask("config", "--label", f"stagegraph.untag={container}", container)
            empty = self.ask("commit", "--quiet", "--format", "oci", container).strip()
        finally:
            self._remove_container(container)
        self.tag(empty, gone)
        self.ask("rmi", *gone)

    def _find_graph_root(self) -> str:
        return _line(self.ask("info", "--format", "{{.store.GraphRoot}}", cleaning=True))

    def _create(self, image_id: str, name: str) -> str:
        self.ask("from", "--pull-never", "--name", name, image_id)
        return name

    def _mount(self, container: str) -> list[str]:
        return self.command("mount", container)

    def _remove_container(self, container: str) -> None:
        self.ask("rm", container, cleaning=True)

    def _containers(self) -> Mapping[str, str]:
        lines = json.loads(self.ask("containers", "--all", "--json"))
        return {line["id"]: line["containername"] for line in lines or ()}


def _line(output: str) -> str:
    path = output.strip()
    if not os.path.isabs(path):
        raise UserError(
            "engine-failed",
            f"buildah named no directory for its store: '{path}'",
            hint="look at what 'buildah info' prints of GraphRoot",
        )
    return path
