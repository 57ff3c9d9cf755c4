"""Manifests: one OCI layout with an index over the images of several arches, ``out/manifest/<name>/``.

The index is put together afresh each time, from the images as they are in the store, and is a function of them alone:
no times, a fixed order, blobs that members share stored once. Beside the layout lie its record, ``.<name>.json``, and
``<name>.env``, which says the same for people and shells.

Whether a manifest is stale is decided like for any node: by the contents of its members and gates. A member that was built
again to the same content under another image id leaves it as it is; it goes on holding the image it was made of, and says so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import ancestry, artifact, layouts, oci
from .errors import UserError
from .graph import Graph, gate_parent
from .model import Node, Parent
from .records import Record

if TYPE_CHECKING:
    from .engines.base import Engine

#: The image specification's key for the tag of an entry.
REF_NAME = "org.opencontainers.image.ref.name"

#: Why a manifest was made although something spoke against it.
FORCED = "stagegraph.forced"


def manifest_node(
    name: str,
    directory: str,
    reference: str,
    members: Mapping[str, Node],
    gates: Sequence[Node],
    *,
    profile: str,
    force: bool = False,
) -> Node:
    """The node of a manifest.

    name: its target on the command line; directory: that of its layout; reference: the full name the index gets, with a
    tag; members: arch → node of the image; force: do not wait for the gates, and go by what is there
    """
    ordered = dict(sorted(members.items()))
    parents = [Parent(arch, node.name, by_variable=False) for arch, node in ordered.items()]
    return Node(
        name=name,
        stage="manifest",
        arch="",
        step="index",
        kind="manifest",
        platform="",
        record=layouts.record_of(directory),
        parents=(*parents, *(() if force else map(gate_parent, gates))),
        options={"layout": "1", "reference": reference, **({"force": "1"} if force else {})},
        profile=profile,
        members={arch: node.name for arch, node in ordered.items()},
        gates=tuple(gate.name for gate in gates),
    )


def check_declared(graph: Graph, node: Node, arches: Iterable[str]) -> None:
    """Raise ``UserError`` unless the members are one image for each arch, and each gate judges one of them.

    Codes manifest-incomplete, parent-platform, manifest-gate.
    """
    arches = list(arches)
    missing = [arch for arch in arches if arch not in node.members]
    more = [arch for arch in node.members if arch not in arches]
    if missing or more:
        what = f"has no member for {', '.join(missing)}" if missing else f"has a member for {', '.join(more)}"
        raise UserError(
            "manifest-incomplete",
            f"{node.name} {what}, the target arches are {', '.join(arches)}",
            hint='declare one member for each arch of env["ARCHES"]',
        )
    for arch, member in node.members.items():
        image = graph.nodes[member]
        if image.platform != f"linux/{arch}":
            raise UserError(
                "parent-platform",
                f"the member {arch} of {node.name} is {member}, an image for {image.platform}",
                hint=f"declare its stage with platform='linux/{arch}'",
            )
    for gate in node.gates:
        if not any(ancestry.judged(graph, gate, member) for member in node.members.values()):
            raise UserError(
                "manifest-gate",
                f"gate {gate} judges no image that a member of {node.name} is or stands on",
                hint="give the manifest the gates of its own members",
            )


def env_file(record: str) -> str:
    """Where the report of the manifest whose record this is lies."""
    return f"{layouts.directory_of(record)}.env"


def damage(path: str, node: Node, record: Record, *, deep: bool) -> str:
    """Why the manifest cannot be what was assembled (see ``layouts.damage``)."""
    report = env_file(path)
    try:
        if artifact.read(report) == env_values(node, record):
            return layouts.damage(path, record, deep=deep)
    except (OSError, UserError):
        pass
    return f"{os.path.basename(report)} is not there, or does not say what it has to"


def objections(
    graph: Graph, node: Node, record_of: ancestry.RecordOf
) -> tuple[list[ancestry.Verdict], list[str]]:
    """What the gates said, and what --force would have to override.

    Raises ``UserError``, manifest-mixed or manifest-gate, when there is such a thing and the node is not forced.
    """
    members = list(node.members.values())
    mixed = ancestry.mixed(graph, members, record_of)
    said = ancestry.verdicts(graph, members, node.gates, record_of)
    unpassed = list(dict.fromkeys(verdict.problem for verdict in said if verdict.problem))
    if "force" not in node.options:
        if mixed:
            raise _refused("manifest-mixed", node, mixed)
        if unpassed:
            raise _refused("manifest-gate", node, unpassed)
    return said, mixed + unpassed


def _refused(code: str, node: Node, reasons: Sequence[str]) -> UserError:
    return UserError(
        code,
        f"{node.name} is not made: {'; '.join(reasons)}",
        hint="build it without --repair, which brings all of that up to date; --force makes it as it is, and the index tells so",
    )


def assemble(
    engine: Engine, node: Node, images: Mapping[str, Record], forced: Sequence[str], path: str
) -> tuple[int, dict[str, object]]:
    """Make the layout of a manifest whose record is ``path`` and whose ``place`` the caller holds.

    images: arch → record of the member; forced: the objections that were overridden, which the index tells of. Returns the
    size of the layout in bytes and the record's extras.
    """
    from . import rootfs

    directory = layouts.directory_of(path)
    fresh = rootfs.beside(directory, "new")
    try:
        os.makedirs(os.path.join(fresh, "blobs", "sha256"))
        entries = [_take(engine, node, arch, image, rootfs.beside(directory, "new"), fresh) for arch, image in images.items()]
        entries.sort(key=lambda entry: [entry["platform"].get(key, "") for key in ("os", "architecture", "variant")])
        index: dict[str, object] = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries}
        if forced:
            index["annotations"] = {FORCED: "; ".join(forced)}
        tag = node.options["reference"].rpartition(":")[2]
        oci.write_index(fresh, {**oci.put(fresh, index, oci.INDEX), "annotations": {REF_NAME: tag}})
        size, extra = layouts.put_in_place(fresh, path, env_file(path))
    finally:
        rootfs.sweep(directory)
    of_platform = {entry["platform"]["architecture"]: entry for entry in entries}
    extra["members"] = [
        {
            "arch": arch,
            "node": node.members[arch],
            "image_id": image.image_id,
            "content_id": image.content_id,
            "manifest": of_platform[arch]["digest"],
        }
        for arch, image in images.items()
    ]
    return size, extra


def _take(engine: Engine, node: Node, arch: str, image: Record, saved: str, fresh: str) -> dict[str, Any]:
    """Save a member and move its blobs into the layout that is made; returns its entry in the index."""
    engine.save(image.image_id, saved)
    entry = oci.only_entry(saved)
    platform = oci.platform(saved, oci.image_manifest(saved))
    if f"{platform['os']}/{platform['architecture']}" != f"linux/{arch}":
        raise UserError(
            "image-unexpected",
            f"image {image.image_id[7:19]} of {node.members[arch]} is for {platform['os']}/{platform['architecture']}",
            hint=f"{node.name} lists it for linux/{arch}; build it again",
        )
    for name in oci.blob_names(saved):
        os.replace(oci.blob_path(saved, f"sha256:{name}"), oci.blob_path(fresh, f"sha256:{name}"))
    shutil.rmtree(saved)
    return {**entry, "platform": platform}


def gates_of(verdicts: Iterable[ancestry.Verdict]) -> list[dict[str, str]]:
    """What the gates said, for the record."""
    return [asdict(verdict) for verdict in verdicts]


def env_values(node: Node, record: Record) -> dict[str, str]:
    """What the report of a manifest says."""
    members: list[dict[str, str]] = record.extra["members"]
    values = {
        "IMAGE": node.options["reference"],
        "INDEX_DIGEST": str(record.extra["digest"]),
        "PLATFORMS": " ".join(f"linux/{member['arch']}" for member in members),
        "SIGNATURE": record.signature,
        "PROFILE": node.profile,
    }
    for key in ("node", "manifest", "image_id", "content_id"):
        values |= {f"{key.upper()}_{member['arch'].upper()}": member[key] for member in members}
    passed = [gate["gate"] for gate in record.extra["gates"] if not gate["problem"]]
    values["GATES"] = " ".join(dict.fromkeys(passed))
    if record.extra["forced"]:
        values["FORCED"] = "; ".join(record.extra["forced"])
    return values


def write_env(path: str, node: Node, record: Record) -> None:
    """Write the report of the manifest whose record is ``path``."""
    artifact.write(env_file(path), env_values(node, record))


def sayings(node: Node, record: Record, record_of: Callable[[str], Record | None]) -> list[str]:
    """What a run says at its end of a manifest that stands: its digest, and what is special about it."""
    lines = [f"manifest {layouts.directory_of(node.record)} is {record.extra['digest']}"]
    lines += [f"  forced: {reason}" for reason in record.extra["forced"]]
    for member in record.extra["members"]:
        now = record_of(member["node"])
        if now is not None and now.image_id != member["image_id"] and now.content_id == member["content_id"]:
            held, other = member["image_id"][7:19], now.image_id[7:19]
            lines.append(f"  holds image {held} of {member['node']}; {other}, built since, has the same content")
    return lines
