"""What a killed run leaves, and how the next run in the same store finds and removes it.

In a store a killed engine leaves a container, and beside it a copy of the secret in plain text. So every run is entered
in the store it builds into, in ``runs/<id>``, a file that it keeps locked and that names its directories. An entry that
nobody holds is that of a killed run, whatever places for temporary files the two runs were given.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from . import runs
from .engines.base import Engine
from .errors import UserError


def register(store: str, run: runs.Run) -> None:
    """Enter a run in a store, before it builds there; the entry goes with the run."""
    with runs.guard(_entries(store)):
        path = os.path.join(_entries(store), run.id)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, os.fsencode(f"{run.path}\0{run.scratch}"))
        run.hold(path, descriptor)


def dead_in(store: str) -> dict[str, list[str]]:
    """The killed runs that are entered in a store: run id → its directories, that of its secrets first."""
    found = {}
    with runs.guard(_entries(store)):
        for name in runs.names(_entries(store)):
            path = os.path.join(_entries(store), name)
            if not runs.is_locked(path):
                with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:  # its run may end at this moment
                    found[name] = os.fsdecode(file.read()).split("\0")
    return found


def sweep(engine: Engine) -> list[str]:
    """Remove what killed runs left in this store and in the places for temporary files.

    Returns a sentence for each thing that could not be removed: it must not keep the next run from its work.
    """
    problems = []
    dead = dead_in(engine.store())
    if dead:
        try:
            engine.sweep({run_id: directories[0] for run_id, directories in dead.items()})
        except UserError as problem:
            problems.append(problem.message)
        else:
            for run_id in dead:
                with contextlib.suppress(FileNotFoundError):  # another run sweeps the same
                    os.unlink(os.path.join(_entries(engine.store()), run_id))
    return problems + runs.remove_dead(path for directories in dead.values() for path in directories)


def _entries(store: str) -> str:
    directory = os.path.join(store, "runs")
    os.makedirs(directory, exist_ok=True)
    return directory
