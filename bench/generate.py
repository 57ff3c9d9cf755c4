"""Generate a project of a given size: one graph for the plugin, make, ninja and plain engine calls.

    python bench/generate.py DIR --nodes 30 --files 300 --deps 10

``DIR`` then holds a SConstruct with its Dockerfiles, ``Makefile`` and ``build.ninja`` with the same edges,
``chain.sh`` (one cached ``buildah bud --layers`` a stage), ``docker-bake.json`` and ``nodes.json`` (the graph
itself). Equal shapes give equal files: every choice is drawn from the seed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import sys
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from case import Shape

HERE = os.path.dirname(os.path.abspath(__file__))
SITE_TOOLS = os.path.join(os.path.dirname(HERE), "site_scons", "site_tools")

#: The name under which bake hands a stage's parent over; a context name, never pulled.
BAKE_BASE = "bench-base"


@dataclass(frozen=True)
class GeneratedStep:
    """One ``FROM base AS name``; ``base`` is empty for BASE_IMAGE, ``copies`` are steps it copies from."""

    name: str
    base: str
    copies: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class GeneratedStage:
    """One Dockerfile; its last step is its image and stands on all the others."""

    name: str
    parent: str
    steps: tuple[GeneratedStep, ...] = field(default=())

    @property
    def dockerfile(self) -> str:
        return f"Dockerfile.{self.name}"


def draw(shape: Shape) -> tuple[list[str], list[GeneratedStage]]:
    """The files and the stages of a shape."""
    chance = random.Random(shape.seed)
    files = [f"files/d{number // 100:02}/f{number:05}.txt" for number in range(shape.files)]
    stages: list[GeneratedStage] = []
    for first in range(0, shape.nodes, shape.steps):
        parent = stages[-1].name if stages else ""
        count = min(shape.steps, shape.nodes - first)
        taken = [tuple(sorted(chance.sample(files, shape.deps))) for _ in range(count)]
        stages.append(GeneratedStage(f"s{len(stages):02}", parent, tuple(_steps(taken, chance))))
    return files, stages


def _steps(taken: list[tuple[str, ...]], chance: random.Random) -> Iterable[GeneratedStep]:
    free: set[str] = set()
    names: list[str] = []
    for number, files in enumerate(taken):
        name = f"t{number:02}"
        base = chance.choice(["", *names])
        copies = {chance.choice(names)} if names else set()
        if number == len(taken) - 1:
            copies |= free  # nothing may be left over, or an engine would pass a step by
        copies -= {base}
        free -= {base, *copies}
        free.add(name)
        names.append(name)
        yield GeneratedStep(name, base, tuple(sorted(copies)), files)


def generate(directory: str, shape: Shape) -> list[GeneratedStage]:
    """Write the project of a shape into ``directory``, which must not hold one; returns its stages."""
    files, stages = draw(shape)
    chance = random.Random(shape.seed + 1)
    for path in files:
        write(directory, path, f"{path} {chance.getrandbits(64):016x}\n" * chance.randint(1, 40))
    write_root(os.path.join(directory, "root"))
    write(directory, "versions.env", "".join(f"VERSION_{stage.name.upper()}=1.0\n" for stage in stages))
    write(directory, "SConstruct", _sconstruct(stages))
    os.makedirs(os.path.join(directory, "site_scons"))
    os.symlink(SITE_TOOLS, os.path.join(directory, "site_scons", "site_tools"))
    for stage in stages:
        write(directory, stage.dockerfile, _dockerfile(stage))
        write(directory, f"{stage.dockerfile}.dockerignore", "*\n!files\n")
    write(directory, "Makefile", _makefile(stages))
    write(directory, "build.ninja", _ninja(stages))
    write(directory, "chain.sh", _chain(stages))
    write(directory, "docker-bake.json", json.dumps(_bake(stages), indent=1) + "\n")
    write(directory, "nodes.json", json.dumps([asdict(stage) for stage in stages], indent=1) + "\n")
    return stages


def write(directory: str, path: str, text: str) -> None:
    """Write a text file below ``directory``."""
    full = os.path.join(directory, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w", encoding="utf-8") as file:
        file.write(text)


def write_root(layout: str) -> None:
    """An OCI layout of a root file system without any program: steps only copy."""
    sys.path.insert(0, SITE_TOOLS)
    from stagegraph import oci

    os.makedirs(os.path.dirname(layout), exist_ok=True)
    tar = f"{layout}.tar"
    with tarfile.open(tar, "w") as archive:
        entry = tarfile.TarInfo("etc")
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
    # buildah counts a history entry for every layer.
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "history": [{"created_by": "generate.py"}],
    }
    oci.write_layout(layout, tar, config)


def _sconstruct(stages: list[GeneratedStage]) -> str:
    lines = [
        "import os",
        "",
        "from SCons.Script import DefaultEnvironment, Environment",
        "",
        'os.environ["ROOT_IMAGE"] = "oci:root"',
        "DefaultEnvironment(tools=[])",
        'env = Environment(tools=[("stagegraph", {"versions_file": "versions.env"})])',
        'image = env.Root("bootstrap", "amd64")',
        *(f'image = env.Stage("{stage.name}", parent=image)' for stage in stages),
        'env.Default(env.Rootfs("image", "amd64", image=image))',
        "env.StageGraph()",
    ]
    return "\n".join(lines) + "\n"


def _dockerfile(stage: GeneratedStage) -> str:
    lines = ["ARG BASE_IMAGE"]
    for step in stage.steps:
        variable = f"VERSION_{stage.name.upper()}"
        lines += ["", f"FROM {step.base or '${BASE_IMAGE}'} AS {step.name}", f"ARG {variable}=1.0"]
        lines += [
            f"COPY --from={name} /{stage.name}/{name} /{stage.name}/{step.name}/{name}"
            for name in step.copies
        ]
        lines += [f"COPY {' '.join(step.files)} /{stage.name}/{step.name}/"]
    return "\n".join(lines) + "\n"


def _edges(stages: list[GeneratedStage]) -> Iterable[tuple[str, list[str]]]:
    """Each node's stamp and what it stands on: stamps of parents, its files, its Dockerfile."""
    for stage in stages:
        for step in stage.steps:
            parents = [f"stamps/{stage.name}-{name}" for name in {step.base, *step.copies} if name]
            if not step.base and stage.parent:
                parents.append(f"stamps/{stage.parent}-{_final(stages, stage.parent)}")
            yield f"stamps/{stage.name}-{step.name}", [*sorted(parents), *step.files, stage.dockerfile]


