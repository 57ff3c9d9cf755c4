"""One run that builds: its locks, its directory, its signals, its worker and its report.

A no-op has no session: nothing is locked, written or started for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator

from . import leftovers, outputs, process, runs
from .engines import detect
from .errors import UserError, from_missing_module, from_os_error
from .plan import UP_TO_DATE, Decision, Planner
from .records import write_atomically
from .report import Terminal
from .runs import StoreLock, TreeLock
from .work import Settings, Worker
from .world import Workspace

#: How long a stopped engine may clean up after itself, in seconds.
GRACE = 10.0


class Session:
    """Opened when a plan holds work, closed when SCons ends.

    out: the output directory, absolute; requested: names of the nodes of this run
    """

    def __init__(
        self, space: Workspace, planner: Planner, settings: Settings, out: str, requested: list[str]
    ) -> None:
        self.planner = planner
        self.requested = requested
        self._space = space
        self._tree_lock = TreeLock(out)
        self._tree_lock.acquire()
        self._store_lock: StoreLock | None = None
        self._run: runs.Run | None = None
        self._terminal = Terminal(sys.stdout, space.root)
        self._settings = settings
        self._worker: Worker | None = None
        self._lock = threading.Lock()
        _watch_signals()

    def bring_up_to_date(self, name: str) -> None:
        """Do what the plan says of one node and report it; raises ``UserError``."""
        worker = self.worker()
        with self._reported(name):
            worker.bring_up_to_date(name)

    def carry_out(self, decision: Decision) -> None:
        """Do what was decided outside the plan about one node and report it; raises ``UserError``."""
        worker = self.worker()
        with self._reported(decision.node.name):
            worker.carry_out(decision)

    @contextlib.contextmanager
    def _reported(self, name: str) -> Iterator[None]:
        try:
            yield
        except process.Stopped as problem:
            self._terminal.stopped(name)
            hint = "run the same command again; what was finished stays"
            raise UserError("run-stopped", f"{name} was stopped", hint=hint) from problem
        except OSError as problem:
            refused = from_os_error(problem)
            self.show_failure(name, str(refused))
            raise refused from problem
        except Exception as problem:
            self.show_failure(name, str(problem) if isinstance(problem, UserError) else repr(problem))
            raise

    def show_failure(self, name: str, text: str) -> None:
        """Report that a node failed, with the end of its log."""
        worker = self.worker()
        failing = worker.at_work.pop(name, None)
        node, log = failing if failing is not None else (self.planner.graph.nodes[name], "")
        self._terminal.failed(node, text, log)

    def worker(self) -> Worker:
        """The worker; what it needs of the engine and the disk is set up when the first node needs it."""
        with self._lock:
            if self._worker is None:
                engine = self._space.engine()
                try:
                    detect.check_version(engine)
                except ModuleNotFoundError as problem:
                    raise from_missing_module(problem) from problem
                self._store_lock = StoreLock(engine.store())
                self._store_lock.acquire(alone=False)
                for left in leftovers.sweep(engine):
                    sys.stderr.write(f"note: what a killed run left was not removed: {left}\n")
                self._run = runs.open_run()
                leftovers.register(engine.store(), self._run)
                process.set_scratch(self._run.scratch)
                register_roots(engine.store(), os.path.join(self._space.root, "out", "images"))
                self._worker = Worker(self._space, self.planner, self._run, self._settings, self._terminal)
            return self._worker

    def check(self) -> None:
        """At the end of a good run everything asked for has to be up to date still; raises ``UserError``.

        It is not when a file was edited while the run went on, or when a parent that had to be restored came out
        different after another child of it had been judged.
        """
        if self._worker is None:
            return
        nodes = self.planner.graph.closure(self.requested)
        edited = self._space.edited_values()
        edited += self._space.edited({node.dockerfile for node in nodes if node.dockerfile})
        if edited:
            raise UserError(
                "stale-after-run", f"{edited[0]} was edited during the run", hint="run the same command again"
            )
        again = Planner(self.planner.graph, self._space).plan(self.requested)
        stale = [decision for decision in again.values() if decision.state != UP_TO_DATE]
        if stale:
            first = stale[0]
            more = f" and {len(stale) - 1} more" if len(stale) > 1 else ""
            raise UserError(
                "stale-after-run",
                f"{first.node.name}{more} became stale during the run: {first.reasons[0]}",
                hint="run the same command again",
            )

    def close(self) -> None:
        """Show the table and let go of everything; called once, when SCons ends."""
        try:
            decisions = self.planner.decisions.values()
            current = [decision.node.name for decision in decisions if decision.state == UP_TO_DATE]
            stale = [decision.node.name for decision in decisions if decision.state != UP_TO_DATE]
            self._terminal.close(len(current), [name for name in stale if not self._terminal.has_failed(name)])
            self._terminal.say(outputs.sayings(self.planner.decisions))
        finally:
            if self._run is not None:
                self._close_run(self._run)
            if self._store_lock is not None:
                self._store_lock.release()
            self._tree_lock.release()

    def _close_run(self, run: runs.Run) -> None:
        try:
            run.close()
        except (OSError, UserError) as problem:
            sys.stderr.write(f"note: the files of this run were not removed, the next one will: {problem}\n")


def register_roots(store: str, images: str) -> None:
    """Tell the store that the records below ``images`` need their images: ``scons gc`` asks all checkouts."""
    directory = os.path.join(store, "roots")
    os.makedirs(directory, exist_ok=True)
    path = os.fsencode(images)
    write_atomically(os.path.join(directory, hashlib.sha256(path).hexdigest()[:16]), path + b"\n")


def _watch_signals() -> None:
    """Stop the engines at once on SIGINT, SIGTERM or SIGHUP.

    SCons sets its own handlers, after reading the SConstruct, which wait for running actions. The wake-up byte of the
    interpreter arrives all the same, so a thread that reads it needs no handler of its own.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    stopping = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}

    def watch() -> None:
        keep = sender  # the descriptor must live as long as the process
        grace = GRACE
        while keep:
            data = receiver.recv(64)
            if any(number in stopping for number in data):
                threading.Thread(target=process.stop_all, args=(grace,), daemon=True).start()
                grace = 0.0  # whoever asks twice has no time for cleaning up

    threading.Thread(target=watch, daemon=True, name="signals").start()
