"""What a run shows on the terminal: calm lines for starts and ends, one live line, a table at the end."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any, TextIO

from .model import Node

#: What became of a node.
ADOPTED = "adopted"
BUILT = "built"
EXPORTED = "exported"
SAVED = "saved"
ASSEMBLED = "assembled"
RELABELLED = "relabelled"

#: In the order of the table.
WORDS = (BUILT, ADOPTED, EXPORTED, SAVED, ASSEMBLED, RELABELLED)

#: Lines of a failed node's log that are shown.
TAIL_LINES = 25

#: What moves the cursor or colours: escape sequences, and control characters other than tab and newline.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Terminal:
    """Reports one run to a text stream; safe to use from several threads.

    The live line, what runs at this moment, is only drawn on a terminal that can take a line back. It goes before
    anybody else writes there: the standard streams of the process are put behind ``_Aside`` for that.
    """

    def __init__(self, stream: TextIO, root: str) -> None:
        self._stream = stream
        self._root = root
        self._begin = time.monotonic()
        self._lock = threading.RLock()
        self._running: dict[str, float] = {}
        self._done: dict[str, list[str]] = {}
        self._failed: list[str] = []
        self._live = stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
        self._inside_line = False
        self._closed = threading.Event()
        if self._live:
            for name in ("stdout", "stderr"):
                if getattr(sys, name).isatty():
                    setattr(sys, name, _Aside(getattr(sys, name), self))
            threading.Thread(target=self._draw_forever, daemon=True).start()

    def start(self, node: Node, what: str, reasons: list[str], log: str) -> None:
        more = f" (and {len(reasons) - 2} more)" if len(reasons) > 2 else ""
        because = "; ".join(reasons[:2]) + more
        with self._lock:
            self._running[node.name] = time.monotonic()
            self._line(f"{what:11}{node.name}: {because}")

    def end(self, node: Node, what: str, seconds: float) -> None:
        with self._lock:
            self._running.pop(node.name, None)
            self._done.setdefault(what, []).append(node.name)
            self._line(f"{what:11}{node.name} in {duration(seconds)}")

    def failed(self, node: Node, problem: str, log: str) -> None:
        """A node failed: the error, the tail of its log, where the rest is."""
        with self._lock:
            self._running.pop(node.name, None)
            self._failed.append(node.name)
            self._line(f"FAILED     {node.name}")
            if log:
                for line in self._tail(log):
                    self._stream.write(f"  | {line}\n")
                self._stream.write(f"  log: {log}\n")
            self._stream.write(f"  error: {plain(problem).replace(chr(10), chr(10) + '  ')}\n")
            self._stream.flush()

    def stopped(self, name: str) -> None:
        """A node does not run any more, because the run was told to stop."""
        with self._lock:
            self._running.pop(name, None)

    def has_failed(self, name: str) -> bool:
        """Whether this node failed in this run."""
        return name in self._failed

    def close(self, current: int, not_tried: list[str]) -> None:
        """The table at the end, nothing when nothing happened.

        current: how many nodes are up to date now; not_tried: the stale ones that had no turn
        """
        self._closed.set()
        with self._lock:
            self._take_back()
            if self._done or self._failed:
                self._table(current, not_tried)
            self._stream.flush()

    def say(self, lines: Iterable[str]) -> None:
        """Lines below the table."""
        with self._lock:
            self._stream.writelines(f"{line}\n" for line in lines)
            self._stream.flush()

    def _table(self, current: int, not_tried: list[str]) -> None:
        counts = {what: len(self._done.get(what, [])) for what in WORDS}
        counts["up to date"] = current - sum(counts.values())
        counts |= {"failed": len(self._failed), "not tried": len(not_tried)}
        shown = [f"{count} {what}" for what, count in counts.items() if count]
        self._stream.write(f"{', '.join(shown)} in {duration(time.monotonic() - self._begin)}\n")
        for what, names in (("failed", self._failed), ("not tried", not_tried)):
            for name in names:
                self._stream.write(f"  {what:10}{name}\n")

    def write_aside(self, stream: TextIO, text: str) -> None:
        """Write what somebody else has to say; no live line comes before the end of their line."""
        with self._lock:
            self._take_back()
            stream.write(text)
            if text:
                self._inside_line = not text.endswith("\n")

    def _take_back(self) -> None:
        """Erase the line that the cursor stands in: the live line, or what was typed; not what somebody began."""
        if self._live and not self._inside_line:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _line(self, text: str) -> None:
        self._take_back()
        self._inside_line = False
        self._stream.write(f"[{time.monotonic() - self._begin:7.1f}] {text}\n")
        self._stream.flush()

    def _tail(self, log: str) -> list[str]:
        try:
            with open(os.path.join(self._root, log), "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 16384))
                text = file.read().decode(errors="replace")
        except OSError as problem:
            return [f"(the log cannot be read: {problem.strerror})"]
        return [plain(line) for line in text.splitlines()[-TAIL_LINES:]]

    def _draw_forever(self) -> None:
        while not self._closed.wait(0.5):
            with self._lock:
                if self._closed.is_set() or self._inside_line or not self._running:
                    continue
                now = time.monotonic()
                what = ", ".join(f"{name} {duration(now - begin)}" for name, begin in self._running.items())
                width = os.get_terminal_size(self._stream.fileno()).columns or 80  # 0: it does not know
                self._take_back()
                self._stream.write(what[: max(10, width - 1)])
                self._stream.flush()


class _Aside:
    """A stream of the process, on which the live line is taken back before anybody writes."""

    def __init__(self, stream: TextIO, terminal: Terminal) -> None:
        self._stream = stream
        self._terminal = terminal

    def write(self, text: str) -> int:
        self._terminal.write_aside(self._stream, text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def plain(text: str) -> str:
    """``text`` without what would move the cursor or colour, whatever a program printed."""
    return _CONTROL.sub("", text)


def duration(seconds: float) -> str:
    """``3.2 s``, ``4 min 5 s``, ``1 h 2 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: int) -> str:
    """Bytes for people: ``1.6 GB`` (powers of ten)."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"
