"""Whole processes, measured in alternation: A B C A B C …

On a machine that others use, two numbers taken one after the other cannot be compared; the two of a pair, taken
side by side, can. So what is reported is the median of the pairs' ratios, beside the medians themselves.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Command:
    """A process to measure: what it is called in the table, its words, where it runs.

    before: run ahead of every round, outside the measured time
    """

    title: str
    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], None] | None = None


@dataclass(frozen=True)
class Series:
    """The rounds of one command, in seconds; cpu includes that of all processes it waited for."""

    command: Command
    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    def ratio(self, other: Series) -> float:
        """How many times as long as ``other`` this took, as the median over the pairs of one round each."""
        return statistics.median(mine / its for mine, its in zip(self.wall, other.wall, strict=True))

    def cpu_ratio(self, other: Series) -> float:
        """The same by processor time, which other users of the machine disturb less."""
        return statistics.median(mine / max(its, 1e-6) for mine, its in zip(self.cpu, other.cpu, strict=True))


class Failed(Exception):
    """A command that was to be measured ended with an error; the message holds the end of its output."""


def alternate(commands: Sequence[Command], rounds: int, warmup: int = 1) -> list[Series]:
    """Measure the commands in turn, ``rounds`` times each; raises ``Failed``."""
    wall: list[list[float]] = [[] for _ in commands]
    cpu: list[list[float]] = [[] for _ in commands]
    for turn in range(-warmup, rounds):
        for number, command in enumerate(commands):
            took, used = once(command)
            if turn >= 0:
                wall[number].append(took)
                cpu[number].append(used)
    return [Series(c, tuple(w), tuple(u)) for c, w, u in zip(commands, wall, cpu, strict=True)]


def once(command: Command) -> tuple[float, float]:
    """Run a command; returns its wall and processor time in seconds. Raises ``Failed``."""
    if command.before is not None:
        command.before()
    output = os.memfd_create("output")
    try:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command.argv, cwd=command.cwd, env={**os.environ, **command.env},
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            os.lseek(output, 0, os.SEEK_SET)
            with open(output, encoding="utf-8", errors="replace", closefd=False) as stream:
                said = stream.read()[-2000:]
            raise Failed(f"{command.title} ended with status {process.returncode}:\n{said}")
    finally:
        os.close(output)
    return took, usage.ru_utime + usage.ru_stime
