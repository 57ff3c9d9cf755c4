"""Child processes that cannot outlive us: engines, tar, mmdebstrap.

A killed scons must leave no engine behind: it would go on writing to the store and keep a secret on disk. As root each
child is the first process of a PID and mount namespace of its own; the kernel kills all that run in there, and drops
their mounts, when the process in front of it dies, and that one dies with us (PR_SET_PDEATHSIG). Without that right a
child gets a session of its own and the same death signal, and its process group is killed when it ends.

The death signal follows the *thread* that started a child, so a child must be started and awaited in one thread;
``run``, ``stream`` and ``capture`` do so.

Arguments are always lists, no shell reads them. The environment is an allow list: settings such as BUILDAH_LAYERS or a
proxy of the user's shell would change what is built without being an input of it.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

from .errors import UserError
from .stampedlog import StampedLog

#: What a child sees of our environment. Everything else is dropped on purpose.
ENV_ALLOWED = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS", "REGISTRY_AUTH_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR",
    # By which an engine inside `buildah unshare` knows whose store it works in.
    "_CONTAINERS_USERNS_CONFIGURED", "_CONTAINERS_ROOTLESS_UID", "_CONTAINERS_ROOTLESS_GID",
)  # fmt: skip

#: Seconds that output may still arrive after the child itself ended (a grandchild can hold the pipe open for ever).
_DRAIN = 0.2

#: What ``unshare`` of util-linux 2.38 says, with status 1, when the program inside was killed by KILL: it wants to end by the
#: same signal and cannot unblock it.
_UNSHARE_KILLED = "unshare: sigprocmask unblock failed"

_CHUNK = 65536
_TAIL = 4096


class Stopped(Exception):
    """The run was told to stop: no new child starts, and a child that ended meanwhile says nothing about its job."""


class CommandError(UserError):
    """A child process failed or could not be started.

    argv:   the command as we were asked to run it
    status: its exit status, negative for a signal, 127 when the program is missing
    tail:   the last lines it printed
    """

    def __init__(
        self, code: str, message: str, argv: Sequence[str], status: int, tail: str, *, hint: str = ""
    ) -> None:
        super().__init__(code, message, hint=hint)
        self.argv = list(argv)
        self.status = status
        self.tail = tail


class _Child:
    """A running child. ``wrapped``: what was asked for runs one level below ``unshare``; ``polite``: it knows TERM."""

    def __init__(self, process: subprocess.Popen[bytes], wrapped: bool, polite: bool) -> None:
        self.process = process
        self.wrapped = wrapped
        self.polite = polite
        self.reaped = False

    def inner(self) -> list[int]:
        """The processes that a polite TERM belongs to: those below ``unshare``, else the child itself."""
        pid = self.process.pid
        if not self.wrapped:
            return [pid]
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as stream:
                return [int(word) for word in stream.read().split()]
        except OSError:
            return []

    def terminate(self) -> None:
        """Ask it to end and to clean up."""
        for pid in self.inner():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill it and its process group. Only while it is not reaped: its id cannot be somebody else's then."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def ended(self) -> bool:
        """Whether it has ended, reaped or not."""
        if self.reaped:
            return True
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        try:
            return os.waitid(os.P_PID, self.process.pid, flags) is not None
        except ChildProcessError:
            return True

    def wait(self) -> None:
        """Wait for its end without reaping it, so that its process group can still be killed safely."""
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)


_lock = threading.Lock()
_children: set[_Child] = set()
_stopping = False
_scratch = ""
_can_unshare: bool | None = None
_probing = threading.Lock()


def set_scratch(directory: str) -> None:
    """Give every child started from now on this TMPDIR, so that what a killed one leaves there is found again."""
    global _scratch
    _scratch = directory


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: the allow list, our scratch directory as TMPDIR, then ``extra``."""
    env = {name: os.environ[name] for name in ENV_ALLOWED if name in os.environ}
    env.setdefault("PATH", os.defpath)
    if _scratch:
        env["TMPDIR"] = _scratch
    env.update(extra or {})
    return env