def _final(stages: list[GeneratedStage], name: str) -> str:
    return next(stage.steps[-1].name for stage in stages if stage.name == name)


def _makefile(stages: list[GeneratedStage]) -> str:
    edges = list(_edges(stages))
    rules = [f"{stamp}: {' '.join(inputs)}\n\t@mkdir -p stamps && touch $@\n" for stamp, inputs in edges]
    return "\n".join([f"all: {edges[-1][0]}\n.SUFFIXES:\nMAKEFLAGS += --no-builtin-rules\n", *rules])


def _ninja(stages: list[GeneratedStage]) -> str:
    edges = list(_edges(stages))
    builds = [f"build {stamp}: touch {' '.join(inputs)}" for stamp, inputs in edges]
    return "\n".join(["rule touch", "  command = touch $out", *builds, f"default {edges[-1][0]}", ""])


def _chain(stages: list[GeneratedStage]) -> str:
    lines = [
        "#!/usr/bin/env bash",
        "# The same Dockerfiles by buildah's own layer cache. Arguments: its options (--root …).",
        "set -Eeuo pipefail",
        'cd -- "$(dirname -- "${BASH_SOURCE[0]}")"',
    ]
    for stage in stages:
        parent = f"localhost/bench/{stage.parent}" if stage.parent else "scratch"
        words = ["bud", "--isolation", "chroot", "--layers", "--format", "oci", "--timestamp", "1767225600"]
        words += ["--build-arg", f"BASE_IMAGE={parent}", "--tag", f"localhost/bench/{stage.name}"]
        lines.append(f'buildah "$@" {shlex.join([*words, "--file", stage.dockerfile, "."])}')
    return "\n".join(lines) + "\n"


def _bake(stages: list[GeneratedStage]) -> dict[str, object]:
    targets: dict[str, object] = {}
    for stage in stages:
        target: dict[str, object] = {
            "dockerfile": stage.dockerfile,
            "context": ".",
            "args": {"BASE_IMAGE": "scratch"},
            "tags": [f"localhost/bench/{stage.name}"],
            # Its provenance holds times: with it each run would leave other images than the one before.
            "attest": ["type=provenance,disabled=true"],
        }
        if stage.parent:
            target |= {"args": {"BASE_IMAGE": BAKE_BASE}, "contexts": {BAKE_BASE: f"target:{stage.parent}"}}
        targets[stage.name] = target
    return {"group": {"default": {"targets": [stages[-1].name]}}, "target": targets}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a synthetic project of a given size.")
    parser.add_argument("directory")
    parser.add_argument("--nodes", type=int, default=30)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--deps", type=int, default=10)
    parser.add_argument("--steps", type=int, default=10, help="steps in one Dockerfile")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    shape = Shape(chosen.nodes, chosen.files, chosen.deps, chosen.steps, chosen.seed)
    if shape.deps > shape.files or min(shape.nodes, shape.deps, shape.steps) < 1:
        parser.error(
            "a step takes at least one file, and no more than there are; nodes and steps are at least 1"
        )
    if os.path.exists(os.path.join(chosen.directory, "SConstruct")):
        parser.error(f"there is a project in {chosen.directory} already")
    generate(chosen.directory, shape)


if __name__ == "__main__":
    main()
