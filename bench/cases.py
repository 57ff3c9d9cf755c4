"""The cases: each sets up what it measures and yields groups of series, compared with the first of each."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator

import bake
import projects
from case import LARGE, SMALL, TRIVIAL, Bench, Group
from generate import HERE
from projects import SCONS
from timing import Command, alternate, once

sys.path.insert(0, os.path.join(projects.ROOT, "site_scons", "site_tools"))


def no_op_real(bench: Bench) -> Iterator[Group]:
    """The graph of this repository, every export of all its arches."""
    empty = projects.empty(bench.path("empty-1"))
    copy = projects.copy_of_repository(bench.path("repository"))
    env = {"ROOT_IMAGE": f"oci:{os.path.join(copy, projects.STUB_ROOT)}"}
    series = alternate(
        [
            Command("empty scons", SCONS, empty),
            Command("scons", SCONS, copy, env),
            Command("scons -n", (*SCONS, "-n"), copy, env),
            Command("scons -q", (*SCONS, "-q"), copy, env),
        ],
        bench.rounds,
    )
    note = "a copy of this repository, its images made by a stub: a no-op of exports does not look at images"
    yield Group("no-op of this repository's graph (all arches)", tuple(series), (note,))


def no_op_generated(bench: Bench) -> Iterator[Group]:
    """Generated graphs against an empty run, make and ninja."""
    empty = projects.empty(bench.path("empty-2"))
    for shape in (SMALL, LARGE):
        project = projects.generated(bench.path(f"nodes-{shape.nodes}"), shape)
        commands = [Command("empty scons", SCONS, empty), Command("scons", SCONS, project)]
        missing = []
        for tool in ("make", "ninja"):
            if shutil.which(tool):
                commands.append(Command(tool, (tool,), project))
            else:
                missing.append(f"{tool}: it is not installed")
        title = f"no-op at {shape.nodes} nodes, {shape.files:,} files, {shape.deps} files a node"
        yield Group(title, tuple(alternate(commands, bench.rounds)), (), tuple(missing))


def cached_engine(bench: Bench) -> Iterator[Group]:
    """A no-op of images that buildah built, against its own layer cache on the same files."""
    title = f"no-op at {SMALL.nodes} real images, against the engine's own cache"
    if not shutil.which("buildah"):
        yield Group(title, (), missing=("buildah: it is not installed",))
        return
    project, words = projects.built_by_buildah(bench.path("real"), bench.path("store"), SMALL)
    chain = Command("cached buildah bud --layers", ("bash", "chain.sh", *bench.store("chain-store")), project)
    once(chain)
    commands = [
        Command("empty scons", SCONS, projects.empty(bench.path("empty-3"))),
        Command("scons, the export", words, project),
        Command("scons, the last image", (*words, SMALL.last), project),
        Command("buildah images alone", ("buildah", *bench.store("store"), "images", "--json"), project),
        chain,
    ]
    series = alternate(commands, max(3, bench.rounds // 3))
    yield Group(title, tuple(series), ("buildah has a store of its own on this disk",))


def overhead(bench: Bench) -> Iterator[Group]:
    """Steps that copy two files, by the plugin and by the same engine calls alone."""
    title = f"a build of {TRIVIAL.nodes} trivial steps"
    if not shutil.which("buildah"):
        yield Group(title, (), missing=("buildah: it is not installed",))
        return
    project = bench.path("trivial")
    projects.generate(project, TRIVIAL)
    store = f"--store={bench.path('plugin-store')}"

    def fresh_for_plugin() -> None:
        drop_store(bench.path("plugin-store"))
        shutil.rmtree(os.path.join(project, "out"), ignore_errors=True)
        once(Command("root", (*SCONS, store, "bootstrap"), project))

    def fresh_for_calls() -> None:
        drop_store(bench.path("calls-store"))
        words = ["buildah", *bench.store("calls-store"), "pull", "--quiet", "oci:root"]
        done = subprocess.run(words, cwd=project, check=True, stdout=subprocess.PIPE, text=True)
        projects.write(bench.path("calls-store"), "root-id", done.stdout.strip())

    calls_argv = (sys.executable, os.path.join(HERE, "engine_calls.py"), project, bench.path("calls-store"))
    commands = [
        Command("the engine calls alone", calls_argv, project, before=fresh_for_calls),
        Command("scons", (*SCONS, store, TRIVIAL.last), project, before=fresh_for_plugin),
    ]
    calls, ours = alternate(commands, max(3, bench.rounds // 4), warmup=0)
    own = (
        statistics.median(mine - its for mine, its in zip(ours.wall, calls.wall, strict=True)) / TRIVIAL.nodes
    )
    share = f"3 % of a step that takes {own / 0.03:.0f} s"
    note = f"the plugin adds {own * 1000:.0f} ms a step, its start included: {share}"
    yield Group(title, (calls, ours), (note,))


def drop_store(directory: str) -> None:
    """Remove a store of buildah, with the mount that its overlay driver leaves on the directory itself."""
    overlay = os.path.join(directory, "root", "overlay")
    if os.path.ismount(overlay):
        subprocess.run(["umount", "--lazy", overlay], check=True)
    if os.path.isdir(directory):
        shutil.rmtree(directory)


def rootfs(bench: Bench) -> Iterator[Group]:
    """The export against one tar piped into another, both of the same tree by the same flags."""
    from stagegraph.engines.containers_store import TAR as WRITE
    from stagegraph.rootfs import TAR as READ

    title = "export of a root file system"
    if os.geteuid() != 0:
        yield Group(title, (), missing=("the export: it has to be root to set owners",))
        return
    source, target = bench.path("tree"), bench.path("target")
    files, size = _tree(source)

    def fresh() -> None:
        shutil.rmtree(target, ignore_errors=True)
        os.makedirs(target)

    write = [word.replace("{}", source) for word in WRITE]
    piped = f"{shlex.join(write)} | {shlex.join([*READ, f'--directory={target}'])}"
    hashed = f"{shlex.join(write)} | sha256sum"
    script = os.path.join(HERE, "export_tree.py")
    commands = [
        Command("tar | tar", ("bash", "-o", "pipefail", "-c", piped), bench.directory, before=fresh),
        Command(
            "the export", (sys.executable, script, source, target, *WRITE), bench.directory, before=fresh
        ),
        Command("tar | sha256sum", ("bash", "-o", "pipefail", "-c", hashed), bench.directory),
    ]
    series = alternate(commands, max(5, bench.rounds // 2))
    note = f"{files:,} files, {size >> 20} MiB; the export also checks, hashes and lists every entry"
    yield Group(title, tuple(series), (note,))


def _tree(directory: str) -> tuple[int, int]:
    """Make a tree of many small files and few large ones, as a root file system has; its files and bytes."""
    chance = random.Random(1)
    files = size = 0
    for number in range(12_000):
        folder = os.path.join(directory, f"usr/lib/d{number // 60:03}")
        os.makedirs(folder, exist_ok=True)
        length = min(int(chance.lognormvariate(8.0, 2.0)), 8 << 20)
        with open(os.path.join(folder, f"f{number}"), "wb") as file:
            file.write(chance.randbytes(length))
        files, size = files + 1, size + length
    return files, size


#: Name for --only → case, in the order of the table.
CASES: dict[str, Callable[[Bench], Iterator[Group]]] = {
    "real": no_op_real,
    "generated": no_op_generated,
    "cached": cached_engine,
    "bake": bake.no_op,
    "overhead": overhead,
    "rootfs": rootfs,
}
