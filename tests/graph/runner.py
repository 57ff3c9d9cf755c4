"""Runs scons many times in a second: SCons is imported once, then every run is a fork of this process.

``run_scons`` is one finished run; ``start_scons`` starts a process of its own for tests that send it signals. Both know the
fake engine by the name ``fake``. The state that a run leaves in SCons' modules dies with its process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import SCons.Script
import SCons.Script.Main

from fake_engine import FakeEngine
from stagegraph import artifact, ask, exports, gc, public, reproduce, room, rootfs, tree  # noqa: F401 - for the forks
from stagegraph.engines import detect

TESTS = Path(__file__).resolve().parents[1]
TOOLS = TESTS.parent / "site_scons" / "site_tools"

#: Seconds after which a run is killed.
TIMEOUT = 120


def know_fake_engine() -> None:
    """Add the fake engine in this process: in one that runs scons, never in the one that runs the tests."""
    detect.ENGINES["fake"] = lambda options: FakeEngine(options.root)
    room.FLOOR = 0  # its images are kilobytes, and the file system in memory that they lie in can be small


@dataclass(frozen=True)
class Result:
    """How a run ended: its exit status and what it printed."""

    rc: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Both streams, for messages of asserts."""
        return f"exit status {self.rc}\n--- stdout\n{self.stdout}--- stderr\n{self.stderr}"


def run_scons(
    words: Sequence[str],
    cwd: Path,
    scratch: Path,
    env: Mapping[str, str] | None = None,
    hook: Callable[[], None] | None = None,
) -> Result:
    """Run ``scons WORDS`` in ``cwd``; ``scratch`` is a directory for its output, ``env`` is laid over the environment.

    hook: called in the process of the run before anything is read
    """
    out, err = scratch / "stdout", scratch / "stderr"
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _child(words, cwd, out, err, env or {}, hook)
    _, status = os.waitpid(pid, 0)
    return Result(os.waitstatus_to_exitcode(status), out.read_text("utf-8"), err.read_text("utf-8"))


def _child(
    words: Sequence[str], cwd: Path, out: Path, err: Path, env: Mapping[str, str], hook: Callable[[], None] | None
) -> NoReturn:
    rc = 70
    try:
        # What the test runner registered is not ours to run, and a run that hangs is to end as a failure.
        atexit._clear()
        signal.alarm(TIMEOUT)
        for number, path in ((1, out), (2, err)):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(descriptor, number)
            os.close(descriptor)
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for the life of this process
        sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
        os.chdir(cwd)
        os.environ.update(env)
        SCons.Script._SConscript.launch_dir = str(cwd)  # which SCons takes when it is imported
        know_fake_engine()
        if hook is not None:
            hook()
        rc = _main(words)
    except BaseException:  # noqa: BLE001 - whatever it is, the test must see it
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(rc)


def _main(words: Sequence[str]) -> int:
    """What the program scons does, up to the end of the interpreter; returns its exit status."""
    sys.argv = ["scons", *words]
    rc = 0
    try:
        SCons.Script.Main.main()
    except SystemExit as end:
        rc = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    # The interpreter's order: threads, then what was registered to run at the end.
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    return rc


def start_scons(
    words: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None, terminal: int | None = None
) -> subprocess.Popen[str]:
    """Start ``scons WORDS`` as a process in a session of its own; its two streams come as one pipe.

    terminal: a terminal's descriptor; all three streams are there then, and its Ctrl-C goes to the session
    """
    code = "from graph import runner; import SCons.Script.Main; runner.know_fake_engine(); SCons.Script.Main.main()"
    if terminal is not None:
        code = f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); {code}"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TOOLS), str(TESTS)]), **(env or {})},
        stdin=subprocess.DEVNULL if terminal is None else terminal,
        stdout=subprocess.PIPE if terminal is None else terminal,
        stderr=subprocess.STDOUT if terminal is None else terminal,
        text=True,
        start_new_session=True,
    )


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something that a running scons is about to do."""
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.01)


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for the end; what it printed."""
    return process.communicate(timeout=60)[0]
