"""What stands on a terminal: calm lines that stay, one live line that goes, and nothing of it where it cannot go."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .project import GRAPH, Project
from .runner import finish, wait_until
from .test_signals import is_waiting, processes_of, wait_until_gone

#: Two nodes that can run at once when ``base`` stands, and three when ``compiler`` does.
TWO = ("compiler:gcc", "compiler:clang")
THREE = ("sdk:sources", "sdk-arm64:spirv", "sdk-riscv64:spirv")

#: Lines that may be left at the end: what SCons says, starts and ends, the table.
CALM = re.compile(
    r"scons: .*"
    r"|\[ *[\d.]+\] (build  |built  |export|exported) +\S+(: never built| in [\d.]+ s)"
    r"|\d+ (built|failed|up to date)[a-z0-9, ]* in [\d.]+ s"
    r"|  not tried \S+"
)


class Screen:
    """As much of a terminal as is needed: CR, newline, erasing to the end of the line, and the edge.

    ``lines`` are whole, also those that went over the edge; ``last`` is the row that the cursor stands in.
    """

    def __init__(self, data: bytes, columns: int) -> None:
        rows: list[str] = []  # a row that goes on in the next has no newline
        row, column = "", 0
        for token in re.findall(r"\x1b\[[0-?]*[@-~]|.", data.decode(errors="replace"), re.DOTALL):
            if token == "\r":
                column = 0
            elif token == "\x1b[K":
                row = row[:column]
            elif token == "\n":
                rows.append(f"{row}\n")
                row, column = "", 0
            else:
                assert len(token) == 1 and token >= " ", f"this screen does not know {token!r}"
                row, column = row[:column].ljust(column) + token + row[column + 1 :], column + 1
                if column == columns:
                    rows.append(row)
                    row, column = "", 0
        self.last = row
        self.lines = "".join([*rows, row]).splitlines()


class Console:
    """scons on a terminal, and what it has written there so far."""

    def __init__(
        self, project: Project, *words: str, columns: int = 100, term: str = "xterm", **env: str
    ) -> None:
        self._columns = columns
        self._master, slave = os.openpty()
        self.data = b""
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        modes = termios.tcgetattr(slave)
        modes[1] &= ~termios.OPOST  # bytes come as they were written
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        self.process = project.start(*words, env={"TERM": term, **env}, terminal=slave)
        os.close(slave)

    @property
    def screen(self) -> Screen:
        """The terminal as it looks now."""
        return Screen(self.data, self._columns)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait(self, condition: Callable[[], object]) -> None:
        """Read until something is so."""
        deadline = time.monotonic() + 60
        while not condition():
            assert self._read(), f"scons has ended: {self.data!r}"
            assert time.monotonic() < deadline, f"it did not happen within a minute: {self.data!r}"

    def wait_for_live_line(self, *names: str) -> str:
        """Read until the live line names just these nodes, in any order; returns it."""
        each = r"\S+ \d+\.\d s"
        self.wait(
            lambda: (
                re.fullmatch(rf"{each}(, {each})*", self.screen.last)
                and {part.split()[0] for part in self.screen.last.split(", ")} == set(names)
            )
        )
        return self.screen.last

    def finish(self) -> int:
        """Read to the end; the exit status."""
        deadline = time.monotonic() + 60
        while self._read():
            assert time.monotonic() < deadline, f"it did not end within a minute: {self.data!r}"
        return self.process.wait(60)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(60)
        os.close(self._master)

    def _read(self) -> bool:
        """Take what has come, waiting a moment for it; whether somebody has the terminal open still."""
        if select.select([self._master], [], [], 0.02)[0]:
            try:
                self.data += os.read(self._master, 65536)
            except OSError:  # EIO: nobody has
                return False
        return True


@contextmanager
def console(
    project: Project, *words: str, columns: int = 100, term: str = "xterm", **env: str
) -> Iterator[Console]:
    """scons on a terminal, which is gone with the block."""
    started = Console(project, *words, columns=columns, term=term, **env)
    try:
        yield started
    finally:
        started.close()


def hold(project: Project, *nodes: str) -> None:
    """Let the builds of these nodes wait."""
    for node in nodes:
        project.engine.switch("hold", node)


def release(project: Project, *nodes: str) -> None:
    """Let them go on."""
    for node in nodes:
        project.engine.unset("hold", node)


def not_calm(screen: Screen) -> list[str]:
    """The lines on a screen that are no calm line; none may be left in the row of the cursor."""
    return [line for line in screen.lines if not CALM.fullmatch(line)] + [screen.last] * bool(screen.last)


def test_live_line_names_what_runs_and_goes(project: Project) -> None:
    project.good("base")
    hold(project, *TWO)
    with console(project, "-j2") as shown:
        shown.wait_for_live_line(*TWO)
        release(project, "compiler:gcc")
        shown.wait_for_live_line("compiler:clang")
        assert re.search(
            r"^\[ *[\d.]+\] built      compiler:gcc in \d", "\n".join(shown.screen.lines), re.MULTILINE
        )
        release(project, "compiler:clang")
        assert shown.finish() == 0, shown.data
        assert not_calm(shown.screen) == []
        assert re.fullmatch(r"10 built, 2 exported, 2 up to date in [\d.]+ s", shown.screen.lines[-1])


def test_live_line_is_cut_at_the_edge(project: Project) -> None:
    """A line that went over it could not be taken back: its first row would stay."""
    project.good("compiler")
    hold(project, *THREE)
    with console(project, "-j3", columns=40) as shown:
        shown.wait(lambda: len(shown.screen.last) == 39)
        assert re.fullmatch(r"\S+ \d\.\d s, \S+ \d.*", shown.screen.last)
        drawn = shown.screen.last
        shown.wait(lambda: len(shown.screen.last) == 39 and shown.screen.last != drawn)
        release(project, *THREE)
        assert shown.finish() == 0, shown.data
        assert not_calm(shown.screen) == []


def test_terminal_of_unknown_width(project: Project) -> None:
    hold(project, "compiler:clang")
    with console(project, "compiler:clang", columns=0) as shown:
        shown.wait(lambda: re.search(rb"\x1b\[Kcompiler:clang \d\.\d s", shown.data))
        release(project, "compiler:clang")
        assert shown.finish() == 0, shown.data


#: A target of the project's own that says something in two pieces, each when a file of that name is there.
SPEAKER = """
def speak(target, source, env):
    import os, sys, time
    for word in ("one", "two\\n"):
        while not os.path.exists(word.strip()):
            time.sleep(0.01)
        sys.stdout.write(word)
