"""The graph: stages as they are declared, opened into nodes, one a step and target arch.

A stage is declared after its parents, so the graph cannot have a cycle and the order of declaration is a topological
order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .errors import UserError
from .exports import RECORD
from .model import Arg, Dockerfile, Node, Parent, Step

KNOWN_ARCHES = ("amd64", "arm64", "riscv64")


class VariableSource(Protocol):
    """Where the values of ARGs come from (versions.env, profile, command line)."""

    def for_step(
        self, args: Sequence[Arg], arch: str, builtin: Mapping[str, str], dockerfile: str
    ) -> dict[str, str]:
        """Name → value of every declared ARG that decides the result; ``UserError`` when one has no value."""

    def arch_dependent(self, args: Sequence[Arg]) -> bool:
        """Whether the values of these ARGs differ between target arches."""


@dataclass(frozen=True)
class Stage:
    """A declared stage: what its Dockerfile is, where it runs, whose images its variables name.

    images:  image variable of the Dockerfile (BASE_IMAGE, …) → name of the node that provides it
    builtin: values the graph gives to ARGs of the same name (BUILD_MODE, CROSS_TARGETS …)
    tags:    names for people for the image of the final step
    final:   the step that is the stage's image; the last one of the Dockerfile when empty
    per_arch_platform: whether each arch is built on a platform of its own (then no step is shared between arches)
    """

    name: str
    arch: str
    dockerfile: Dockerfile
    platform: str
    lane: str
    profile: str
    images: Mapping[str, str]
    builtin: Mapping[str, str]
    tags: tuple[str, ...] = ()
    final: str = ""
    per_arch_platform: bool = False


class Graph:
    """Nodes by name, in topological order."""

    def __init__(self, out: str = "out") -> None:
        self.nodes: dict[str, Node] = {}
        #: Directory of the image records relative to the project's root.
        self._records = os.path.join(out, "images")

    def add(self, node: Node) -> Node:
        """Add one node whose parents are there already; adding the same one twice is adding it once."""
        for parent in node.parents:
            if parent.node not in self.nodes:
                said = f"node {node.name} stands on {parent.node}, which is not declared"
                raise UserError("parent-unknown", said, hint="declare the parent first")
        known = self.nodes.get(node.name)
        if known is not None and known != node:
            raise UserError(
                "node-twice",
                f"node {node.name} is declared twice with different contents",
                hint="give the two stages different names",
            )
        self.nodes[node.name] = node
        return node

    def add_stage(self, stage: Stage, values: VariableSource) -> Node:
        """Open a stage into its steps; returns the node of its final step."""
        steps = stage.dockerfile.steps
        if not steps:
            raise UserError(
                "dockerfile-empty",
                "a Dockerfile without a FROM has no step",
                hint="write FROM ${BASE_IMAGE} AS <step>",
                file=stage.dockerfile.path,
            )
        final = stage.final or steps[-1].name
        if final not in {step.name for step in steps}:
            raise UserError(
                "step-unknown",
                f"stage {stage.name} has no step {final!r}",
                hint=f"its steps are {', '.join(step.name for step in steps)}",
                file=stage.dockerfile.path,
            )
        named: dict[str, Node] = {}
        for step in steps:
            named[step.name] = self.add(self._node(stage, step, final, named, values))
        return named[final]

    def _node(
        self, stage: Stage, step: Step, final: str, named: Mapping[str, Node], values: VariableSource
    ) -> Node:
        parents = tuple(self._parents(stage, step, named))
        arch = stage.arch if self._depends_on_arch(stage, step, parents, values) else ""
        builtin = {**stage.builtin, "TARGET_ARCH": arch} if arch else dict(stage.builtin)
        variables = values.for_step(self._args(stage, step), arch, builtin, stage.dockerfile.path)
        platform = _platform(stage, step, variables)
        self._check_platform(stage, step, parents, platform)
        where = f"{stage.name}-{arch}" if arch else stage.name
        is_final = step.name == final
        return Node(
            name=where if is_final else f"{where}:{step.name}",
            stage=stage.name,
            arch=arch,
            step=step.name,
            kind="step",
            platform=platform,
            record=os.path.join(self._records, stage.profile, stage.lane, where, f"{step.name}.json"),
            parents=parents,
            dockerfile=stage.dockerfile.path,
            instructions=step.instructions,
            sources=step.sources,
            variables=variables,
            images={use.ref: use.ref.rsplit("@", 1)[1] for use in (step.base, *step.uses) if use.kind == "image"},
            tags=stage.tags if is_final else (),
            profile=stage.profile,
        )

    def _args(self, stage: Stage, step: Step) -> list[Arg]:
        """The ARGs a step sees: its own, and the global ones that its FROM names in --platform."""
        named = [arg for arg in stage.dockerfile.args if step.platform in (f"${arg.name}", f"${{{arg.name}}}")]
        return [*step.args, *(arg for arg in named if arg.name not in {own.name for own in step.args})]

    def _parents(self, stage: Stage, step: Step, named: Mapping[str, Node]) -> Iterable[Parent]:
        seen = set()
        for use in (step.base, *step.uses):
            if use.ref in seen or use.kind in ("image", "scratch"):
                continue
            seen.add(use.ref)
            if use.kind == "step":
                yield Parent(use.ref, named[use.ref].name, by_variable=False)
            elif use.ref in stage.images:
                yield Parent(use.ref, stage.images[use.ref], by_variable=True)
            else:
                raise UserError(
                    "image-variable-unset",
                    f"stage {stage.name} names no image for {use.ref}",
                    hint=f"declare it with parent= (BASE_IMAGE) or images={{{use.ref!r}: …}}",
                    file=stage.dockerfile.path,
                    line=use.line,
                )

    def _check_platform(self, stage: Stage, step: Step, parents: Sequence[Parent], platform: str) -> None:
        """An engine marks a child with the platform it is told, whatever its parent was built for."""
        if not parents or parents[0].ref != step.base.ref:
            return
        parent = self.nodes.get(parents[0].node)
        if parent is not None and parent.platform != platform:
            raise UserError(
                "parent-platform",
                f"stage {stage.name} is for {platform}, but its parent {parent.name} is for {parent.platform}",
                hint="declare both on the same platform",
                file=stage.dockerfile.path,
                line=step.base.line,
            )

    def _depends_on_arch(
        self, stage: Stage, step: Step, parents: Iterable[Parent], values: VariableSource
    ) -> bool:
        """A step that neither names the arch nor stands on one that does is the same for all arches: one node."""
        if not stage.arch:
            return False
        if stage.per_arch_platform:
            return True
        return values.arch_dependent(step.args) or any(self.nodes[p.node].arch for p in parents)

    def closure(self, names: Iterable[str]) -> list[Node]:
        """The named nodes and everything below them, in topological order."""
        wanted: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in wanted:
                wanted.add(name)
                pending.extend(parent.node for parent in self.nodes[name].parents)
        return [node for name, node in self.nodes.items() if name in wanted]


def _platform(stage: Stage, step: Step, variables: Mapping[str, str]) -> str:
    """The platform of a step's image: what its FROM says, as it is or by a variable, else that of the stage."""
    if not step.platform:
        return stage.platform
    name = step.platform.strip("${}")
    platform = variables[name] if step.platform.startswith("$") else step.platform
    if platform not in {f"linux/{arch}" for arch in KNOWN_ARCHES}:
        raise UserError(
            "platform-unknown",
            f"step {step.name} of stage {stage.name} is for the platform {platform!r}",
            hint=f"known are {', '.join(f'linux/{arch}' for arch in KNOWN_ARCHES)}",
            file=stage.dockerfile.path,
            line=step.line,
        )
    return platform


