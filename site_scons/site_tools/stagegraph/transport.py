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
from .model import Node
from .parsecache import ParseCache

#: Where Debian and its relatives keep the certificates that the host trusts.
HOST_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def text(settings: Mapping[str, str]) -> str:
    """The file's text; empty settings are left out. Raises ``UserError`` for a value that does not fit a line."""
    lines = []
    for name, value in sorted(settings.items()):
        if "\n" in value or "\r" in value or "\0" in value:
            raise UserError("transport-value", f"{name} holds a line break", hint="give it as one line")
        if value:
            lines.append(f"{name}={value}\n")
    return "".join(lines)


def takes_ca_bundle(node: Node) -> bool:
    """Whether a RUN of the step mounts the secret ``ca-bundle``."""
    return any("id=ca-bundle" in line for line in node.instructions)


def ca_bundle(given: str) -> str:
    """The certificates with which a RUN checks servers: the file ``given``, else the host's own, empty without one.

    A network may have an authority of its own that only its hosts trust. What is downloaded is verified by a digest in
    any case, so this decides whether something arrives and never what. Raises ``UserError`` code transport-value.
    """
    if given and not os.access(given, os.R_OK):
        raise UserError("transport-value", f"CA_BUNDLE names {given!r}, which cannot be read", hint="name a file of PEM certificates")
    return given or (HOST_CA_BUNDLE if os.access(HOST_CA_BUNDLE, os.R_OK) else "")


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
