"""Random graphs, and what a run over them must do: told a second time, apart from the product.

The rules, from the specification alone:

- A node's *signature* is all that it names: its command, the bytes and modes of its files, the values of its variables, and
  the meanings of the nodes it reads. Its *meaning* is what comes out, and so the same without comments of scripts.
- A node whose record has its signature is up to date. Else an image that the store keeps under this node and signature is
  adopted. Else it is built.
- An image that is gone is built again if it was asked for by name, or if a node that is built reads it.
- An export is made when its tree or its record is gone, or the meaning of its image is not the one it was made from.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

ARCHES = ("arm64", "riscv64")
VARIABLES = tuple(f"V{number}" for number in range(6))
SCRIPTS = tuple(f"s/{number}.sh" for number in range(5))


@dataclass
class Step:
    """A step as it is written: ``base`` is an earlier step, or empty for the stage's parent."""

    name: str
    base: str
    copies: list[str]
    variables: list[str]
    scripts: list[str]
    command: str
    names_arch: bool


@dataclass
class Stage:
    """A stage as it is declared: ``parent`` is an earlier stage, or empty for the root."""

    name: str
    parent: str
    per_arch: bool
    steps: list[Step]


@dataclass(frozen=True)
class Place:
    """A step of a stage for an arch (empty for all): the oracle's own idea of a node."""

    stage: str
    step: str
    arch: str


@dataclass
class Source:
    """All files of a project, as data that can be edited at random."""

    stages: list[Stage]
    values: dict[str, str]
    #: Path → (text without comments, comment, mode)
    scripts: dict[str, tuple[str, str, int]]

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    # Writing it down

    def files(self) -> dict[str, str]:
        """The project's files, but for the SConstruct."""
        found = {f"Dockerfile.{stage.name}": "".join(self._dockerfile(stage)) for stage in self.stages}
        found["versions.env"] = "".join(f"{key}={value}\n" for key, value in sorted(self.values.items()))
        found["profiles/plain.env"] = "# nothing\n"
        for path, (text, comment, _) in self.scripts.items():
            found[path] = f"#!/bin/sh\n# {comment}\n{text}\n"
        return found

    def _dockerfile(self, stage: Stage) -> Iterator[str]:
        yield "ARG BASE_IMAGE\n"
        for step in stage.steps:
            yield f"\nFROM {step.base or '${BASE_IMAGE}'} AS {step.name}\n"
            for name in step.variables:
                yield f"ARG {name}={self.values[name]}\n"
            if step.names_arch:
                yield "ARG TARGET_ARCH=amd64\n"
            for other in step.copies:
                yield f"COPY --from={other} /work /from/{other}\n"
            mounts = "".join(f"--mount=type=bind,source={path},target=/{path} " for path in step.scripts)
            yield f"RUN {mounts}{step.command}\n"

    def graph(self) -> str:
        """The lines of the SConstruct that declare the stages."""
        lines = ['S = {"": env.Root("bootstrap", "amd64")}']
        for stage in self.stages:
            if not stage.per_arch:
                lines.append(f'S["{stage.name}"] = env.Stage("{stage.name}", parent=S["{stage.parent}"])')
                continue
            parent = f'S["{stage.parent}" + arch]' if self._has_arch(stage.parent) else f'S["{stage.parent}"]'
            lines += [
                f"for arch in {ARCHES}:",
                f'    S["{stage.name}" + arch] = env.Stage("{stage.name}", arch, parent={parent})',
                f'    env.Default(env.Rootfs("{stage.name}", arch, image=S["{stage.name}" + arch]))',
            ]
        return "\n".join(lines)

    def _has_arch(self, name: str) -> bool:
        return name != "" and self.stage(name).per_arch

    # What it means

    def place(self, stage: Stage, name: str, arch: str) -> Place:
        """The node of a step for an arch: one for all arches when neither it nor what it reads names the arch."""
        step = next(step for step in stage.steps if step.name == name)
        return Place(stage.name, name, arch if arch and self._differs(stage, step) else "")

    def _differs(self, stage: Stage, step: Step) -> bool:
        if not stage.per_arch:
            return False
        if step.names_arch or any(
            f"{name}_{arch.upper()}" in self.values for name in step.variables for arch in ARCHES
        ):
            return True
        steps = {one.name: one for one in stage.steps}
        if any(self._differs(stage, steps[name]) for name in (*step.copies, *filter(None, [step.base]))):
            return True
        if step.base or not stage.parent:
            return False
        parent = self.stage(stage.parent)
        return self._differs(parent, parent.steps[-1])

    def step(self, place: Place) -> Step:
        return next(step for step in self.stage(place.stage).steps if step.name == place.step)

    def reads(self, place: Place) -> list[Place | None]:
        """What a node reads, what it stands on first; None is the root."""
        stage, step = self.stage(place.stage), self.step(place)
        found: list[Place | None] = [self.place(stage, name, place.arch) for name in step.copies]
        if step.base:
            return [self.place(stage, step.base, place.arch), *found]
        if not stage.parent:
            return [None, *found]
        parent = self.stage(stage.parent)
        return [self.place(parent, parent.steps[-1].name, place.arch if parent.per_arch else ""), *found]

    def name(self, place: Place | None) -> str:
        """The node's name on the command line."""
        if place is None:
            return "bootstrap-amd64"
        where = f"{place.stage}-{place.arch}" if place.arch else place.stage
        return where if place.step == self.stage(place.stage).steps[-1].name else f"{where}:{place.step}"

    def _value(self, name: str, arch: str) -> str:
        return self.values.get(f"{name}_{arch.upper()}", self.values[name]) if arch else self.values[name]

    def _own(self, place: Place) -> tuple[object, ...]:
        step = self.step(place)
        values = tuple((name, self._value(name, place.arch)) for name in sorted(step.variables))
        return (step.command, values, place.arch if step.names_arch else "")

    def meaning(self, place: Place | None) -> tuple[object, ...]:
        """What comes out of a node."""
        if place is None:
            return ("root",)
        scripts = tuple(
            (path, self.scripts[path][0], self.scripts[path][2]) for path in self.step(place).scripts
        )
        return (self._own(place), scripts, tuple(self.meaning(other) for other in self.reads(place)))

    def signature(self, place: Place | None) -> tuple[object, ...]:
        """All that a node names."""
        if place is None:
            return ("root",)
        scripts = tuple((path, self.scripts[path]) for path in self.step(place).scripts)
        return (self._own(place), scripts, tuple(self.meaning(other) for other in self.reads(place)))

    def places(self) -> dict[str, Place | None]:
        """Every node by name."""
        found: dict[str, Place | None] = {"bootstrap-amd64": None}
        for stage in self.stages:
            for arch in ARCHES if stage.per_arch else ("",):
                for step in stage.steps:
                    place = self.place(stage, step.name, arch)
                    found[self.name(place)] = place
        return found

    def exports(self) -> dict[str, Place]:
        """Every export by name, with the node it shows."""
        return {
            f"out/{stage.name}/{arch}": self.place(stage, stage.steps[-1].name, arch)
            for stage in self.stages
            if stage.per_arch
            for arch in ARCHES
        }

    def words(self) -> dict[str, list[str]]:
        """Every word for the command line, with the nodes and exports it means."""
        found = {name: [name] for name in (*self.places(), *self.exports())}
        for stage in self.stages:
            names = [
                self.name(self.place(stage, stage.steps[-1].name, arch))
                for arch in (ARCHES if stage.per_arch else ("",))
            ]
            found[stage.name] = list(dict.fromkeys(names))
        return found


