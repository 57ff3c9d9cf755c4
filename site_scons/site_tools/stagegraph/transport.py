"""Transport settings: how bytes arrive and how fast, never what comes out.

They reach a RUN as the secret ``transport`` (``/run/transport``), a text of ``KEY=value`` lines, and so are in no
layer, history, cache key or signature.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from . import process
from .errors import UserError
from .parsecache import ParseCache


def text(settings: Mapping[str, str]) -> str:
    """The file's text; empty settings are left out. Raises ``UserError`` for a value that does not fit a line."""
    lines = []
    for name, value in sorted(settings.items()):
        if "\n" in value or "\r" in value or "\0" in value:
            raise UserError("transport-value", f"{name} holds a line break", hint="give it as one line")
        if value:
            lines.append(f"{name}={value}\n")
    return "".join(lines)


def host_mirror(cache: ParseCache) -> str:
    """The Debian mirror that this host's own apt is set up with, empty on a host that has none.

    Roots are made and packages fetched from where the host gets its own; the images do not show it. apt takes about
    a second to tell, so the answer is kept in ``cache`` until the host's list of sources changes.
    """
    if shutil.which("apt-get") is None:
        return ""
    key = f"host-mirror:{_sources_state()}"
    known = cache.get(key)
    if not isinstance(known, str):
        known = _ask_apt()
        if known:  # apt may just not have fetched its lists yet
            cache.put(key, known)
    return known


def _sources_state() -> str:
    """What changes when somebody edits /etc/apt/sources.list or a file in sources.list.d."""
    found = []
    for path in ("/etc/apt/sources.list", "/etc/apt/sources.list.d"):
        if os.path.exists(path):
            below = sorted(os.listdir(path)) if os.path.isdir(path) else []
            entries = [path, *(os.path.join(path, name) for name in below)]
            found += [f"{entry} {os.stat(entry).st_mtime_ns}" for entry in entries]
    return " ".join(found)


def _ask_apt() -> str:
    fields = "$(REPO_URI) $(ORIGIN)/$(LABEL)"
    told = process.capture(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"])
    for line in told.splitlines():
        address, _, origin = line.partition(" ")
        if origin == "Debian/Debian":
            return address.rstrip("/")
    return ""


def share(running: int) -> dict[str, str]:
    """Job count and memory advice (JOBS; MEMORY_MB in MiB) for a build that starts as one of ``running``.

    A build that starts alone gets all processors, so that the long steps at the end of a chain use them; one that
    starts beside others gets its part of them, rounded up.
    """
    cpus = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "JOBS": str(-(-cpus // running)),
        "MEMORY_MB": str(max(256, memory // 2**20 // running)),
    }
