"""The nouns of the stage graph: what a Dockerfile says, what a node is, what an image is.

Plain data without behaviour, imported by every other module and importing none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Raised by hand when the meaning of a signature changes; every node is then built again once, with this as the
#: printed reason. Refactoring this tool does not touch it.
ABI = "1"

LABEL_NODE = "stagegraph.node"
LABEL_SIGNATURE = "stagegraph.signature"

#: Repository of the tags that only this tool writes: ``<TAG_ROOT>/<stage>[-<arch>]/<step>:<signature>``.
TAG_ROOT = "localhost/stagegraph"


#: Kinds of nodes that are made of images and lie on disk; the others are images in the engine's store.
OUTPUT_KINDS = ("rootfs", "layout", "manifest")


@dataclass(frozen=True)
class Arg:
    """An ``ARG`` of a Dockerfile; ``default`` is None when it has none."""

    name: str
    default: str | None
    line: int


@dataclass(frozen=True)
class Source:
    """A path or pattern that a step takes from the build context (COPY, ADD or a bind mount)."""

    pattern: str
    line: int
    #: A bind mount takes exactly this path; COPY and ADD take a pattern as Go's filepath.Match reads it.
    mount: bool = False


@dataclass(frozen=True)
class ImageUse:
    """Another image that a step reads: by FROM, ``COPY --from=`` or ``RUN --mount=…,from=``.

    kind is "step" (a step of the same Dockerfile, ``ref`` is its name), "variable" (FROM of a stage's image
    variable, ``ref`` is its name: BASE_IMAGE, ARTIFACT_IMAGE), "image" (an external image pinned by digest) or
    "scratch" (nothing at all).
    """

    kind: str
    ref: str
    line: int


@dataclass(frozen=True)
class Step:
    """One ``FROM … AS name`` of a Dockerfile with everything that stands under it.

    instructions: the step's text in normal form (comments, blank lines and wrapping taken out), FROM first, one
                  string an instruction; this is what a signature sees of the Dockerfile
    args:         the variables the step declares (a global default already filled in)
    base:         what it stands on; uses: what else it copies or mounts from
    platform:     the value of ``FROM --platform=``, empty when there is none
    """

    name: str
    line: int
    base: ImageUse
    uses: tuple[ImageUse, ...]
    args: tuple[Arg, ...]
    sources: tuple[Source, ...]
    instructions: tuple[str, ...]
    platform: str = ""


@dataclass(frozen=True)
class Dockerfile:
    """A Dockerfile that was read: its path relative to the build context, its steps in order, its global ARGs."""

    path: str
    steps: tuple[Step, ...]
    args: tuple[Arg, ...] = ()


@dataclass(frozen=True)
class Parent:
    """An edge of the graph: ``node`` provides the image that the Dockerfile calls ``ref``.

    ``by_variable`` says how the engine is told: as ``--build-arg ref=<id>``, else as the named context ``ref``.
    ``judges`` marks the edge to a gate: it has to stand, and nothing of its image is taken.
    """

    ref: str
    node: str
    by_variable: bool
    judges: bool = False


@dataclass(frozen=True)
class Node:
    """The unit of the graph: a step for one target arch (or for all of them, ``arch`` empty).

    name:         ``sdk-arm64:glslang``; the final step of a stage is just ``sdk-arm64``
    kind:         "step" (built by the engine from a Dockerfile), "root" (a root file system, no Dockerfile),
                  "rootfs" (the export of an image's root file system), "layout" (an image as an OCI layout) or
                  "manifest" (an OCI layout of an index over the images of several arches)
    platform:     OCI platform of the image, e.g. ``linux/amd64``; empty for a manifest
    record:       path of the image record relative to the project's root
    variables:    name → value of just the variables the step declares, transport settings left out
    images:       external images by reference → digest (``sha256:…``)
    tags:         names for people that the finished image also gets
    options:      what else decides the result of a root (suite, variant, packages …), name → value
    location:     where a root's OCI layout or tree lies on this machine, or the name of its image in the store; what is
                  found there is signed, the place is not
    env:          what an export's artifact.env says apart from its image and tree, name → value
    members:      of a manifest: arch → name of the node whose image it lists
    gates:        of a manifest: names of the nodes that judge its members
    """

    name: str
    stage: str
    arch: str
    step: str
    kind: str
    platform: str
    record: str
    parents: tuple[Parent, ...] = ()
    dockerfile: str = ""
    instructions: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    profile: str = ""
    location: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)
    gates: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredImage:
    """A line of the engine's image list. ``id`` is the config digest (``sha256:<64 hex>``)."""

    id: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class ImageConfig:
    """What the engine says about one image: the parts of the OCI image config this tool judges by.

    ``config`` is the OCI ``config`` object (Env, Labels, User, …); ``diff_ids`` are the digests of the
    uncompressed layers, lowest first; ``size`` is in bytes.
    """

    id: str
    os: str
    architecture: str
    variant: str
    diff_ids: tuple[str, ...]
    config: Mapping[str, object]
    size: int = 0

    @property
    def platform(self) -> str:
        """What the image says it is for, ``linux/arm64``."""
        return f"{self.os}/{self.architecture}"


@dataclass(frozen=True)
class BuildRequest:
    """One engine call: build ``target`` of ``dockerfile`` for one platform from parents that stand.

    Paths are relative to ``context``, the project's root, in which the engine runs. ``build_args`` holds the
    step's variables and its FROM parent's image id; ``contexts`` maps the names of other steps to image ids
    (``sha256:…``); ``labels`` are put on the image; ``timestamp`` is SOURCE_DATE_EPOCH in seconds; ``secret`` is the
    path of the transport settings, empty for none; ``ca_bundle`` that of the certificates to check servers with, empty
    for those of the image; ``iidfile`` is where the engine writes the image id, empty for a command that prints it.
    """

    context: str
    dockerfile: str
    target: str
    platform: str
    build_args: Mapping[str, str]
    contexts: Mapping[str, str]
    labels: Mapping[str, str]
    timestamp: int
    secret: str
    iidfile: str
    ca_bundle: str = ""
