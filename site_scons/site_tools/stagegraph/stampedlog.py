"""The log of a job: what it printed, each line behind the UTC time it began at."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO

from .errors import UserError


class StampedLog:
    """Writes a stream of bytes to a log with the time in front of each line, holding no line back.

    ``last`` is the beginning of the last line that ended.
    """

    def __init__(self, log: IO[bytes], line: Callable[[bytes], None] | None) -> None:
        self._log = log
        self._line = line
        self._begun = False
        self._head = b""
        self.last = ""

    def write(self, chunk: bytes) -> None:
        """Write ``chunk``; a line that it ends is reported to the callback."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z "
        prefix = stamp.encode("ascii")
        out = []
        for piece in _split(chunk):
            if not self._begun:
                out.append(prefix)
                self._begun = True
            out.append(piece)
            if len(self._head) < 1000:
                self._head += piece[: 1000 - len(self._head)]
            if piece.endswith(b"\n"):
                self._end_line()
        self._put(b"".join(out))

    def finish(self) -> None:
        """End a last line that has no end."""
        if self._begun:
            self._put(b"\n")
            self._end_line()

    def _end_line(self) -> None:
        self._begun = False
        head, self._head = self._head.rstrip(b"\r\n"), b""
        self.last = head.decode("utf-8", "replace")
        if self._line is not None:
            self._line(head)

    def _put(self, data: bytes) -> None:
        try:
            self._log.write(data)
            self._log.flush()
        except OSError as error:
            name = getattr(self._log, "name", "the log")
            raise UserError(
                "log-write", f"'{name}' cannot be written: {error.strerror}", hint="free space on that disk"
            ) from error


def _split(chunk: bytes) -> list[bytes]:
    """``chunk`` cut after each newline alone; a carriage return (a progress bar) stays inside its line."""
    pieces = chunk.split(b"\n")
    last = pieces.pop()
    return [piece + b"\n" for piece in pieces] + ([last] if last else [])
