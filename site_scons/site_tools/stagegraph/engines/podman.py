"""The engine ``podman``: the same store and builder as buildah, other words for some commands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ..model import StoredImage
from .containers_store import ContainersStoreEngine


class Podman(ContainersStoreEngine):
    """podman with its local store (see ``base.Engine``)."""

    name = "podman"
    minimum = "4.3"
    package = "podman"
    pull_never = ("--pull=never",)
    build_word = "build"

    def _list(self) -> list[StoredImage]:
        names: dict[str, tuple[str, ...]] = {}
        # One line a name, each with all names.
        for line in json.loads(self.ask("images", "--all", "--format", "json", "--no-trunc")) or ():
            names[f"sha256:{line['Id']}"] = tuple(line.get("Names") or ())
        return [StoredImage(image_id, known) for image_id, known in names.items()]

    def _config(self, image_id: str) -> dict[str, object]:
        said = json.loads(self.ask("image", "inspect", image_id))[0]
        return {
            "os": said["Os"],
            "architecture": said["Architecture"],
            "rootfs": {"diff_ids": said["RootFS"]["Layers"]},
            "config": said["Config"],
            "created": said["Created"],
            "size": said["Size"],
        }

    def _rmi(self) -> list[str]:
        return ["rmi", "--no-prune"]

    def untag(self, names: Sequence[str]) -> None:
        """See ``base.Engine``."""
        for image in self._list():
            gone = [name for name in names if name in image.names]
            if gone:
                self.ask("untag", image.id, *gone)

    def _find_graph_root(self) -> str:
        return self.ask("info", "--format", "{{.Store.GraphRoot}}", cleaning=True).strip()

    def _create(self, image_id: str, name: str) -> str:
        # Never run; the command is asked for by podman when the image names none.
        self.ask("create", "--pull=never", "--network", "none", "--name", name, image_id, "/none")
        return name

    def _mount(self, container: str) -> list[str]:
        return self.command("mount", container)

    def _remove_container(self, container: str) -> None:
        self.ask("rm", "--force", container, cleaning=True)

    def _containers(self) -> Mapping[str, str]:
        lines = json.loads(self.ask("ps", "--all", "--external", "--no-trunc", "--format", "json"))
        return {line["Id"]: line["Names"][0] for line in lines or () if line["Names"]}
