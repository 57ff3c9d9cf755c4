"""Child processes: their logs, their errors, and that they end when they must."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stagegraph import process
from stagegraph.errors import UserError

STAMP = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "


@pytest.fixture(params=["namespaces", "session"])
def guard(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to hold a child: as root, and without that right."""
    kind: str = request.param
    if kind == "namespaces" and not process._unshare_works():
        pytest.skip("namespaces cannot be made here")
    monkeypatch.setattr(process, "_can_unshare", kind == "namespaces")
    return kind


@pytest.fixture(autouse=True)
def resumed() -> Iterator[None]:
    yield
    process.resume()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited for a minute in vain"
        time.sleep(0.01)


def alive(word: str) -> list[int]:
    """The processes that have ``word`` among their arguments."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as stream:
                    if word.encode() in stream.read().split(b"\0"):
                        found.append(int(name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def test_each_line_of_a_log_has_its_time(guard: str) -> None:
    log, heads = io.BytesIO(), []
    script = r"printf 'one\n\ntwo\rthree\n\377\0bytes\nno end'; exit 3"
    assert process.run(["sh", "-c", script], log, line=heads.append) == 3
    lines = re.split(rb"^" + STAMP, log.getvalue(), flags=re.MULTILINE)
    assert lines == [b"", b"one\n", b"\n", b"two\rthree\n", b"\xff\0bytes\n", b"no end\n"]
    assert heads == [b"one", b"", b"two\rthree", b"\xff\0bytes", b"no end"]


def test_a_line_begins_in_the_log_before_it_ends(guard: str) -> None:
    log = io.BytesIO()
    thread = threading.Thread(target=_stopped, args=(["sh", "-c", "printf begun; exec sleep 1000"], log))
    thread.start()
    wait_for(lambda: log.getvalue().endswith(b"begun"))
    process.stop_all(grace=0)
    thread.join()


def _stopped(argv: list[str], log: io.BytesIO) -> None:
    with pytest.raises(process.Stopped):
        process.run(argv, log)


def test_long_output_without_lines_does_not_fill_memory(guard: str) -> None:
    class Counter(io.RawIOBase):
        size = largest = 0

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.size += len(data)
            self.largest = max(self.largest, len(data))
            return len(data)

    log, heads = Counter(), []
    assert process.run(["head", "-c", "20000000", "/dev/zero"], log, line=heads.append) == 0  # type: ignore[arg-type]
    assert log.size == 20_000_000 + len("2026-11-23T03:58:00.123Z ") + 1
    assert log.largest < 100_000
    assert [len(head) for head in heads] == [1000]


def test_a_grandchild_that_keeps_the_pipe_open_does_not_hold_us(guard: str, tmp_path: Path) -> None:
    word = f"0.{os.getpid()}{time.time_ns()}"
    script = f"echo begun; (sleep 1000 {word}) & exit 0"
    log = io.BytesIO()
    assert process.run(["sh", "-c", script], log) == 0
    assert b"begun" in log.getvalue()
    wait_for(lambda: not alive(word))


def test_a_grandchild_with_a_session_of_its_own_does_not_hold_us_either(guard: str) -> None:
    log = io.BytesIO()
    assert process.run(["sh", "-c", "echo begun; setsid sleep 3 & exit 0"], log) == 0
    assert b"begun" in log.getvalue()


def test_the_environment_is_an_allow_list(
    guard: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("BUILDAH_LAYERS", "SOURCE_DATE_EPOCH", "http_proxy", "LC_ALL", "PYTHONPATH"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    log = io.BytesIO()
    assert process.run(["env"], log, env={"EXTRA": "1"}) == 0
    seen = dict(line.split("=", 1) for line in re.sub(STAMP, b"", log.getvalue()).decode().splitlines())
    assert set(seen) <= {*process.ENV_ALLOWED, "EXTRA"}
    assert (seen["LANG"], seen["EXTRA"]) == ("C.UTF-8", "1")
    process.set_scratch(str(tmp_path))
    try:
        assert process.capture(["sh", "-c", "echo $TMPDIR"]) == f"{tmp_path}\n"
    finally:
        process.set_scratch("")


def test_arguments_are_not_read_by_a_shell(guard: str) -> None:
    words = ["a b", "$(touch x)", "'", '"', "new\nline", "*", ""]
    argv = [sys.executable, "-c", "import sys; print(sys.argv[1:])", *words]
    assert process.capture(argv) == f"{words}\n"
    with process.stream(argv) as pipe:
        assert pipe.read().decode() == f"{words}\n"


def test_a_failed_question_tells_the_end_of_what_was_said() -> None:
    with pytest.raises(process.CommandError) as error:
        process.capture(["sh", "-c", "seq 10000 >&2; echo 'Error: no such thing' >&2; echo >&2; exit 4"])
    assert (error.value.code, error.value.status) == ("command-failed", 4)
    assert error.value.message == "'sh' failed with status 4: Error: no such thing"
    assert len(error.value.tail) < 5000
    assert "sh -c" in error.value.hint


def test_a_missing_program_is_an_error(guard: str) -> None:
    def stream() -> None:
        with process.stream(["no-such-program"]):
            pass

    for call in (
        lambda: process.capture(["no-such-program"]),
        stream,
        lambda: process.run(["no-such-program"], io.BytesIO()),
    ):
        with pytest.raises(process.CommandError) as error:
            call()
        assert error.value.code == "command-missing"
        assert "no-such-program" in error.value.message


def test_a_program_that_ends_with_127_is_not_missing(guard: str) -> None:
    assert process.run(["sh", "-c", "exit 127"], io.BytesIO()) == 127


def test_a_killed_program_has_the_signal_as_status(guard: str) -> None:
    argv = ["sh", "-c", "sleep 1000 & kill -9 $!; wait $!; exit $?"]
    assert process.run(argv, io.BytesIO()) == 137
    log = io.BytesIO()
    child = "import os,signal; print(flush=True); os.kill(int(os.readlink('/proc/self')), signal.SIGTERM)"
    if guard == "session":  # the first process of a namespace ignores what it sends to itself
        assert process.run([sys.executable, "-c", child], log) == -signal.SIGTERM


def test_a_stream_is_read_to_its_end_and_its_status_checked(guard: str) -> None:
    with process.stream(["seq", "100000"]) as pipe:
        assert pipe.readline() == b"1\n"
    with (
        pytest.raises(process.CommandError) as error,
        process.stream(["sh", "-c", "seq 9; echo why >&2; exit 2"]) as pipe,
    ):
        assert pipe.readline() == b"1\n"
    assert error.value.message == "'sh' failed with status 2: why"


def test_a_stream_that_is_given_up_is_killed(guard: str) -> None:
    word = f"0.{os.getpid()}{time.time_ns()}"
    with pytest.raises(ZeroDivisionError), process.stream(["sleep", "1000", word]):
        wait_for(lambda: alive(word))
        raise ZeroDivisionError
    wait_for(lambda: not alive(word))


def test_a_log_on_a_full_disk_is_an_error_and_the_child_is_gone(guard: str) -> None:
    word = f"0.{os.getpid()}{time.time_ns()}"
    with open("/dev/full", "wb", buffering=0) as log, pytest.raises(UserError) as error:
        process.run(["sh", "-c", f"echo x; exec sleep 1000 {word}"], log)
    assert error.value.code == "log-write"
    assert "/dev/full" in error.value.message
    wait_for(lambda: not alive(word))


def test_threads_that_begin_at_once_guard_their_children_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gets the one answer, also while another thread is still asking whether namespaces can be made."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(process, "_can_unshare", None)
    monkeypatch.setattr(process, "_namespaces", lambda: ["sh", "-c", 'sleep 0.3; exec "$@"', "sh"])
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: process._unshare_works(), range(4))) == [True] * 4


def test_stop_all_lets_a_child_clean_up(guard: str, tmp_path: Path) -> None:
    log = io.BytesIO()
    script = f"trap 'touch {tmp_path}/cleaned; exit 1' TERM; echo ready; while :; do sleep 0.01; done"
    thread = threading.Thread(target=_stopped, args=(["sh", "-c", script], log))
    thread.start()
    wait_for(lambda: b"ready" in log.getvalue())
    process.stop_all(grace=60)
    thread.join()
    assert (tmp_path / "cleaned").exists()
    for call in (lambda: process.capture(["true"]), lambda: process.run(["true"], io.BytesIO())):
        with pytest.raises(process.Stopped):
            call()
    assert process.capture(["echo", "x"], cleaning=True) == "x\n"
    with pytest.raises(process.Stopped):
        process.check_stopped()


def test_stop_all_kills_what_does_not_listen(guard: str) -> None:
    word = f"0.{os.getpid()}{time.time_ns()}"
    log = io.BytesIO()
    argv = ["sh", "-c", f"trap '' TERM; echo ready; sleep 1000 {word}"]
    thread = threading.Thread(target=_stopped, args=(argv, log))
    thread.start()
    wait_for(lambda: b"ready" in log.getvalue() and alive(word))
    process.stop_all(grace=0.05)
    thread.join()
    wait_for(lambda: not alive(word))


@pytest.mark.parametrize("way", ["run", "stream", "capture"])
def test_a_kill_of_our_own_process_kills_its_children(guard: str, way: str) -> None:
    word, below = (f"0.{os.getpid()}{time.time_ns()}{digit}" for digit in (1, 2))
    script = textwrap.dedent(
        f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from stagegraph import process
        process._can_unshare = {guard == "namespaces"}
        argv = ["sh", "-c", "sleep 1000 {below} & exec sleep 1000 {word}"]
        if {way == "run"}:
            process.run(argv, open("/dev/null", "wb"))
        if {way == "capture"}:
            process.capture(argv, guarded=True)
        with process.stream(argv) as pipe:
            pipe.read()
        """
    )
    with subprocess.Popen([sys.executable, "-c", script]) as child:
        wait_for(lambda: alive(word) and alive(below))
        child.kill()
    wait_for(lambda: not alive(word))
    if guard == "namespaces":
        wait_for(lambda: not alive(below))
    else:  # the death signal alone reaches the child, not what that started
        for pid in alive(below):
            os.kill(pid, signal.SIGKILL)


def test_a_child_that_comes_after_our_death_does_nothing(guard: str, tmp_path: Path) -> None:
    """Between a fork and the wish for a death signal we can be killed: the child finds another parent than the one named."""
    command = process.kill_proof(["touch", str(tmp_path / "ran")])
    index = command.index(str(os.getpid()))
    late = [*command[:index], "1", *command[index + 1 :]]
    assert subprocess.run(late, check=False, capture_output=True).returncode == 1
    assert not (tmp_path / "ran").exists()
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert (tmp_path / "ran").exists()