def root_node(
    name: str,
    arch: str,
    options: Mapping[str, str],
    *,
    lane: str,
    profile: str,
    out: str = "out",
    location: str = "",
    tags: tuple[str, ...] = (),
) -> Node:
    """The node of a root file system for linux/<arch>: it has no Dockerfile, ``options`` alone decide its result."""
    where = f"{name}-{arch}"
    record = os.path.join(out, "images", profile, lane, where, "root.json")
    return Node(
        name=where,
        stage=name,
        arch="",
        step="root",
        kind="root",
        platform=f"linux/{arch}",
        record=record,
        options=dict(options),
        profile=profile,
        location=location,
        tags=tags,
    )


def export_node(
    name: str, arch: str, image: Node, directory: str, env: Mapping[str, str], gates: Sequence[Node] = ()
) -> Node:
    """The node of an exported root file system.

    name: its target on the command line; directory: where rootfs/ and artifact.env go, relative to the project's
    root or absolute; env: what its artifact.env says apart from the image and the tree; gates: the nodes that have
    to be built, which means passed, before the image goes anywhere
    """
    return Node(
        name=name,
        stage=name,
        arch=arch,
        step="rootfs",
        kind="rootfs",
        platform=image.platform,
        record=os.path.join(directory, RECORD),
        parents=(Parent("image", image.name, by_variable=False), *map(gate_parent, gates)),
        options={"layout": "1"},
        profile=image.profile,
        env=dict(env),
    )


def base_of(node: Node) -> Parent | None:
    """The parent that the FROM of a step stands on; None when that is no node (scratch, an external image)."""
    if node.kind != "step" or not node.parents:
        return None
    # FROM [--platform=…] <image> AS <name>: the first parent is the base, or FROM names no parent.
    base = node.parents[0]
    return base if node.instructions[0].split()[-3] in (base.ref, f"${base.ref}", f"${{{base.ref}}}") else None


def gate_parent(gate: Node) -> Parent:
    """The edge to a gate: nothing of its image is taken, but it has to stand."""
    return Parent(f"gate {gate.name}", gate.name, by_variable=False, judges=True)
