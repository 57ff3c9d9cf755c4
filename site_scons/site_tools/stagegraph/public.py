"""The builders that a SConscript sees, from Root to Manifest, and StageGraph, which ends the declaration."""

from __future__ import annotations

import functools
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from . import settings, versions
from .command import carry_out
from .errors import UserError, from_missing_module, from_os_error
from .graph import KNOWN_ARCHES, root_node
from .project import BUILD_PLATFORM, OUT, Project, fail, platform_of
from .targets import start_directory

#: The key of the versions file that lists the arches of a plain `scons sdk`.
DEFAULT_ARCHES_KEY = "CROSS_DEFAULT_ARCHES"

#: The key that lists the targets of the compiler stage.
TARGETS_KEY = "CROSS_TARGETS"


def setup(
    env: Any,
    versions_file: str = "",
    profiles: str = "",
    profile: str = "",
    dockerfiles: str = ".",
    variables: Iterable[str] = (),
    providers: Iterable[str] = versions.PROVIDERS,
    providers_of: Mapping[str, Iterable[str]] | None = None,
    lanes: Sequence[str] = ("cross",),
) -> None:
    """Put a ``Project`` behind ``env`` and the builders on it.

    versions_file: the file of versions, relative to the project's root; empty for none
                   (its key CROSS_DEFAULT_ARCHES lists the arches in env["ARCHES"] when none are asked for)
    profiles:      the folder of profiles (``<name>.env``); empty for none
    profile:       the profile taken when PROFILE is not given
    dockerfiles:   the folder in which ``Dockerfile.<stage>`` lies
    variables:     names on the command line that the SConstruct reads itself
    providers:     the providers that the steps can carry out; another one ends the reading
    providers_of:  the same for single components, as ``{"OPENCV": ["absent"]}``
    lanes:         what LANE may name, the default first; the one that was chosen is in env["LANE"]
    """
    settings.register()
    for stream in (sys.__stdout__, sys.__stderr__):  # SCons puts a wrapper of its own over these
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a sentence with → or a file's name must not end a run
    try:
        settings.refuse_unsupported()
        root = env.Dir("#").get_abspath()
        chosen = settings.setting("PROFILE") or profile
        values, files = _values(root, versions_file, profiles, chosen, variables)
        values.require_providers(providers, providers_of or {})
        _place_contexts(env)
        project = Project(env, values, dockerfiles, chosen or "default")
        project.space.declared_by = files
        env["STAGEGRAPH"] = project
        env["ARCHES"] = _arches(values)
        env["LANE"] = settings.lane(lanes)
    except UserError as problem:
        fail(problem)
    except OSError as problem:
        fail(from_os_error(problem))
    for name, method in BUILDERS.items():
        env.AddMethod(_with_errors(method), name)


def _place_contexts(env: Any) -> None:
    """Have what lives as long as a build where RUNTIME_CONTEXT_ROOT says."""
    given = settings.setting("RUNTIME_CONTEXT_ROOT")
    if given:
        from . import runs

        runs.set_scratch_root(os.path.normpath(os.path.join(start_directory(env), given)))


def _values(
    root: str, file: str, profiles: str, profile: str, variables: Iterable[str]
) -> tuple[versions.Values, dict[str, bytes]]:
    """The values, and the bytes of the files that they come from."""
    files: dict[str, bytes] = {}

    def read(name: str) -> dict[str, versions.Entry]:
        files[name] = versions.load(os.path.join(root, name), name)
        return versions.parse(files[name], name)

    entries = read(file) if file else {}
    laid_over = {}
    path = os.path.join(profiles, f"{profile}.env")
    if profiles:
        names = sorted(n.removesuffix(".env") for n in os.listdir(os.path.join(root, profiles)) if n.endswith(".env"))
        if profile not in names:
            raise UserError("profile-unknown", f"unknown profile {profile!r}", hint=settings.suggestion(profile, names))
        laid_over = read(path)
    known = {*settings.SETTINGS, *variables}
    given = {name: value for name, value in settings.arguments().items() if name not in known}
    # A setting that is also a key of the file (CROSS_TARGETS) may come from the environment, unlike a version.
    given |= {name: settings.setting(name) for name in settings.SETTINGS if name in entries and settings.setting(name)}
    values = versions.Values(entries, laid_over, given, path=file or "versions.env", profile_path=path if profiles else "")
    return values, files


