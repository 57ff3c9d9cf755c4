"""Runs that are stopped or killed: nothing stale looks fresh, finished nodes are kept, nothing is left running."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .project import EVERYTHING, Project
from .runner import finish, wait_until

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def processes_of(project: Project) -> list[int]:
    """The processes whose arguments name the project's store: engine children of ours."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            arguments = Path("/proc", name, "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(project.store) in arguments:
            found.append(int(name))
    return found


def wait_until_gone(project: Project) -> None:
    """The kernel ends the children of a killed process; that takes a moment."""
    deadline = time.monotonic() + 20
    while processes_of(project):
        assert time.monotonic() < deadline, processes_of(project)
        time.sleep(0.02)


def runs_left(project: Project) -> list[Path]:
    """The directories of runs, with their secrets."""
    return list((project.scratch / "run" / f"stagegraph-{os.getuid()}").glob("2*"))


def is_waiting(project: Project, node: str) -> bool:
    """Whether the child process of a held build runs and listens to TERM."""
    for pid in processes_of(project):
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            caught = re.search(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        except OSError:
            continue
        if (
            f"/hold/{node}".encode() in arguments
            and caught
            and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1
        ):
            return True
    return False


def start_held(project: Project, node: str, *words: str) -> subprocess.Popen[str]:
    """Start scons and wait until the build of ``node`` waits."""
    project.engine.switch("hold", node)
    process = project.start("http_proxy=http://user:hush@proxy.test/", *words)
    wait_until(lambda: is_waiting(project, node), process)
    return process


@pytest.mark.parametrize("number", STOPPING)
@pytest.mark.parametrize("jobs", ["-j1", "-j3"])
def test_stopping_is_quick_and_clean(project: Project, number: int, jobs: str) -> None:
    process = start_held(project, "compiler:clang", jobs)
    process.send_signal(number)
    text = finish(process)
    assert process.returncode not in (0, None), text
    assert "Traceback" not in text, text
    wait_until_gone(project)
    assert runs_left(project) == []
    assert project.engine.journal("build")
    assert not project.record_path("compiler:clang").exists()
    finished = set(project.contents())
    project.engine.unset("hold", "compiler:clang")
    built = project.builds()
    assert "compiler:clang" in built
    assert "base" not in built
    assert len(built) == len(EVERYTHING) - len(finished)
    project.is_quiet()


@pytest.mark.parametrize("jobs", ["-j1", "-j3"])
def test_stop_of_the_whole_group(project: Project, jobs: str) -> None:
    """What a terminal does on Ctrl-C: everybody in the foreground gets the signal."""
    process = start_held(project, "compiler:clang", jobs)
    os.killpg(process.pid, signal.SIGINT)
    text = finish(process)
    assert process.returncode == 2, text
    wait_until_gone(project)
    assert runs_left(project) == []


@pytest.mark.parametrize("jobs", ["-j1", "-j3"])
def test_kill(project: Project, jobs: str) -> None:
    process = start_held(project, "compiler:clang", jobs)
    process.kill()
    finish(process)
    wait_until_gone(project)
    finished = set(project.contents())
    (left,) = runs_left(project)
    assert any(b"hush" in path.read_bytes() for path in left.iterdir())  # which the next start takes away
    assert project.engine.journal()
    project.engine.unset("hold", "compiler:clang")
    project.good("compiler:clang")
    assert project.engine.built() == ["compiler:clang"]
    (swept,) = project.engine.journal("sweep")
    assert swept["removed"]
    assert runs_left(project) == []
    assert finished <= set(project.contents())
    project.good()
    project.is_quiet()


def test_kill_is_no_hindrance_to_questions(project: Project) -> None:
    process = start_held(project, "base")
    process.kill()
    finish(process)
    wait_until_gone(project)
    before = project.snapshot()
    assert project.scons("-q").rc == 1
    assert project.scons("-n").rc == 0
    assert project.snapshot() == before
    assert len(runs_left(project)) == 1


@pytest.mark.parametrize("seed", range(10))
def test_kill_at_any_moment(project: Project, seed: int) -> None:
    """Killed again and again at random moments, a build comes to the same end as one that was left alone."""
    dice = random.Random(seed)
    reference: set[str] = set()
    for number in range(4):
        process = project.start(f"-j{dice.choice((1, 3))}")
        count = dice.randint(0, 6)
        deadline = time.monotonic() + 30
        # A moment is told by what the engine was asked, and a little more.
        while (
            process.poll() is None
            and len(project.engine.journal()) < 4 * count
            and time.monotonic() < deadline
        ):
            time.sleep(0.001)
        time.sleep(dice.random() / 20)
        process.send_signal(dice.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))
        finish(process)
        records = set(project.contents())
        assert reference <= records, number
        reference = records
    wait_until_gone(project)
    project.good()
    assert runs_left(project) == []
    project.is_quiet("--verify")
    fresh = Project(project.path.parent / "fresh", project.path.parent / "fresh-store")
    fresh.good()
    assert project.contents() == fresh.contents()
    for arch in ("arm64", "riscv64"):
        assert (project.export(arch) / ".rootfs.list").read_bytes() == (
            fresh.export(arch) / ".rootfs.list"
        ).read_bytes()