@dataclass
class Memory:
    """What earlier runs left: records, images with their own tag, exports."""

    records: dict[str, tuple[object, ...]] = field(default_factory=dict)
    #: (node, signature) of the images in the store, and the node's record's image.
    images: set[tuple[str, tuple[object, ...]]] = field(default_factory=set)
    exports: dict[str, tuple[object, ...]] = field(default_factory=dict)

    def run(self, source: Source, targets: Iterable[str], refresh: Iterable[str] = ()) -> list[str]:
        """What is built and exported, sorted; the memory is that of after the run."""
        targets, refresh = list(targets), set(refresh)
        places, exports = source.places(), source.exports()
        closure = self.closure(source, targets)
        built: set[str] = set()
        adopted: set[str] = set()
        for name in closure:
            signature = source.signature(places[name])
            if name in refresh:
                built.add(name)
            elif self.records.get(name) != signature:
                (adopted if (name, signature) in self.images else built).add(name)
        exported = {
            name
            for name in targets
            if name in exports and self.exports.get(name) != source.meaning(exports[name])
        }
        asked = {name for name in targets if name in places} | {
            source.name(exports[name]) for name in exported
        }
        while True:
            read = {
                source.name(other) for name in built if places[name] for other in source.reads(places[name])
            }
            gone = {
                name
                for name in (asked | read) - built - adopted
                if (name, source.signature(places[name])) not in self.images
            }
            if not gone:
                break
            built |= gone
        for name in built | adopted:
            self.records[name] = source.signature(places[name])
            self.images.add((name, self.records[name]))
        for name in exported:
            self.exports[name] = source.meaning(exports[name])
        return sorted([*built, *(f"export:{source.name(exports[name])}" for name in exported)])

    @staticmethod
    def closure(source: Source, targets: list[str]) -> list[str]:
        """The nodes below some targets, without exports, each after what it reads."""
        places, exports = source.places(), source.exports()
        found: dict[str, None] = {}

        def visit(place: Place | None) -> None:
            for other in source.reads(place) if place else []:
                visit(other)
            found.setdefault(source.name(place))

        for name in targets:
            visit(exports[name] if name in exports else places[name])
        return list(found)


def random_source(dice: random.Random) -> Source:
    """A project of two to five stages of one to four steps."""
    stages: list[Stage] = []
    for number in range(dice.randint(2, 5)):
        per_arch = number > 0 and dice.random() < 0.6
        parents = ["", *(stage.name for stage in stages if per_arch or not stage.per_arch)]
        steps: list[Step] = []
        for place in range(dice.randint(1, 4)):
            earlier = [step.name for step in steps]
            base = dice.choice(["", *earlier]) if dice.random() < 0.4 else ""
            steps.append(
                Step(
                    name=f"p{place}",
                    base=base,
                    copies=sorted(dice.sample(earlier, dice.randint(0, min(2, len(earlier))))),
                    variables=sorted(dice.sample(VARIABLES, dice.randint(0, 2))),
                    scripts=sorted(dice.sample(SCRIPTS, dice.randint(0, 2))),
                    command=f"make-{number}-{place}",
                    names_arch=per_arch and dice.random() < 0.5,
                )
            )
        stages.append(Stage(f"g{number}", dice.choice(parents), per_arch, steps))
    return Source(
        stages,
        dict.fromkeys(VARIABLES, "1"),
        {path: (f"do {path}", "first", 0o644) for path in SCRIPTS},
    )
