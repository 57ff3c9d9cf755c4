"""Artifact sources: what a package stage takes as its ARTIFACT_IMAGE when that is not to be the stage declared for it.

Settings name a layout or a tree on disk, or an image. It becomes a node, ``artifact-<arch>``, of the kind "root": it has no
Dockerfile, and what it is taken from decides its result. What is on disk is checked while reading; the content of a tree
and the image behind a name are looked up when the node is planned, so that a command that does not need them reads nothing.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from . import artifact, oci
from .errors import UserError
from .graph import KNOWN_ARCHES, root_node
from .model import LABEL_NODE, ImageConfig, Node
from .names import full

if TYPE_CHECKING:
    from .engines.base import Engine
    from .world import Workspace

MODE, PREFIX = "ARTIFACT_BUILD_MODE", "ARTIFACT_IMAGE_PREFIX"
CONTEXT_ROOT, CONTEXT_MODE = "ARTIFACT_CONTEXT_ROOT", "ARTIFACT_CONTEXT_MODE"

#: The stage that artifact nodes count as.
STAGE = "artifact"

_MODES = {MODE: ("cross", "native"), CONTEXT_MODE: ("oci", "dir")}


@dataclass(frozen=True)
class Source:
    """Where the artifacts of a command come from.

    platform: of all artifacts; empty in native mode, where each is for that of its arch
    root: the directory of layouts or trees, absolute; image: what names the image, a prefix in cross mode
    """

    mode: str
    platform: str
    root: str = ""
    kind: str = "oci"
    image: str = ""

    def platform_of(self, arch: str) -> str:
        """The platform that the artifact image of an arch is for."""
        return self.platform or f"linux/{arch}"


def source(given: Mapping[str, str], start: str, build_platform: str) -> Source:
    """The source that the settings name; its root and image are empty when they name none.

    start: the directory from which paths count. Raises ``UserError`` code artifact-settings.
    """
    chosen = {}
    for name, known in _MODES.items():
        chosen[name] = given[name] or known[0]
        if chosen[name] not in known:
            raise UserError("artifact-settings", f"{name} is {given[name]!r}", hint=f"give {' or '.join(known)}")
    if given[PREFIX] and given[CONTEXT_ROOT]:
        raise UserError(
            "artifact-settings",
            f"{PREFIX} and {CONTEXT_ROOT} both say where artifacts come from",
            hint="leave one of them out; one in the environment is taken back by an empty one on the command line",
        )
    root = os.path.normpath(os.path.join(start, given[CONTEXT_ROOT])) if given[CONTEXT_ROOT] else ""
    platform = build_platform if chosen[MODE] == "cross" else ""
    return Source(chosen[MODE], platform, root, chosen[CONTEXT_MODE], given[PREFIX])


def check_declared(chosen: Source, arch: str, declared: Node) -> None:
    """Raise ``UserError`` (artifact-settings) when the declared image is none of the mode that is asked for."""
    if declared.platform != chosen.platform_of(arch):
        raise UserError(
            "artifact-settings",
            f"{MODE} is {chosen.mode}, but {declared.name} is an image for {declared.platform}",
            hint=f"name the artifacts of that mode by {PREFIX} or {CONTEXT_ROOT}",
        )


def node(chosen: Source, arch: str, arches: Collection[str], *, lane: str, profile: str, out: str) -> Node:
    """The node of the artifact of an arch; ``arches`` are all target arches of the command.

    Raises ``UserError``: artifact-missing, artifact-arch, artifact-settings, image-name, layout-broken.
    """
    platform = chosen.platform_of(arch)
    if chosen.root:
        options, location = _on_disk(chosen, arch, platform)
    elif "@sha256:" in chosen.image:
        if chosen.mode == "cross" and len(arches) > 1:
            raise UserError(
                "artifact-settings",
                f"{PREFIX} is '{chosen.image}', one image for the arches {', '.join(arches)}",
                hint="an artifact of cross mode is made for one arch; ask for one, as in TARGET_ARCH=arm64",
            )
        options, location = {"image": chosen.image}, ""
    else:
        reference = f"{chosen.image}-{arch}" if chosen.mode == "cross" else chosen.image
        options, location = {"stored": ""}, full(reference)
    made = root_node(STAGE, arch, options, lane=lane, profile=profile, out=out, location=location)
    return replace(made, arch=arch, platform=platform)


# On disk -----------------------------------------------------------------------------------------------------------


def _on_disk(chosen: Source, arch: str, platform: str) -> tuple[dict[str, str], str]:
    """Options and location of an artifact below ARTIFACT_CONTEXT_ROOT."""
    path = os.path.join(chosen.root, arch)
    if not os.path.isdir(path):
        raise UserError(
            "artifact-missing",
            f"there is no artifact for {arch}: '{path}' is no directory",
            hint=f"{CONTEXT_ROOT} holds one directory for each arch; ask for the arches it has by TARGET_ARCHES",
        )
    _check_env(os.path.join(path, "artifact.env"), arch)
    is_layout = os.path.isfile(os.path.join(path, "index.json"))
    if chosen.kind == "dir":
        return {"tree": ""}, _tree(path, platform, is_layout)
    if not is_layout:
        raise UserError(
            "artifact-missing",
            f"'{path}' is no OCI layout: it has no index.json",
            hint=f"save one there, as env.Layout does; for a directory tree give {CONTEXT_MODE}=dir",
        )
    config, offered = oci.config_for(path, platform)
    if config is None:
        raise _wrong(f"'{path}' is an image for {' and '.join(offered) or 'no platform'}, not for {platform}")
    _check_arch(config.get("config") or {}, arch, platform, path)
    return {"layout": str(oci.only_entry(path)["digest"])}, path


def _tree(path: str, platform: str, is_layout: bool) -> str:
    """The root file system in a directory: its rootfs/, as exports have it, else the directory itself."""
    from . import artifact_tree

    inner = os.path.join(path, "rootfs")
    root = inner if os.path.isdir(inner) else path
    program, machine = artifact_tree.machine(root)
    if not program:
        raise UserError(
            "artifact-missing",
            f"'{root}' is no root file system: it has neither a shell nor another program below usr/bin",
            hint=f"it is an OCI layout, so give {CONTEXT_MODE}=oci" if is_layout else "export one there, as env.Rootfs does",
        )
    if f"linux/{machine}" != platform:
        raise _wrong(f"'{root}' is a root file system for linux/{machine}, not for {platform}: see its {program}")
    return root


def _check_env(path: str, arch: str) -> None:
    """Refuse an artifact whose artifact.env, if there is one, is about another arch."""
    try:
        found = artifact.read(path).get("TARGET_ARCH", arch)
    except FileNotFoundError:
        return
    if found != arch:
        raise _wrong(f"'{path}' says TARGET_ARCH={found}, not {arch}")


# Images ------------------------------------------------------------------------------------------------------------


def resolved(given: Node, space: Workspace) -> Node:
    """The node with the content of its tree, or of the image behind its name, as it is now.

    Raises ``UserError``: artifact-missing, artifact-arch, rootfs-unreadable.
    """
    if "tree" in given.options:
        from . import artifact_tree

        return replace(given, options={"tree": artifact_tree.digest(given.location, space.tree_stats())})
    return replace(given, options={"stored": _stored(given, space)})


def _stored(given: Node, space: Workspace) -> str:
    store = space.store()
    found = store.named(given.location) if store is not None else ""
    if store is None or not found:
        said = "is not in the engine's store" if store is not None else f"cannot be looked up: {space.no_engine}"
        raise UserError(
            "artifact-missing",
            f"the artifact image '{given.location}' {said}",
            hint=f"build or pull it, or let {PREFIX} end in @sha256:<digest>, which is pulled",
        )
    image = store.inspect(found)
    check_image(image, given, given.location)
    return space.content_id(image)


def stored_image(engine: Engine, given: Node) -> str:
    """The id of the image behind the node's name, which has the content that was signed; ``UserError`` inputs-changed."""
    from .image import content_id

    for image in engine.images():
        if given.location in image.names and content_id(engine.inspect(image.id)) == given.options["stored"]:
            return image.id
    raise UserError(
        "inputs-changed", f"'{given.location}' names another image than at the start", hint="run the same command again"
    )


