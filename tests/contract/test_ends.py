"""Builds that are stopped or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fake_engine import FakeEngine
from stagegraph import leftovers, process, runs
from stagegraph.engines.base import Engine
from stagegraph.errors import UserError
from stagegraph.model import LABEL_NODE, LABEL_SIGNATURE

from .support import (
    REAL,
    Project,
    containers,
    hold_build,
    let_go,
    make_engine,
    processes,
    remove_store,
    runs_in,
    wait_for,
)

HERE = Path(__file__).resolve()


def test_stop_all_ends_a_build_and_it_cleans_up(
    store: tuple[str, Path], engine: Engine, project: Project, base: str, tmp_path: Path
) -> None:
    hold_build(engine, project, "stop")
    (project.path / "Dockerfile").write_text((project.path / "Dockerfile.stop").read_text())
    before = {image.id for image in engine.images()}
    stopped: list[BaseException] = []
    secret = tmp_path / "secret"
    secret.write_text("JOBS=1\n")

    def build() -> None:
        try:
            project.build("one", base, node="stop", secret=str(secret))
        except process.Stopped as error:
            stopped.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    try:
        wait_for(
            lambda: (
                containers(engine)
                and (isinstance(engine, FakeEngine) or b"Z begun" in project.log.getvalue())
            )
        )
        process.stop_all(grace=20)
        thread.join()
        assert stopped
        with pytest.raises(process.Stopped):
            process.capture(["true"])
    finally:
        process.resume()
        let_go(engine, project, "stop")
    assert containers(engine) == []
    assert {image.id for image in engine.images()} == before
    assert runs_in(store[1]) == []


BUILDER = """
import sys
sys.path[:0] = {path!r}
from contract.support import Project, make_engine
from pathlib import Path
from stagegraph import leftovers, process, runs
kind, store, context, base, node = sys.argv[1:]
run = runs.open_run()
process.set_scratch(run.scratch)
project = Project(make_engine(kind, Path(store)), Path(context))
leftovers.register(project.engine.store(), run)
secret = run.secret("transport", "APT_MIRROR_URL=geheim\\n")
(project.path / "Dockerfile").write_text((project.path / f"Dockerfile.{{node}}").read_text())
request = project.request("one", base, secret=secret, node=node)
print(run.id, flush=True)
with open(context + ".log", "wb") as log:
    print(project.engine.build(request, log), flush=True)
run.close()
"""


def test_after_a_kill_the_next_run_sweeps_and_living_builds_go_on(
    store: tuple[str, Path], engine: Engine, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    builders = {}
    for node in ("killed", "living"):
        project = Project(engine, tmp_path / node)
        hold_build(engine, project, node)
        script = BUILDER.format(path=[str(HERE.parents[1]), *sys.path])
        argv = [sys.executable, "-c", script, store[0], str(store[1]), str(project.path), base, node]
        builders[node] = (project, subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
    ids = {}
    for node, (project, child) in builders.items():
        assert child.stdout is not None
        ids[node] = child.stdout.readline().strip()
        log = Path(f"{project.path}.log")
        begun = b"FROM" if isinstance(engine, FakeEngine) else b"Z begun"
        wait_for(lambda log=log, begun=begun: log.exists() and begun in log.read_bytes())
        if isinstance(engine, FakeEngine):
            wait_for(
                lambda n=node: any(
                    str(store[1]) in line and f"hold/{n}" in line for line in runs_in(store[1])
                )
            )
    assert leftovers.dead_in(engine.store()) == {}
    assert len(containers(engine)) == 2

    killed = builders["killed"][1]
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert killed.stdout is not None
    killed.stdout.close()
    wait_for(lambda: not any(str(tmp_path / "killed") in line for line in runs_in(store[1])))
    assert list(leftovers.dead_in(engine.store())) == list(runs.dead_runs()) == [ids["killed"]]
    assert leftovers.sweep(engine) == []
    assert len(containers(engine)) == 1
    assert leftovers.dead_in(engine.store()) == runs.dead_runs() == {}
    assert engine.sweep({}) == []

    project, living = builders["living"]
    let_go(engine, project, "living")
    assert living.stdout is not None
    image_id = living.stdout.read().strip()
    assert living.wait() == 0
    living.stdout.close()
    assert engine.inspect(image_id).config["Labels"] == {LABEL_NODE: "living", LABEL_SIGNATURE: "s1"}
    if isinstance(engine, FakeEngine):
        engine.unset("hold", "killed")
    assert containers(engine) == []
    secrets = subprocess.run(
        ["grep", "-rl", "geheim", str(tmp_path), str(store[1])], capture_output=True, text=True, check=False
    )
    assert [line for line in secrets.stdout.splitlines() if "/blobs/" not in line] == []
    assert [name for name in os.listdir(tmp_path / "TMPDIR") if not name.startswith("stagegraph-")] == []


@pytest.mark.parametrize("kind", REAL)
def test_a_killed_engine_is_an_error_and_leaves_no_container(
    kind: str, root_layout: str, tmp_path: Path
) -> None:
    engine = make_engine(kind, tmp_path / "store")
    try:
        project = Project(engine, tmp_path / "project")
        base = engine.load(root_layout)
        hold_build(engine, project, "x")
        (project.path / "Dockerfile").write_text((project.path / "Dockerfile.x").read_text())
        secret = tmp_path / "secret"
        secret.write_text("JOBS=1\n")
        errors: list[UserError] = []

        def build() -> None:
            try:
                project.build("one", base, secret=str(secret))
            except UserError as error:
                errors.append(error)

        thread = threading.Thread(target=build)
        thread.start()
        wait_for(lambda: b"Z begun" in project.log.getvalue())
        for pid, argv in processes():
            if argv[0] == kind and str(tmp_path / "store/root") in argv:
                os.kill(pid, signal.SIGKILL)
        thread.join()
        assert [error.code for error in errors] == ["engine-failed"]
        assert "was killed by signal 9" in errors[0].message
        assert containers(engine) == []
        assert runs_in(tmp_path / "store") == []
    finally:
        remove_store(tmp_path / "store")