def _arches(values: versions.Values) -> list[str]:
    """The target arches of this command; none for which CROSS_TARGETS (if there is such a key) has no compiler."""
    default = values.value(DEFAULT_ARCHES_KEY) if DEFAULT_ARCHES_KEY in values.names else ",".join(KNOWN_ARCHES)
    if TARGETS_KEY not in values.names:
        return settings.arches(KNOWN_ARCHES, default)
    targets = settings.arch_list(values.value(TARGETS_KEY), KNOWN_ARCHES)
    chosen = settings.arches(KNOWN_ARCHES, "")
    for arch in chosen:
        if arch not in targets:
            raise UserError(
                "arch-untargeted",
                f"arch {arch} is asked for, but {TARGETS_KEY}={values.value(TARGETS_KEY)} has no compiler for it",
                hint=f"add {arch} to {TARGETS_KEY}",
            )
    return chosen or [arch for arch in settings.arch_list(default, KNOWN_ARCHES) if arch in targets]


def _with_errors(method: Callable[..., Any]) -> Callable[..., Any]:
    """A builder that ends reading with one clear error instead of a traceback."""

    @functools.wraps(method)
    def guarded(env: Any, *words: Any, **given: Any) -> Any:
        try:
            return method(env, *words, **given)
        except UserError as problem:
            fail(problem)
        except OSError as problem:
            fail(from_os_error(problem))
        except ModuleNotFoundError as problem:
            fail(from_missing_module(problem))

    return guarded


def root_builder(
    env: Any, name: str, arch: str, suite: str = "stable", variant: str = "minbase", include: str = "", lane: str = "cross"
) -> Any:
    """Declare a root file system for linux/<arch>, made by mmdebstrap, or the one that ROOT_IMAGE names.

    suite, variant, include (packages, by comma) are mmdebstrap's. Returns what Stage takes as parent.
    """
    platform_of(arch)
    _check_strings(name, {"suite": suite, "variant": variant, "include": include})
    given = settings.setting("ROOT_IMAGE")
    location = ""
    if not given:
        wanted = {"suite": suite, "variant": variant, "include": include}
    elif given.startswith("oci:"):
        location = os.path.normpath(os.path.join(start_directory(env), given[4:]))
        wanted = {"layout": _layout_digest(location)}
    elif "@sha256:" in given:
        wanted = {"image": given}
    else:
        raise UserError(
            "root-image", f"ROOT_IMAGE is {given!r}", hint="give name@sha256:<digest>, or oci:DIR for an OCI layout"
        )
    project: Project = env["STAGEGRAPH"]
    return project.add_root(root_node(name, arch, wanted, lane=lane, profile=project.profile, out=OUT, location=location))