env.AlwaysBuild(env.Alias("speaker", [], env.Action(speak, cmdstr=None)))
"""


def test_what_others_say_has_its_own_line(place: Path) -> None:
    """SCons and actions of the project write to the terminal too, also while the live line is there."""
    project = Project(place / "project", place / "store", graph=GRAPH + SPEAKER)
    hold(project, "base")
    with console(project, "-j2", "speaker", "base") as shown:
        shown.wait_for_live_line("base")
        project.write("one", "")
        shown.wait(lambda: shown.screen.last == "one")
        wait_for_three_ticks()
        project.write("two", "")
        shown.wait(lambda: "onetwo" in shown.screen.lines)
        shown.wait_for_live_line("base")
        release(project, "base")
        assert shown.finish() == 0, shown.data
        assert not_calm(shown.screen) == ["onetwo"]


def test_no_colour_where_none_is_wanted(project: Project) -> None:
    """Neither of ours, nor of a program whose output is shown because it failed."""
    project.engine.switch("fail", "compiler:clang", "\x1b[1;31mE:\x1b[0m no such package\x1b[K")
    with console(project, NO_COLOR="1") as shown:
        assert shown.finish() == 2, shown.data
        assert not re.search(rb"\x1b\[[\d;]*m", shown.data)
        assert "  | Error: E: no such package" in shown.screen.lines


@pytest.mark.parametrize("term", ["dumb", ""])
def test_terminal_that_takes_nothing_back(project: Project, term: str) -> None:
    """It gets the calm lines alone, as a pipe does."""
    hold(project, "base")
    with console(project, "base", term=term) as shown:
        shown.wait(lambda: is_waiting(project, "base"))
        wait_for_three_ticks()
        release(project, "base")
        assert shown.finish() == 0, shown.data
        assert not re.search(rb"[\x1b\r]", shown.data)
        assert not_calm(shown.screen) == []


def test_pipe(project: Project) -> None:
    hold(project, "base")
    process = project.start("base", env={"TERM": "xterm"})
    wait_until(lambda: is_waiting(project, "base"), process)
    wait_for_three_ticks()
    release(project, "base")
    text = finish(process)
    assert process.returncode == 0, text
    assert not re.search(r"[\x1b\r]", text)
    assert [line for line in text.splitlines() if not CALM.fullmatch(line)] == []


def wait_for_three_ticks() -> None:
    """What must not come has had its time to come; a test that waits too short for it passes, and says less."""
    time.sleep(1.5)


def test_tail_of_a_log_stands_whole(project: Project) -> None:
    """A node fails while another runs: its lines are complete, whatever cursor its programs moved."""
    project.good("base")
    hold(project, *TWO)
    said = [f"line {number} {'x' * 60}" for number in range(12)]
    project.engine.switch("fail", "compiler:gcc", "\n".join([*said, "\x1b[2A\x1b[2Kover\rwritten"]))
    with console(project, "-j2") as shown:
        shown.wait_for_live_line(*TWO)
        release(project, "compiler:gcc")
        shown.wait_for_live_line("compiler:clang")
        release(project, "compiler:clang")
        assert shown.finish() == 2, shown.data
        lines = shown.screen.lines
        first = next(number for number, line in enumerate(lines) if "FAILED     compiler:gcc" in line)
        (log,) = [path for path in project.logs() if path.name == "compiler.gcc.log"]
        kept = [line for line in lines[first + 1 :] if line.startswith("  | ")]
        assert lines[first + 1 : first + 1 + len(kept)] == kept
        assert [line.removeprefix("  | ") for line in kept] == tail_of(log)
        assert kept[-14:] == [f"  | {line}" for line in [f"Error: {said[0]}", *said[1:], "over", "written"]]
        assert lines[first + 1 + len(kept)] == f"  log: {log.relative_to(project.path)}"
        after = lines.index("  not tried compiler") - 2
        assert re.fullmatch(r"1 built, 2 up to date, 1 failed, 10 not tried in [\d.]+ s", lines[after])
        assert lines[after + 1] == "  failed    compiler:gcc"
        assert [line for line in lines if re.search(r"compiler:clang \d", line)] == []


def tail_of(log: Path) -> list[str]:
    """The lines of a log without what moves the cursor: the little of it that is in there."""
    return log.read_text("utf-8").replace("\x1b[2A\x1b[2K", "").splitlines()


@pytest.mark.parametrize("jobs", ["-j1", "-j2"])
def test_ctrl_c(project: Project, jobs: str) -> None:
    """It ends the run with the table, and nothing of the live line or of the key is left."""
    held = TWO[: int(jobs[2:])]
    hold(project, *held)
    with console(project, jobs, *TWO) as shown:
        shown.wait_for_live_line(*held)
        shown.wait(lambda: all(is_waiting(project, node) for node in held))
        shown.type(b"\x03")
        assert shown.finish() == 2, shown.data
        assert not_calm(shown.screen) == []
        table = [line for line in shown.screen.lines if not line.startswith(("scons: ", "["))]
        assert re.fullmatch(r"2 built, 2 not tried in [\d.]+ s", table[0])
        assert table[1:] == [f"  not tried {node}" for node in TWO]
    wait_until_gone(project)


def test_node_that_was_stopped_leaves_the_live_line(project: Project) -> None:
    """One engine ends on Ctrl-C at once, the other takes its time: that one alone runs then."""
    hold(project, *TWO)
    with console(project, "-j2", *TWO) as shown:
        shown.wait_for_live_line(*TWO)
        shown.wait(lambda: all(is_waiting(project, node) for node in TWO))
        slow = child_of_build(project, "compiler:gcc")
        os.kill(slow, signal.SIGSTOP)
        shown.type(b"\x03")
        shown.wait_for_live_line("compiler:gcc")
        os.kill(slow, signal.SIGCONT)
        assert shown.finish() == 2, shown.data
        assert not_calm(shown.screen) == []
    wait_until_gone(project)


def child_of_build(project: Project, node: str) -> int:
    """The process that waits in the held build of a node, not what guards it."""
    (found,) = [
        pid
        for pid in processes_of(project)
        if (words := Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))[0] == os.fsencode(sys.executable)
        and words[-2].endswith(f"/hold/{node}".encode())
    ]
    return found
