#!/usr/bin/env python3
"""The platform of the build, and the targets that a build mode has on it.

    build_mode.py MODE [TARGETS…]      print the targets of MODE; stop unless it has all of TARGETS

`cross` builds on one platform for every target; `native` builds each target on its own platform, under emulation where
that is not the machine's. TARGETS are arches, by comma or blank.
"""

from __future__ import annotations

import subprocess
import sys

from elf import TRIPLETS


def build_arch() -> str:
    """Return the architecture of the root that runs this, as Debian calls it."""
    return subprocess.run(["dpkg", "--print-architecture"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def targets(mode: str) -> list[str]:
    """Return the targets that are built for on this platform; stop for a mode that does not exist."""
    if mode == "cross":
        return list(TRIPLETS)
    if mode == "native":
        return [build_arch()]
    sys.exit(f"error: BUILD_MODE='{mode}' is no build mode\nhint: cross or native")


def require(mode: str, wanted: list[str]) -> list[str]:
    """Return the targets of the mode; stop unless all of `wanted` are among them."""
    known = targets(mode)
    for arch in wanted:
        if arch not in known:
            here = build_arch()
            hint = f"build on linux/{arch}" if arch in TRIPLETS else f"known are {', '.join(TRIPLETS)}"
            sys.exit(f"error: BUILD_MODE={mode} on linux/{here} builds for {', '.join(known)}, not for {arch}\nhint: {hint}")
    return known


if __name__ == "__main__":
    mode_asked, *lists = sys.argv[1:]
    print(*require(mode_asked, " ".join(lists).replace(",", " ").split()))
