"""A small project with a cross lane, a runtime lane on the platform of each arch, gates, layouts and a manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from stagegraph import oci

from .project import Project, write_root

ARCHES = ("arm64", "riscv64")

GRAPH = """\
root = env.Root("bootstrap", "amd64")
tools = env.Stage("tools", parent=root)
members, gates = {}, []
for arch in env["ARCHES"]:
    artifact = env.Stage("artifact", arch, parent=tools)
    env.Layout("local-oci/artifact", arch, image=artifact)
    here = {"platform": f"linux/{arch}", "lane": "runtime"}
    package = env.Stage(
        "package", arch, parent=env.Root("bootstrap", arch), images={"ARTIFACT_IMAGE": artifact},
        values={"ARTIFACT_PLATFORM": "linux/amd64"}, final="package", tag=f"package-{arch}", **here,
    )
    gate = env.Gate(package, "smoke")
    app = env.Stage("app", arch, parent=package, tag=f"app-{arch}", **here)
    env.Default(env.Rootfs(
        "linux-runtime", arch, image=app, gates=[gate], images={"PACKAGE_IMAGE": package}, values={"LANE": "runtime"},
    ))
    env.Rootfs("payload", arch, image=env.Step(package, "payload"))
    members[arch] = app
    gates.append(gate)
env.Manifest("latest", members, gates=gates)
"""

TOOLS = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS final
RUN --mount=type=bind,source=scripts/tools.sh,target=/mnt/tools.sh run /mnt/tools.sh
"""

ARTIFACT = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS final
ARG TARGET_ARCH=amd64
ARG GCC_VERSION=14
RUN --mount=type=bind,source=scripts/artifact.sh,target=/mnt/artifact.sh run /mnt/artifact.sh
"""

PACKAGE = """\
ARG BASE_IMAGE
ARG ARTIFACT_IMAGE
ARG ARTIFACT_PLATFORM=linux/amd64

FROM --platform=${ARTIFACT_PLATFORM} ${ARTIFACT_IMAGE} AS artifact-source
ARG TARGET_ARCH
RUN select-payload

FROM scratch AS payload
COPY --from=artifact-source /work /payload

FROM ${BASE_IMAGE} AS package
ARG TARGET_ARCH
COPY --from=payload /payload /opt
RUN wire

FROM package AS smoke
ARG TARGET_ARCH
RUN --mount=type=bind,source=scripts/smoke.sh,target=/mnt/smoke.sh test -e /mnt/smoke.sh
"""

APP = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS final
RUN --mount=type=bind,source=scripts/app.sh,target=/mnt/app.sh run /mnt/app.sh
"""

FILES = {
    "Dockerfile.tools": TOOLS,
    "Dockerfile.artifact": ARTIFACT,
    "Dockerfile.package": PACKAGE,
    "Dockerfile.app": APP,
    "versions.env": "CROSS_DEFAULT_ARCHES=arm64,riscv64\nGCC_VERSION=14\n",
    "profiles/plain.env": "",
    **{f"scripts/{name}.sh": f"#!/bin/sh\nwork {name}\n" for name in ("tools", "artifact", "smoke", "app")},
}

#: What happens when the manifest is put together: each member is saved.
SAVES = {f"save:app-{arch}" for arch in ARCHES}

#: What lies beside the manifest's layout.
BESIDE = {".latest.json", "latest.env", ".latest.lock"}

#: The nodes that are built for one arch in the runtime lane, its gate last.
RUNTIME = ("bootstrap-{}", "package-{}:artifact-source", "package-{}:payload", "package-{}", "app-{}", "package-{}:smoke")


class Lanes(Project):
    """The project, and what can be asked of its layouts and its manifest."""

    def __init__(self, place: Path, graph: str = GRAPH) -> None:
        root = place / "root-layout"
        if not root.exists():
            write_root_of_platforms(root, ("amd64", *ARCHES))
        super().__init__(place / "project", place / "store", graph=graph, files=FILES)

    def record_path(self, node: str, profile: str = "plain") -> Path:
        where, _, step = node.partition(":")
        stage = where.split("-")[0]
        lane = "runtime" if stage in ("package", "app") else "cross"
        step = step or {"bootstrap": "root", "package": "package"}.get(stage, "final")
        return self.path / "out" / "images" / profile / lane / where / f"{step}.json"

    def done_in_order(self) -> list[str]:
        saved = [f"save:{self.node_of(str(line['image']))}" for line in self.engine.journal("save")]
        return super().done_in_order() + saved

    @property
    def manifest(self) -> Path:
        """The directory of the manifest's layout."""
        return self.path / "out" / "manifest" / "latest"

    def whole(self) -> dict[str, bytes]:
        """Every file of the manifest's layout."""
        found = (path for path in self.manifest.rglob("*") if path.is_file())
        return {str(path.relative_to(self.manifest)): path.read_bytes() for path in found}

    def beside(self) -> set[str]:
        """What lies beside the manifest's layout."""
        return {path.name for path in self.manifest.parent.iterdir()} - {"latest"}

    def manifest_record(self) -> dict:
        """The manifest's record, read."""
        return json.loads((self.manifest.parent / ".latest.json").read_text("utf-8"))

    def entry(self) -> dict:
        """The one entry of the manifest's layout."""
        (only,) = json.loads((self.manifest / "index.json").read_text("utf-8"))["manifests"]
        return only

    def index(self) -> dict:
        """The index that the manifest's layout holds."""
        return self.blob(self.manifest, self.entry()["digest"])

    def blob(self, layout: Path, digest: str) -> dict:
        """A blob that is JSON."""
        return json.loads((layout / "blobs/sha256" / digest[7:]).read_text("utf-8"))

    def images_in_manifest(self) -> dict[str, str]:
        """Arch → id of the image that the manifest lists for it."""
        return {
            entry["platform"]["architecture"]: self.blob(self.manifest, entry["digest"])["config"]["digest"]
            for entry in self.index()["manifests"]
        }


def write_root_of_platforms(directory: Path, arches: tuple[str, ...]) -> None:
    """Write a layout whose one entry is an index over a root file system for each arch."""
    entries = []
    (directory / "blobs" / "sha256").mkdir(parents=True)
    for arch in arches:
        one = directory.parent / f"{directory.name}-{arch}"
        write_root(one, f"root-{arch}", arch)
        (entry,) = json.loads((one / "index.json").read_text("utf-8"))["manifests"]
        entries.append({**entry, "platform": {"os": "linux", "architecture": arch}})
        shutil.copytree(one / "blobs", directory / "blobs", dirs_exist_ok=True)
        shutil.rmtree(one)
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries}
    oci.write_index(str(directory), oci.put(str(directory), index, oci.INDEX))
