"""The project as SCons sees it: what was declared, the plan over it, and the one run that carries it out."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from . import dockerfile, names, nodes, outputs, plan, settings
from .errors import UserError
from .graph import KNOWN_ARCHES, Graph, Stage, export_node
from .model import OUTPUT_KINDS, Dockerfile, Node
from .parsecache import ParseCache
from .plan import Decision, Planner
from .statcache import StatCache
from .targets import Targets, start_directory
from .versions import Values
from .world import Workspace

if TYPE_CHECKING:
    from .engines.base import Engine
    from .session import Session

#: The time every file of an image gets unless versions.env says SOURCE_DATE_EPOCH: 2026-01-01, UTC.
DEFAULT_TIMESTAMP = 1767225600

#: Repository of the tags for people when neither IMAGE_REPO nor versions.env names one.
DEFAULT_REPOSITORY = "localhost/image"

OUT = "out"

#: Platform of everything that is built for all targets or by a cross compiler.
BUILD_PLATFORM = "linux/amd64"

#: The word that means every gate.
GATES = "smoke"


class Project:
    """One checkout: stages, exports and the words that name them on the command line.

    env: the SCons environment; values: where ARGs get their values; folder: directory of the Dockerfiles, relative
    to the project's root; profile: name of the profile
    """

    def __init__(self, env: Any, values: Values, folder: str, profile: str) -> None:
        self.env = env
        self.root: str = env.Dir("#").get_abspath()
        self.values = values
        self.folder = folder
        self.profile = profile
        self.graph = Graph(OUT)
        self.targets = Targets(env, self.root)
        cache = os.path.join(self.root, OUT, ".cache")
        self._parsed = ParseCache(os.path.join(cache, "dockerfiles.json"))
        self._dockerfiles: dict[str, Dockerfile] = {}
        self._engine: Engine | None = None
        self.session: Session | None = None
        self.space = Workspace(
            self.root,
            _timestamp(values),
            self.engine,
            StatCache(os.path.join(cache, "files.json")),
            self._parsed,
            verify=bool(settings.option("verify")),
            ca_bundle=os.path.join(start_directory(env), settings.setting("CA_BUNDLE")) if settings.setting("CA_BUNDLE") else "",
        )
        self.planner = Planner(self.graph, self.space)

    # Declaring -------------------------------------------------------------------------------------------------

    def stage(
        self,
        name: str,
        arch: str,
        platform: str,
        lane: str,
        images: Mapping[str, Any],
        path: str,
        tag: str,
        builtin: Mapping[str, str],
        final: str,
    ) -> Any:
        """Declare a stage; returns the SCons node of its final step."""
        names.check_component("a stage", name)
        if path not in self._dockerfiles:
            self.space.read_beside(path)
            self._dockerfiles[path] = dockerfile.load(self.root, path, self._parsed)
            self.space.check_read(path)
            self.values.check_drift(self._dockerfiles[path])
        before = len(self.graph.nodes)
        node = self.graph.add_stage(
            Stage(
                name=name,
                arch=arch,
                dockerfile=self._dockerfiles[path],
                platform=platform or BUILD_PLATFORM,
                per_arch_platform=bool(platform),
                lane=lane,
                profile=self.profile,
                images={ref: self._name(image) for ref, image in images.items()},
                builtin=builtin,
                tags=(self.people_tag(tag),) if tag else (),
                final=final,
            ),
            self.values,
        )
        for added in list(self.graph.nodes.values())[before:]:
            self._declare(added)
            self.targets.add_word(added.name, added.name)
        self.targets.add_word(name, node.name)
        return self.targets.files[node.name]

    def add_root(self, node: Node) -> Any:
        """Declare a root file system; returns its SCons node."""
        names.check_component("a root", node.stage)
        known = node.name in self.graph.nodes
        self.graph.add(node)
        if known:
            return self.targets.files[node.name]
        self._declare(node)
        for word in (node.name, node.stage):
            self.targets.add_word(word, node.name)
        return self.targets.files[node.name]

    def step(self, stage: Any, name: str) -> Any:
        """The SCons node of another step of a stage."""
        final = self.node(stage)
        steps = [n for n in self.graph.nodes.values() if n.stage == final.stage and n.arch in (final.arch, "")]
        for node in steps:
            if node.step == name:
                return self.targets.files[node.name]
        raise UserError(
            "step-unknown",
            f"stage {final.stage} has no step {name!r}",
            hint=f"its steps are {', '.join(node.step for node in steps)}",
            file=final.dockerfile,
        )

    def gate(self, stage: Any, name: str) -> Any:
        """The SCons node of a step that judges its stage's image."""
        file = self.step(stage, name)
        self.targets.add_word(GATES, self._name(file))
        return file

    def export(
        self,
        name: str,
        arch: str,
        image: Any,
        gates: Iterable[Any],
        images: Mapping[str, Any],
        values: Mapping[str, str],
    ) -> Any:
        """Declare the export of an image's root file system to ``<OUTPUT_ROOT>/<name>/<arch>``."""
        source = self.graph.nodes[self._name(image)]
        directory = os.path.join(settings.setting("OUTPUT_ROOT") or OUT, name, arch)
        passed = self._gates(gates)
        given = {"TARGET_ARCH": arch, "SOURCE_IMAGE": self._shown(source)}
        given |= {key: self._shown(self.node(other)) for key, other in images.items()}
        given |= values
        if passed:
            given["GATES"] = " ".join(gate.name for gate in passed)
        for below in self.graph.closure([source.name]):
            given |= {key: value for key, value in below.variables.items() if key not in given}
        node = export_node(f"{OUT}/{name}/{arch}", arch, source, directory, given, passed)
        return self._declare(self.graph.add(node))

    def layout(self, name: str, arch: str, image: Any, gates: Iterable[Any]) -> Any:
        """Declare an image as an OCI layout at ``<OUTPUT_ROOT>/<name>/<arch>``."""
        from . import layouts

        directory = os.path.join(settings.setting("OUTPUT_ROOT") or OUT, name, arch)
        node = layouts.layout_node(f"{OUT}/{name}/{arch}", arch, self._image(image), directory, self._gates(gates))
        return self._declare(self.graph.add(node))

    def manifest(self, name: str, members: Mapping[str, Any], gates: Iterable[Any], reference: str) -> Any:
        """Declare the index over the images of all arches at ``<OUTPUT_ROOT>/manifest/<name>``."""
        from . import manifest

        names.check_component("a manifest", name)
        reference = settings.setting("IMAGE") or reference
        node = manifest.manifest_node(
            f"{OUT}/manifest/{name}",
            os.path.join(settings.setting("OUTPUT_ROOT") or OUT, "manifest", name),
            names.full(reference) if reference else self.people_tag(name),
            {arch: self._image(image) for arch, image in members.items()},
            self._gates(gates),
            profile=self.profile,
            force=bool(settings.option("force")),
        )
        manifest.check_declared(self.graph, node, self.env["ARCHES"])
        self.targets.add_word("manifest", node.name)
        return self._declare(self.graph.add(node))

    def _image(self, image: Any) -> Node:
        """The graph node behind what a builder returned, when it has an image."""
        node = self.node(image)
        if node.kind in OUTPUT_KINDS:
            said = f"{node.name} is a {node.kind}, which has no image of its own"
            raise UserError("parent-unknown", said, hint="hand over the stage that it is made of")
        return node

    def _gates(self, gates: Iterable[Any]) -> list[Node]:
        return [self._image(gate) for gate in gates]

    def _shown(self, image: Node) -> str:
        """The name for people of an image, that of its node when it gets none."""
        return image.tags[0] if image.tags else image.name

    def people_tag(self, tag: str) -> str:
        """The full name for people of a tag: ``IMAGE_REPO:tag``."""
        repository = settings.setting("IMAGE_REPO")
        if not repository:
            known = "IMAGE_REPO" in self.values.names
            repository = self.values.value("IMAGE_REPO") if known else DEFAULT_REPOSITORY
        return names.tagged(repository, tag)

    def _declare(self, node: Node) -> Any:
        path = node.record
        if node.kind == "rootfs":
            path = os.path.join(os.path.dirname(node.record), "artifact.env")
        parents = [self.targets.files[parent.node] for parent in node.parents]
        file = self.targets.files[node.name] = nodes.declare(self, node.name, self._path(path), parents)
        if node.kind in OUTPUT_KINDS:
            made = outputs.directory(node)
            self.targets.places[node.name] = self.space.path(made)
            # Not Dir: SCons would refuse to read on when something else lies there.
            self.env.Depends(self.env.Entry(self._path(made)), file)
        return file

    def _path(self, path: str) -> str:
        """A path for SCons, which would expand a ``$`` in it."""
        return (path if os.path.isabs(path) else f"#{path}").replace("$", "$$")

    def node(self, image: Any) -> Node:
        """The graph node behind what a builder returned."""
        return self.graph.nodes[self._name(image)]

    def _name(self, image: Any) -> str:
        """The graph node behind what a builder returned."""
        node = image[0] if isinstance(image, (list, tuple)) or hasattr(image, "data") else image
        name = getattr(getattr(node, "attributes", None), "graph_node", "")
        if not name:
            said = f"{image!s} is not what env.Stage or env.Root returned"
            raise UserError("parent-unknown", said, hint="hand over the stage itself, not its name")
        return str(name)

    # Targets ---------------------------------------------------------------------------------------------------

    def seal(self) -> None:
        """All is declared: give every word an alias, so that SCons knows it."""
        self.targets.make_aliases()

    def save_caches(self) -> None:
        """Keep what was parsed and hashed for the next run; where that cannot be written it is only slower."""
        with contextlib.suppress(OSError):
            self._parsed.save()
            self.space.save_stats()

    def asking(self) -> bool:
        """Whether this command only asks and must not touch anything."""
        names = ("no_exec", "question", "why", "status", "plan", "list_targets")
        return any(settings.option(name) for name in names)

    def keep_parents(self, wanted: Iterable[str]) -> None:
        """For ``scons -c TARGET``: what the target stands on stays."""
        names = set(wanted)
        for name, file in self.targets.files.items():
            if name not in names:
                file.set_noclean()

    # Planning and running --------------------------------------------------------------------------------------

    def engine(self) -> Engine:
        """The engine of this run, chosen when first needed; raises ``UserError`` when none works."""
        if self._engine is None:
            from .engines import detect

            self._engine = detect.choose(settings.option("engine"), self._engine_options())
        return self._engine

    def any_engine(self) -> Engine:
        """The engine without the question whether it works: enough to show its commands."""
        from .engines import detect

        return self._engine or detect.unproven(settings.option("engine"), self._engine_options())

    def _engine_options(self) -> Any:
        from .engines.base import EngineOptions

        # The engine chooses where its state goes: podman refuses long paths, and a checkout may lie anywhere.
        return EngineOptions(root=self.store_directory())

    def store_directory(self) -> str:
        """Where the images lie that --store asks for; empty for the engine's own store."""
        store = settings.option("store")
        return os.path.join(os.path.abspath(store), "root") if store else ""

    def dockerfiles(self) -> list[Dockerfile]:
        """Every Dockerfile that a declared stage has."""
        return list(self._dockerfiles.values())

    def file(self, name: str) -> nodes.GraphFile:
        """The SCons node of a graph node."""
        return self.targets.files[name]

    def decide(self, requested: Iterable[str]) -> dict[str, Decision]:
        """The plan for the requested nodes; computed once a run, before anything is built."""
        if not self.planner.decisions:
            requested = list(requested)
            self._check_refresh(requested)
            self.planner.plan(requested)
        return self.planner.decisions

    def _check_refresh(self, requested: list[str]) -> None:
        for word in settings.option("refresh"):
            names = self.targets.named(word)
            if not names:
                raise UserError(
                    "target-unknown",
                    f"--refresh names {word!r}, which is no node",
                    hint=settings.suggestion(word, self.graph.nodes),
                )
            self.planner.refresh.update(names)
        outside = self.planner.refresh - {node.name for node in self.graph.closure(requested)}
        if outside:
            raise UserError(
                "refresh-outside",
                f"--refresh names {', '.join(sorted(outside))}, which no target of this command needs",
                hint="name the node, or something that stands on it, as a target too",
            )

    def is_current(self, name: str) -> bool:
        """Whether a node whose parents have had their turn needs nothing."""
        decision = self.planner.decisions.get(name)
        if decision is None:
            self.decide([*self.targets.requested()[0], name])
            decision = self.planner.decisions[name]
        if decision.state == plan.CONDITIONAL:
            decision = self.planner.settle(name)
        return decision.state == plan.UP_TO_DATE

    def reasons(self, name: str) -> list[str]:
        """Why a node is stale."""
        decision = self.planner.decisions.get(name)
        return decision.reasons if decision is not None else []

    def bring_up_to_date(self, name: str) -> None:
        """Do what the plan says of a node; called by SCons in a worker thread."""
        if self.session is None:
            said = f"{name} was to be built outside a run"
            raise UserError("run-closed", said, hint="call env.StageGraph() once, as the last line of the SConstruct")
        self.session.bring_up_to_date(name)


def _timestamp(values: Values) -> int:
    """SOURCE_DATE_EPOCH in seconds."""
    if "SOURCE_DATE_EPOCH" not in values.names:
        return DEFAULT_TIMESTAMP
    text = values.value("SOURCE_DATE_EPOCH")
    if not re.fullmatch(r"[0-9]{1,11}", text):  # up to the year 5138
        raise UserError(
            "value-type", f"SOURCE_DATE_EPOCH is {text!r}", hint="give seconds since 1970 as a number of at most 11 digits"
        )
    return int(text)


def fail(problem: UserError) -> NoReturn:
    """End reading with an error for the user."""
    sys.stderr.write(f"error: {problem}\n")
    sys.exit(2)


def run_name() -> str:
    """The name of this run's log directory: UTC time and process id."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"


def platform_of(arch: str) -> str:
    """The OCI platform of an arch; ``UserError`` for one that is not known."""
    if arch not in KNOWN_ARCHES:
        raise UserError("arch-unknown", f"unknown arch {arch!r}", hint=settings.suggestion(arch, KNOWN_ARCHES))
    return f"linux/{arch}"