def _unshare_works() -> bool:
    """Whether we may make namespaces; asked once, by making some. A thread that comes meanwhile waits for the answer."""
    global _can_unshare
    with _probing:
        if _can_unshare is None:
            _can_unshare = False
            if os.geteuid() == 0:
                with contextlib.suppress(OSError):
                    probe = subprocess.run(
                        [*_namespaces(), "true"], stdin=subprocess.DEVNULL, capture_output=True,
                        env=environment(), check=False,
                    )  # fmt: skip
                    _can_unshare = probe.returncode == 0
        return _can_unshare


#: Goes on only while we live: a signal asked for after our death never comes. The words behind it are no shell's to read; what
#: a shell adds to the environment is taken out again.
_WHILE_WE_LIVE = 'test "$PPID" = "$0" || exit 1; unset PWD OLDPWD SHLVL; exec "$@"'


def _dies_with_us() -> list[str]:
    return ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", _WHILE_WE_LIVE, str(os.getpid())]


def _namespaces() -> list[str]:
    return [
        *_dies_with_us(),
        *("unshare", "--pid", "--mount", "--fork", "--kill-child=KILL", "--mount-proc", "--"),
    ]


def kill_proof(argv: Sequence[str]) -> list[str]:
    """``argv`` with what makes it die with us in front (see the module's text)."""
    if _unshare_works():
        return [*_namespaces(), *argv]
    return [*_dies_with_us(), *argv]


@contextlib.contextmanager
def _started(
    argv: Sequence[str],
    *,
    cwd: str | None,
    env: Mapping[str, str] | None,
    stdout: int,
    stderr: int,
    guarded: bool,
    polite: bool = True,
    cleaning: bool = False,
) -> Iterator[_Child]:
    """Start a registered child; at the end of the block whatever is left of it is killed and reaped."""
    command = kill_proof(argv) if guarded else list(argv)
    if guarded and not _installed(argv[0]):
        raise _not_started(argv, argv[0], cwd, FileNotFoundError())
    with _lock:
        if _stopping and not cleaning:
            raise Stopped()
        try:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment(env),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except OSError as error:
            raise _not_started(argv, command[0], cwd, error) from error
        child = _Child(process, guarded and _unshare_works(), polite)
        _children.add(child)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        with _lock:
            process.wait()
            child.reaped = True
            _children.discard(child)


def _installed(program: str) -> bool:
    # Late: questions at the start of a run need no search, and the import costs time.
    import shutil

    return shutil.which(program, path=environment()["PATH"]) is not None


def _not_started(argv: Sequence[str], program: str, cwd: str | None, error: OSError) -> CommandError:
    if isinstance(error, FileNotFoundError) and (cwd is None or os.path.isdir(cwd)):
        return CommandError(
            "command-missing", f"'{program}' is not installed", argv, 127, "", hint="run ./sconsw setup"
        )
    said = f"'{argv[0]}' could not be started: {error.strerror}"
    return CommandError("command-failed", said, argv, 126, "", hint="check the program and its rights")


def _status(child: _Child, tail: str = "") -> int:
    """The exit status of a reaped child; ``Stopped`` when the run was stopped and it did not end well."""
    status: int = child.process.returncode
    if child.wrapped and status == 1 and _UNSHARE_KILLED in tail:
        status = -signal.SIGKILL
    if _stopping and status != 0:
        raise Stopped()
    return status


def run(
    argv: Sequence[str],
    log: IO[bytes],
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    line: Callable[[bytes], None] | None = None,
) -> int:
    """Run a long job; each line of its output goes to ``log`` behind the UTC time (milliseconds) it began at.

    Bytes are kept as they are, a last line without an end gets one. ``line`` is called with the beginning of every
    line (at most 1000 bytes, without its end). Returns the exit status, negative for a signal. Raises ``CommandError`` when
    the program is missing, ``Stopped`` after ``stop_all``, and ``UserError`` code ``log-write`` when the log cannot be
    written; the child is gone in every case.
    """
    read_end, write_end = os.pipe()
    writer = StampedLog(log, line)
    try:
        with _started(
            argv, cwd=cwd, env=env, stdout=write_end, stderr=subprocess.STDOUT, guarded=True
        ) as child:
            os.close(write_end)
            write_end = -1
            for chunk in _output(read_end, child.process.pid):
                writer.write(chunk)
            writer.finish()
            child.wait()
        return _status(child, writer.last)
    finally:
        os.close(read_end)
        if write_end >= 0:
            os.close(write_end)


