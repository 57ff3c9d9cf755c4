"""Run directories and the locks between runs."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from fake_engine import FakeEngine
from stagegraph import leftovers, runs
from stagegraph.errors import UserError


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(runs, "_scratch_root", "")
    return tmp_path


def in_child(script: str) -> subprocess.Popen[str]:
    """A Python process that holds what the script took until it is killed."""
    head = f"import sys\nsys.path[:0] = {sys.path!r}\nfrom stagegraph import runs\n"
    tail = "\nprint('ready', flush=True)\nsys.stdin.read()\n"
    child = subprocess.Popen(
        [sys.executable, "-c", head + script + tail], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def kill(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_run_has_two_private_directories_that_go_with_it() -> None:
    with runs.open_run() as run:
        assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{4}", run.id)
        assert os.path.basename(run.path) == os.path.basename(run.scratch) == run.id
        assert [mode(path) for path in (run.path, os.path.dirname(run.path))] == [0o700] * 2
        # Others pass through, to what belongs to our subordinate ids, and read nothing.
        assert [mode(path) for path in (run.scratch, os.path.dirname(run.scratch))] == [0o711] * 2
        Path(run.scratch, "big").write_text("x")
    assert not os.path.exists(run.path)
    assert not os.path.exists(run.scratch)
    run.close()


def test_every_secret_is_a_private_file_of_its_own() -> None:
    with runs.open_run() as run:
        one, two = run.secret("transport", "JOBS=1\n"), run.secret("transport", "JOBS=2\n")
        assert [Path(path).read_text() for path in (one, two)] == ["JOBS=1\n", "JOBS=2\n"]
        assert mode(one) == 0o600
        assert os.path.dirname(one) == run.path


def test_a_killed_run_is_dead_and_a_living_one_is_not() -> None:
    child = in_child("run = runs.open_run(); run.secret('transport', 'x')")
    with runs.open_run() as mine:
        assert runs.dead_runs() == {}
        kill(child)
        dead = runs.dead_runs()
        assert len(dead) == 1
        assert mine.id not in dead
        ((run_id, path),) = dead.items()
        assert os.listdir(path)
        scratch = os.path.join(os.path.dirname(mine.scratch), run_id)
        assert os.path.isdir(scratch)
        assert runs.remove_dead() == []
        assert runs.dead_runs() == {}
        assert not os.path.exists(path)
        assert not os.path.exists(scratch)
        assert os.path.isdir(mine.path)
        assert os.path.isdir(mine.scratch)


def test_scratch_of_a_run_that_a_reboot_forgot_is_removed() -> None:
    with runs.open_run() as run:
        lost = os.path.join(os.path.dirname(run.scratch), "20200101T000000Z-0000")
        os.mkdir(lost)
        assert runs.remove_dead() == []
        assert not os.path.exists(lost)
        assert os.path.isdir(run.scratch)


def test_scratch_of_a_living_run_elsewhere_stays(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (places / "other").mkdir()
    with runs.open_run() as run:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(places / "other"))
        with runs.open_run() as beside:
            assert runs.remove_dead() == []
            assert os.path.isdir(run.scratch)
            assert os.path.isdir(beside.scratch)


def test_directory_of_a_killed_run_elsewhere_goes_when_it_is_named(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = in_child("runs.open_run()")
    (path,) = runs.dead_runs().values() or [os.path.join(runs._base(), name) for name in runs.names(runs._base())]
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(places / "TMPDIR"))
    assert runs.remove_dead([path]) == []
    assert os.path.isdir(path)
    kill(child)
    assert runs.remove_dead([path]) == []
    assert not os.path.exists(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_what_cannot_be_removed_is_named_and_not_emptied(places: Path) -> None:
    child = in_child("runs.open_run()")
    kill(child)
    ((run_id, _),) = runs.dead_runs().items()
    scratch = places / "TMPDIR" / f"stagegraph-scratch-{os.getuid()}" / run_id
    (scratch / "m").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(scratch / "m")], check=True)
    try:
        (scratch / "m" / "theirs").write_text("x")
        (problem,) = runs.remove_dead()
        assert f"'{scratch}/m' is mounted there" in problem
        assert (scratch / "m" / "theirs").exists()
    finally:
        subprocess.run(["umount", str(scratch / "m")], check=True)
    assert runs.remove_dead() == []
    assert not scratch.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_scratch_lies_where_programs_may_be_run(places: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", str(places / "TMPDIR")], check=True)
    try:
        with runs.open_run() as run:
            assert not run.scratch.startswith(str(places))
    finally:
        subprocess.run(["umount", str(places / "TMPDIR")], check=True)
    with runs.open_run() as run:
        assert run.scratch.startswith(str(places))


def test_scratch_lies_where_it_was_asked_for(places: Path) -> None:
    (places / "contexts").mkdir()
    runs.set_scratch_root(str(places / "contexts"))
    with runs.open_run() as run:
        assert os.path.dirname(os.path.dirname(run.scratch)) == str(places / "contexts")
        assert mode(run.scratch) == 0o711
        assert not run.path.startswith(str(places / "contexts"))
    assert not os.path.exists(run.scratch)


def test_scratch_of_a_killed_run_that_asked_for_another_place_is_removed(places: Path) -> None:
    (places / "contexts").mkdir()
    engine = FakeEngine(str(places / "store"))
    child = in_child(
        f"from stagegraph import leftovers\nruns.set_scratch_root({str(places / 'contexts')!r})\nrun = runs.open_run()\n"
        f"leftovers.register({engine.store()!r}, run)\nopen(run.scratch + '/big', 'w').close()"
    )
    (scratch,) = (places / "contexts").glob("*/2*")
    assert leftovers.dead_in(engine.store()) == {}
    kill(child)
    ((run_id, directories),) = leftovers.dead_in(engine.store()).items()
    assert directories == [os.path.join(runs._base(), run_id), str(scratch)]
    assert leftovers.sweep(engine) == []
    assert not scratch.exists()
    assert not os.path.exists(directories[0])


@pytest.mark.parametrize("name", ["missing", "a file", "read-only"])
def test_another_place_for_scratch_that_cannot_be_used(places: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (places / "a file").write_text("")
    (places / "read-only").mkdir()
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "read-only" not in str(path) and may(path, mode))
    with pytest.raises(UserError) as error:
        runs.set_scratch_root(str(places / name))
    assert error.value.code == "run-directory"
    assert f"RUNTIME_CONTEXT_ROOT names '{places / name}'" in error.value.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_another_place_for_scratch_where_nothing_may_be_run(places: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", str(places / "TMPDIR")], check=True)
    try:
        with pytest.raises(UserError) as error:
            runs.set_scratch_root(str(places / "TMPDIR"))
        assert "nothing may be run" in error.value.message
    finally:
        subprocess.run(["umount", str(places / "TMPDIR")], check=True)


def test_one_place_for_all_is_enough(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(places / "TMPDIR"))
    with runs.open_run() as run:
        assert run.path != run.scratch
        assert runs.remove_dead() == []
        assert os.path.isdir(run.scratch)


def test_a_directory_that_others_can_read_is_refused(places: Path) -> None:
    path = places / "XDG_RUNTIME_DIR" / f"stagegraph-{os.getuid()}"
    path.mkdir(mode=0o755)
    path.chmod(0o755)
    with pytest.raises(UserError) as error:
        runs.open_run()
    assert error.value.code == "run-directory"
    assert str(path) in error.value.message


def test_a_link_in_place_of_the_directory_is_refused(places: Path) -> None:
    (places / "elsewhere").mkdir(mode=0o700)
    (places / "XDG_RUNTIME_DIR" / f"stagegraph-{os.getuid()}").symlink_to(places / "elsewhere")
    with pytest.raises(UserError) as error:
        runs.open_run()
    assert error.value.code == "run-directory"


def test_two_runs_do_not_build_into_one_tree(places: Path) -> None:
    out = str(places / "out")
    child = in_child(f"lock = runs.TreeLock({out!r}); lock.acquire()")
    with pytest.raises(UserError) as error:
        runs.TreeLock(out).acquire()
    assert error.value.code == "tree-locked"
    assert f"process {child.pid}" in error.value.message
    kill(child)
    with runs.TreeLock(out):
        assert Path(out, ".lock").read_text() == f"{os.getpid()}\n"
    with runs.TreeLock(out):
        pass


def test_builds_share_a_store_and_its_cleaning_does_not(places: Path) -> None:
    store = str(places / "store")
    child = in_child(f"lock = runs.StoreLock({store!r}); lock.acquire(alone=False)")
    with runs.StoreLock(store).held(alone=False):
        pass
    with pytest.raises(UserError) as error, runs.StoreLock(store).held(alone=True):
        pass
    assert error.value.code == "store-locked"
    assert "a build uses" in error.value.message
    kill(child)
    with runs.StoreLock(store).held(alone=True):
        with pytest.raises(UserError) as error, runs.StoreLock(store).held(alone=False):
            pass
        assert "scons gc" in error.value.message


def test_two_runs_that_sweep_the_same_do_not_meet(places: Path) -> None:
    """Runs share a store, so each finds what a killed one left; the second to remove an entry finds nothing."""
    entry = Path(FakeEngine(str(places / "store")).store(), "runs", "20260101T000000Z-1")
    entry.parent.mkdir(parents=True)
    entry.write_bytes(b"/nowhere\0/nowhere")

    class Swept(FakeEngine):
        def sweep(self, dead_runs: Mapping[str, str]) -> list[str]:
            entry.unlink()  # the other run was faster
            return []

    engine = Swept(str(places / "store"))
    assert list(leftovers.dead_in(engine.store())) == [entry.name]
    assert leftovers.sweep(engine) == []
