"""No-op against ``docker buildx bake``: the same Dockerfiles, everything in BuildKit's cache.

The daemon is the one that ``docker`` talks to, by DOCKER_HOST or its own default. Each Dockerfile is a target that
is handed the one below it (``contexts``: ``target:…``); the lowest is FROM scratch, so nothing is pulled.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

import projects
from case import SMALL, Bench, Group
from projects import SCONS
from timing import Command, Failed, alternate, once

BAKE = ("docker", "buildx", "bake", "--progress=plain", "-f", "docker-bake.json")


def no_op(bench: Bench) -> Iterator[Group]:
    """A no-op of images that buildah built, against one of BuildKit that puts the same ones into its image store."""
    title = f"no-op at {SMALL.nodes} real images, against docker buildx bake"
    reason = no_buildkit()
    if not reason and not shutil.which("buildah"):
        reason = "buildah, for the other side, is not installed"
    if reason:
        yield Group(title, (), missing=(f"docker buildx bake: {reason}",))
        return
    project, words = projects.built_by_buildah(bench.path("real"), bench.path("store"), SMALL)
    bake = Command("cached docker buildx bake", BAKE, project)
    try:
        steps = fill_cache(bake)
        commands = [
            Command("empty scons", SCONS, projects.empty(bench.path("empty-4"))),
            Command("scons, the export", words, project),
            Command("scons, the last image", (*words, SMALL.last), project),
            bake,
        ]
        series = tuple(alternate(commands, bench.rounds))
    except Failed as problem:
        yield Group(title, (), missing=(f"docker buildx bake: no BuildKit that can do this: {problem}",))
        return
    finally:
        names = [f"localhost/bench/s{number:02}" for number in range(SMALL.stages)]
        _ask("docker", "image", "rm", "--force", *names)
    notes = (
        f"{_versions()}; all {steps} instructions were cached, provenance is off, the images are put into its store",
        "the cpu of bake is that of its client: the daemon's, which does the work, cannot be seen from here",
    )
    yield Group(title, series, notes)


def no_buildkit() -> str:
    """Why there is nothing to measure, empty when a daemon and buildx answer."""
    if not shutil.which("docker"):
        return "docker is not installed"
    # An old client ends well without a daemon, and prints nothing.
    good, said = _ask("docker", "info", "--format", "{{.ServerVersion}}")
    if not good:
        return f"no daemon answers ({said})"
    good, said = _ask("docker", "buildx", "version")
    return "" if good else f"docker has no buildx ({said})"


def fill_cache(bake: Command) -> int:
    """Build once, then see that the next run builds nothing; how many instructions that were. Raises ``Failed``."""
    once(bake)
    done = subprocess.run(
        bake.argv,
        cwd=bake.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    steps = set(re.findall(r"^(#\d+) \[.*\] COPY ", done.stdout, re.MULTILINE))
    cached = set(re.findall(r"^(#\d+) CACHED$", done.stdout, re.MULTILINE))
    if done.returncode or not steps or steps - cached:
        raise Failed(
            f"{len(steps - cached)} of {len(steps)} instructions were built in what was to be a no-op"
        )
    return len(steps)


def _versions() -> str:
    """Of the daemon and of buildx."""
    _, daemon = _ask("docker", "info", "--format", "{{.ServerVersion}}")
    _, said = _ask("docker", "buildx", "version")
    found = re.search(r"\d+(\.\d+)+", said)
    return f"docker {daemon}, buildx {found[0] if found else said}"


def _ask(*argv: str) -> tuple[bool, str]:
    """Whether a short question was answered, with the first line of the answer or of the complaint."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return False, "not within a minute"
    answer, complaint = done.stdout.strip(), done.stderr.strip()
    good = done.returncode == 0 and bool(answer)
    lines = (answer if good else complaint or answer).splitlines()
    return good, lines[0] if lines else "no answer"