def _output(pipe: int, pid: int) -> Iterator[bytes]:
    """What arrives in ``pipe`` until its end, or until shortly after the process ended."""
    os.set_blocking(pipe, False)
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    poll.register(ended, select.POLLIN)
    deadline: float | None = None
    try:
        while True:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = {fd for fd, _ in poll.poll(wait)}
            if ended in ready:
                poll.unregister(ended)
                deadline = time.monotonic() + _DRAIN
            if pipe in ready:
                chunk = os.read(pipe, _CHUNK)
                if not chunk:
                    return
                yield chunk
            elif deadline is not None and time.monotonic() >= deadline:
                return
    finally:
        os.close(ended)


def capture(
    argv: Sequence[str],
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    cleaning: bool = False,
    guarded: bool = False,
) -> str:
    """The standard output of a question, or of a short job; one that takes longer is ``guarded`` to die with us.

    Raises ``CommandError`` with the command and the end of its standard error when it fails or is missing, ``Stopped``
    after ``stop_all``, unless it is for ``cleaning`` up behind what was stopped.
    """
    # Files in memory, not pipes: nothing can block on them, whoever keeps them open.
    out, err = os.memfd_create("stdout"), os.memfd_create("stderr")
    try:
        with _started(
            argv, cwd=cwd, env=env, stdout=out, stderr=err, guarded=guarded, cleaning=cleaning
        ) as child:
            child.wait()
        status = child.process.returncode if cleaning else _status(child, _tail(err))
        if status != 0:
            raise failed(argv, status, _tail(err))
        return _content(out).decode("utf-8", "replace")
    finally:
        os.close(out)
        os.close(err)


@contextlib.contextmanager
def stream(
    argv: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None
) -> Iterator[IO[bytes]]:
    """The standard output of a long job as a pipe, for the length of the block.

    When the block ends well, what it left unread is read and the exit status checked (``CommandError``); when it ends
    with an exception the child is killed.
    """
    err = os.memfd_create("stderr")
    try:
        with _started(
            argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=err, guarded=True, polite=False
        ) as child:
            pipe = child.process.stdout
            assert pipe is not None
            with pipe:
                yield pipe
                while pipe.read(_CHUNK):
                    pass
            child.wait()
        status = _status(child, _tail(err))
        if status != 0:
            raise failed(argv, status, _tail(err))
    finally:
        os.close(err)


def failed(argv: Sequence[str], status: int, tail: str) -> CommandError:
    """The error for a command that ended with ``status``; its last line of output stands in the sentence."""
    how = f"was killed by signal {-status}" if status < 0 else f"failed with status {status}"
    last = next((line for line in reversed(tail.splitlines()) if line.strip()), "").strip()
    if len(last) > 240:  # a whole RUN with its mounts: its beginning says which, its end how it failed
        last = f"{last[:120]} … {last[-80:]}"
    said = f": {last}" if last else ""
    return CommandError(
        "command-failed", f"'{os.path.basename(argv[0])}' {how}{said}", argv, status, tail,
        hint=f"the command was: {shlex.join(argv)}",
    )  # fmt: skip


def _content(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def _tail(fd: int) -> str:
    size = os.fstat(fd).st_size
    return os.pread(fd, _TAIL, max(0, size - _TAIL)).decode("utf-8", "replace").strip()


def stop_all(grace: float = 10.0) -> None:
    """Let no new child start; ask the running ones to end (TERM), kill what is left after ``grace`` seconds.

    For a thread that watches for signals; returns when all have ended. A second call with a shorter grace hurries them.
    """
    global _stopping
    with _lock:
        _stopping = True
        children = list(_children)
        for child in children:
            if not child.reaped:
                child.terminate() if child.polite else child.kill()
    deadline = time.monotonic() + grace
    while not all(child.ended() for child in children):
        if time.monotonic() >= deadline:
            with _lock:
                for child in children:
                    if not child.reaped:
                        child.kill()
        time.sleep(0.02)


def check_stopped() -> None:
    """Raise ``Stopped`` after ``stop_all``: for a job that ended without a result and yet with status 0 (podman, on TERM)."""
    if _stopping:
        raise Stopped()


def resume() -> None:
    """Allow children again after ``stop_all`` (tests run many times in one process)."""
    global _stopping
    _stopping = False
