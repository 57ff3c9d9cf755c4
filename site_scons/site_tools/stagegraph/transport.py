"""Transport settings: how bytes arrive and how fast, never what comes out.

They reach a RUN as the secret ``transport`` (``/run/transport``), a text of ``KEY=value`` lines, and so are in no
layer, history, cache key or signature.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from .errors import UserError


def text(settings: Mapping[str, str]) -> str:
    """The file's text; empty settings are left out. Raises ``UserError`` for a value that does not fit a line."""
    lines = []
    for name, value in sorted(settings.items()):
        if "\n" in value or "\r" in value or "\0" in value:
            raise UserError("transport-value", f"{name} holds a line break", hint="give it as one line")
        if value:
            lines.append(f"{name}={value}\n")
    return "".join(lines)


def share(parallel: int) -> dict[str, str]:
    """Job count and memory advice for one of ``parallel`` builds that run at once (JOBS; MEMORY_MB in MiB)."""
    cpus = len(os.sched_getaffinity(0))
    pages, size = os.sysconf("SC_AVPHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "JOBS": str(max(1, -(-cpus // parallel))),
        "MEMORY_MB": str(max(256, pages * size // 2**20 // parallel)),
    }