@pytest.mark.parametrize("seed", range(6))
def test_kill_during_an_export(built: Project, seed: int) -> None:
    """Whenever it is killed, the export is the old one, the new one, or known not to be there."""
    dice = random.Random(seed)
    built.replace("Dockerfile.sdk", "RUN finish", "RUN end")
    built.good("sdk")
    process = built.start("out/linux-sdk/arm64")
    wait_until(lambda: bool(built.engine.journal("rootfs")) or process.poll() is not None, process)
    time.sleep(dice.random() / 30)
    process.kill()
    finish(process)
    was_done = built.scons("-q", "--verify", "out/linux-sdk/arm64").rc == 0
    assert built.builds("out/linux-sdk/arm64") == (set() if was_done else {"export:sdk-arm64"})
    built.is_quiet("--verify", "out/linux-sdk/arm64")
    names = {path.name for path in built.export().iterdir()}
    assert names <= {"rootfs", "artifact.env", ".export.json", ".rootfs.list", ".rootfs.lock"}


def test_contexts_lie_where_they_were_asked_for_and_go_after_a_kill(built: Project) -> None:
    """RUNTIME_CONTEXT_ROOT: the copy of a context goes with its build; after a kill the next run, told or not, removes it."""
    contexts = built.path.parent / "contexts"
    contexts.mkdir()
    asked = f"RUNTIME_CONTEXT_ROOT={contexts}"
    built.replace("patches/a.patch", "a", "b")
    built.is_quiet(asked, "base")  # nothing is built for it, and it is no input of anything
    process = start_held(built, "compiler:gcc", asked, "compiler")
    (copied,) = contexts.glob("*/2*/contexts/0/patches/a.patch")
    assert copied.read_text("utf-8") == "b\n"
    process.kill()
    finish(process)
    assert list(contexts.glob("*/2*"))
    built.engine.unset("hold", "compiler:gcc")
    built.good("compiler")
    assert list(contexts.glob("*/2*")) == []
    built.replace("patches/a.patch", "b", "c")
    built.good("compiler", env={"RUNTIME_CONTEXT_ROOT": "../contexts"})
    assert [path.name for path in contexts.glob("*/*")] == [".guard"]


def test_killed_engine_is_a_failure_of_its_node(project: Project) -> None:
    """Only the child of the build is killed; scons lives, shows it and keeps what was finished."""
    process = start_held(project, "compiler:clang")
    project.engine.switch("fail", "compiler:clang", "the engine was killed")
    for pid in processes_of(project):
        if pid != process.pid and b"/hold/compiler:clang" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    text = finish(process)
    assert process.returncode == 2, text
    assert "FAILED     compiler:clang" in text
    project.engine.unset("hold", "compiler:clang")
    project.engine.unset("fail", "compiler:clang")
    assert "compiler:gcc" not in project.builds("compiler")


def test_no_op_removes_what_a_killed_run_left(project: Project) -> None:
    """The next start may have nothing to build; what was killed just after its last node is removed all the same."""
    process = start_held(project, "base")
    process.kill()
    finish(process)
    wait_until_gone(project)
    assert len(runs_left(project)) == 1
    project.good("bootstrap")
    assert project.engine.journal("sweep")
    assert runs_left(project) == []


def test_container_of_a_killed_run_is_found_by_the_next_run_in_its_store(project: Project, place: Path) -> None:
    """In between comes a run in another store, which takes the run's directory away and knows nothing of the container."""
    process = start_held(project, "base")
    process.kill()
    finish(process)
    wait_until_gone(project)
    containers = project.store / "root" / "containers"
    assert list(containers.iterdir())
    other = Project(place / "other", place / "other-store")
    other.good("bootstrap")
    assert runs_left(project) == []
    assert list(containers.iterdir())
    project.engine.unset("hold", "base")
    project.good("base")
    assert list(containers.iterdir()) == []
    assert list((project.store / "root" / "stagegraph" / "runs").glob("2*")) == []


def test_next_run_finds_what_lies_at_another_place_for_temporary_files(project: Project, place: Path) -> None:
    process = start_held(project, "base")
    process.kill()
    finish(process)
    wait_until_gone(project)
    assert len(runs_left(project)) == 1
    (place / "elsewhere").mkdir()
    project.engine.unset("hold", "base")
    project.good("base", env={"XDG_RUNTIME_DIR": str(place / "elsewhere")})
    assert runs_left(project) == []
    assert list((project.store / "root" / "containers").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_leftover_that_cannot_be_removed_is_a_note(project: Project) -> None:
    process = start_held(project, "base")
    process.kill()
    finish(process)
    wait_until_gone(project)
    (left,) = (project.scratch / "tmp" / f"stagegraph-scratch-{os.getuid()}").glob("2*")
    (left / "m").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(left / "m")], check=True)
    try:
        project.engine.unset("hold", "base")
        for _ in range(2):
            assert f"note: what a killed run left was not removed: {left}" in project.good("base").stderr
    finally:
        subprocess.run(["umount", str(left / "m")], check=True)
    assert "note" not in project.good("base").stderr
    assert not left.exists()