def _check_strings(name: str, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if not isinstance(value, str):
            raise UserError("value-type", f"{key} of {name} is {value!r}", hint=f"write it as text: {str(value)!r}")


def _layout_digest(directory: str) -> str:
    """The digest of the one manifest or index that an OCI layout holds."""
    try:
        with open(os.path.join(directory, "index.json"), "rb") as file:
            manifests = json.load(file)["manifests"]
        if len(manifests) != 1:
            raise UserError(
                "root-image", f"the OCI layout '{directory}' holds {len(manifests)} images", hint="name one that holds one"
            )
        return str(manifests[0]["digest"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        said = problem.strerror if isinstance(problem, OSError) else "its index.json names no manifests"
        raise UserError(
            "root-image",
            f"ROOT_IMAGE names '{directory}', which is no OCI layout: {said}",
            hint="make one by `buildah push IMAGE oci:DIR`",
        ) from problem


def artifact(env: Any, arch: str, image: Any, lane: str = "runtime") -> Any:
    """What a package stage takes as ARTIFACT_IMAGE for an arch: ``image``, unless settings name another source.

    The settings mean what the specification says of them, checked and pinned:

    ARTIFACT_BUILD_MODE    cross (default): artifact images are for the build platform, linux/amd64, whatever arch they were
                           made for; native: each is for linux/<arch>
    ARTIFACT_IMAGE_PREFIX  an image of the engine's store: ``<prefix>-<arch>`` in cross mode, the exact reference in native
                           mode. The name is looked up anew in each run, and what counts is the content behind it. A
                           reference that ends in @sha256:… is pulled, by this digest
    ARTIFACT_CONTEXT_ROOT  a directory with an artifact for each arch, ``<root>/<arch>``, saved before
    ARTIFACT_CONTEXT_MODE  oci (default): each is an OCI layout, as ``out/local-oci/android/<arch>`` is; dir: each is a root
                           file system, ``<arch>/rootfs`` as exports have it, or ``<arch>`` itself

    The artifact is the node ``artifact-<arch>``. A directory that is missing, is no layout or tree, or is for another arch
    ends the reading (artifact-missing, artifact-arch), and so do settings that contradict one another (artifact-settings).
    Give the stage ``values={"ARTIFACT_PLATFORM": env.PlatformOf(artifact)}``.
    """
    platform_of(arch)
    given = {name: settings.setting(name) for name in settings.SETTINGS if name.startswith("ARTIFACT_")}
    if not any(given.values()):
        return image
    from . import artifacts

    project: Project = env["STAGEGRAPH"]
    chosen = artifacts.source(given, start_directory(env), BUILD_PLATFORM)
    if not chosen.root and not chosen.image:
        artifacts.check_declared(chosen, arch, project.node(image))
        return image
    return project.add_root(artifacts.node(chosen, arch, env["ARCHES"], lane=lane, profile=project.profile, out=OUT))


def platform_of_image(env: Any, image: Any) -> str:
    """The OCI platform that a stage, root or artifact is built for, as ``linux/amd64``."""
    project: Project = env["STAGEGRAPH"]
    return project.node(image).platform


def stage(
    env: Any,
    name: str,
    arch: str = "",
    parent: Any = None,
    dockerfile: str = "",
    images: Mapping[str, Any] | None = None,
    platform: str = "",
    lane: str = "cross",
    tag: str = "",
    values: Mapping[str, str] | None = None,
    final: str = "",
) -> Any:
    """Declare a stage: every step of its Dockerfile becomes a node.

    arch:       target arch; empty for a stage that is the same for all
    parent:     what ``BASE_IMAGE`` is; images: what other image variables are (name → stage or root)
    dockerfile: its name in the Dockerfiles' folder, ``Dockerfile.<name>`` when not given
    platform:   OCI platform that it is built for; with an arch, no step is shared with other arches then.
                The build platform, linux/amd64, when not given
    values:     values for ARGs that the graph decides (BUILD_MODE …)
    tag:        the tag for people that the finished image gets in IMAGE_REPO
    final:      the step that is the stage's image, the last one when not given

    Returns what Stage and Rootfs take as parent and image.
    """
    project: Project = env["STAGEGRAPH"]
    if arch:
        platform_of(arch)
    _check_strings(name, values or {})
    parents = dict(images or {})
    if parent is not None:
        parents = {"BASE_IMAGE": parent, **parents}
    path = os.path.normpath(os.path.join(project.folder, dockerfile or f"Dockerfile.{name}"))
    return project.stage(name, arch, platform, lane, parents, path, tag, values or {}, final)


def step(env: Any, stage: Any, name: str) -> Any:
    """Another step of a declared stage, to be exported or to stand on; ``stage`` is what Stage returned."""
    project: Project = env["STAGEGRAPH"]
    return project.step(stage, name)


def gate(env: Any, stage: Any, name: str) -> Any:
    """A step that judges its stage's image: once it is built the image has passed. ``scons smoke`` means all gates.

    Hand it to Rootfs or Manifest as one of ``gates=``: nothing is made of an image whose gate did not pass.
    """
    project: Project = env["STAGEGRAPH"]
    return project.gate(stage, name)


def rootfs(
    env: Any,
    name: str,
    arch: str,
    image: Any,
    gates: Sequence[Any] = (),
    images: Mapping[str, Any] | None = None,
    values: Mapping[str, str] | None = None,
) -> Any:
    """Declare the export of a stage's root file system to ``out/<name>/<arch>/`` (or below OUTPUT_ROOT).

    gates:  what Gate returned; the export waits until all of them have passed
    images: more images that artifact.env names, key → what Stage returned
    values: more that artifact.env says, key → value
    """
    project: Project = env["STAGEGRAPH"]
    _check_strings(name, values or {})
    return project.export(name, arch, image, gates, images or {}, values or {})


def layout(env: Any, name: str, arch: str, image: Any, gates: Sequence[Any] = ()) -> Any:
    """Declare a stage's image as an OCI layout, ``out/<name>/<arch>/`` (or below OUTPUT_ROOT); gates as in Rootfs."""
    project: Project = env["STAGEGRAPH"]
    return project.layout(name, arch, image, gates)


def manifest(
    env: Any, name: str, members: Mapping[str, Any], gates: Sequence[Any] = (), reference: str = ""
) -> Any:
    """Declare one OCI layout with an index over the images of all arches, ``out/manifest/<name>/``: ``scons manifest``.

    members:   arch → what Stage returned, for each arch of env["ARCHES"]
    gates:     what Gate returned; the index is refused when one of them did not pass for the very image of a member
    reference: the full name of the index, with a tag, when IMAGE is not given; IMAGE_REPO:<name> without either
    """
    project: Project = env["STAGEGRAPH"]
    return project.manifest(name, members, gates, reference)


def stage_graph(env: Any) -> None:
    """End the declaration: check the words of the command line, answer questions, get ready to build.

    Call it once, as the last line of the SConstruct.
    """
    carry_out(env["STAGEGRAPH"])


#: Method of the environment → its function.
BUILDERS: dict[str, Callable[..., Any]] = {
    "Root": root_builder,
    "Artifact": artifact,
    "PlatformOf": platform_of_image,
    "Stage": stage,
    "Step": step,
    "Gate": gate,
    "Rootfs": rootfs,
    "Layout": layout,
    "Manifest": manifest,
    "StageGraph": stage_graph,
}
