"""kill -9 of scons in the middle of a real build: nothing runs on, the next start cleans up, nothing finished is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .checkout import Checkout, Result
from .machine import files_with, processes, wait_for

Small = Callable[[str], Checkout]
SCRIPT = "scripts/install-greet.sh"


@pytest.fixture
def foreign(small: Small) -> Iterator[str]:
    """A container that somebody made by hand in the store that the tests share."""
    checkout = small("foreign")
    checkout.good("bootstrap")
    name = f"by-hand-{uuid.uuid4()}"
    checkout.engine("from", "--pull-never", "--name", name, checkout.record("bootstrap-amd64")["image_id"])
    yield name
    checkout.engine("rm", name)


@pytest.mark.parametrize("engine", ["buildah", "podman"])
def test_kill_9_in_a_build(small: Small, foreign: str, tmp_path: Path, engine: str) -> None:
    checkout = small("kill")
    word, seconds, secret = f"--engine={engine}", f"86400.{uuid.uuid4().int % 10**12}", str(uuid.uuid4())
    # base is new and ends well, then tools hangs in its RUN.
    checkout.edit("greeting/word", f"{uuid.uuid4()}\n")
    places = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "TMPDIR": str(tmp_path / "scratch")}
    for place in places.values():
        os.mkdir(place, 0o700)
    env = {**places, "APT_MIRROR_URL": f"http://127.0.0.1:9/{secret}"}
    kept = [tmp_path, *Path(checkout.store, "root").glob("*-containers"), Path(checkout.options().runroot)]

    before = checkout.containers()
    with checkout.edited(SCRIPT, f"sleep {seconds}\n"):
        run = checkout.start("app-amd64", word, env=env)
        try:
            wait_for(lambda: processes(f"sleep {seconds}") or run.poll() is not None, "the RUN had begun")
            assert run.poll() is None, run.stdout and run.stdout.read()
            assert files_with(secret.encode(), *kept), "the secret is looked for in the wrong place"
            assert len(checkout.containers()) > 1, "the build's container is looked for in the wrong place"
        finally:
            run.kill()
        told = run.communicate()[0]
    assert Result(-9, told, "").nodes("built") == ["base"], told
    wait_for(lambda: not processes(f"sleep {seconds}"), "the RUN's child was gone")
    wait_for(lambda: not processes(secret) and not processes(f"{checkout.store}/root"), "the engine was gone")

    again = checkout.good("app-amd64", word, env=env)
    assert again.nodes("built") == ["app-amd64", "app:text", "tools"], again.text
    assert foreign in checkout.containers()
    assert checkout.containers() <= before
    assert files_with(secret.encode(), *kept) == []
    left = [path for place in places.values() for path in Path(place).glob("*/*")]
    assert [path for path in left if not path.name.startswith(".")] == []
    assert "is up to date" in checkout.good("--verify", "app-amd64", word).stdout


def test_ctrl_c_in_a_build(small: Small) -> None:
    checkout = small("interrupt")
    seconds = f"86400.{uuid.uuid4().int % 10**12}"
    with checkout.edited(SCRIPT, f"sleep {seconds}\n"):
        before = checkout.containers()
        run = checkout.start("tools")
        wait_for(lambda: processes(f"sleep {seconds}") or run.poll() is not None, "the RUN had begun")
        run.send_signal(signal.SIGINT)
        told = run.communicate()[0]
    assert run.returncode not in (0, None), told
    assert "Traceback" not in told
    assert not processes(f"sleep {seconds}")
    assert checkout.containers() == before
    assert "tools" not in checkout.records()


def test_two_runs_in_one_tree(small: Small) -> None:
    checkout = small("one-tree")
    seconds = f"86400.{uuid.uuid4().int % 10**12}"
    with checkout.edited(SCRIPT, f"sleep {seconds}\n"):
        run = checkout.start("tools")
        try:
            wait_for(lambda: processes(f"sleep {seconds}") or run.poll() is not None, "the RUN had begun")
            other = checkout.scons("tools")
            assert other.status == 2, other.text
            assert len(other.errors) == 1 and f"process {run.pid}" in other.errors[0], other.text
            assert "Traceback" not in other.text
            # Questions need no lock.
            assert checkout.scons("-q", "tools").status == 1
            assert "tools: has to be built" in checkout.good("--why", "tools").stdout
        finally:
            run.send_signal(signal.SIGTERM)
            told = run.communicate()[0]
    assert run.returncode != 0, told
    assert "tools" in checkout.good("tools").nodes("built") + checkout.good("--status", "tools").stdout.split()


def test_two_checkouts_at_once_on_one_store(small: Small) -> None:
    checkouts = [small("left"), small("right")]
    token = str(uuid.uuid4())
    for checkout in checkouts:
        checkout.edit("greeting/word", f"{token}\n")
    runs: list[subprocess.Popen[str]] = [checkout.start("-j2") for checkout in checkouts]
    told = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], "\n".join(told)
    left, right = ({n: r["content_id"] for n, r in c.records().items()} for c in checkouts)
    assert left == right
    for checkout in checkouts:
        for arch in ("amd64", "arm64"):
            text = (checkout.folder / f"out/app/{arch}/rootfs/etc/greeting").read_text()
            assert text.endswith(f"{token} {arch}\n")
        assert checkout.scons("-q").status == 0
        assert {record["image_id"] for record in checkout.records().values()} <= checkout.images()