def check_image(image: ImageConfig, given: Node, shown: str) -> None:
    """Refuse an image that is no artifact for the node's arch, or for another platform; ``UserError`` artifact-arch."""
    if image.platform != given.platform:
        raise _wrong(f"'{shown}' is an image for {image.platform}, not for {given.platform}")
    _check_arch(image.config, given.arch, image.platform, shown)


def _check_arch(config: Mapping[str, Any], arch: str, platform: str, shown: str) -> None:
    """Refuse an image that says itself that it was made for another arch: by TARGET_ARCH, or by our own label."""
    labels = config.get("Labels") or {}
    variables = dict(text.partition("=")[::2] for text in config.get("Env") or ())
    by_label = str(labels.get(LABEL_NODE, "")).partition(":")[0].rpartition("-")[2]
    if by_label not in KNOWN_ARCHES or platform == f"linux/{by_label}":
        by_label = ""  # an image that was built by hand has the label of the root below it
    for found in (labels.get("TARGET_ARCH"), variables.get("TARGET_ARCH"), by_label):
        if found and found != arch:
            raise _wrong(f"'{shown}' was made for {found}, not for {arch}")


def _wrong(said: str) -> UserError:
    hint = f"each arch has an artifact of its own: check {CONTEXT_ROOT} or {PREFIX}, and {MODE}"
    return UserError("artifact-arch", said, hint=hint)
