#!/usr/bin/env python3
"""Package names that differ between distributions, one table a distribution.

    distribution.py PACKAGE…      print the names that this root's distribution has for these packages

The scripts name packages as Debian stable does. A table holds only what another distribution calls otherwise.
"""

from __future__ import annotations

import sys
from pathlib import Path

RENAMED: dict[str, dict[str, str]] = {
    "debian": {},
    "ubuntu": {
        "libxml2": "libxml2-16",
        "qemu-user": "qemu-user-static",
    },
}


def distribution(os_release: str) -> str:
    """Return the ID of the text of an os-release file, for example "debian"."""
    for line in os_release.splitlines():
        key, _, value = line.partition("=")
        if key == "ID":
            return value.strip("\"'")
    return ""


def local_names(packages: list[str], os_release: Path = Path("/etc/os-release")) -> list[str]:
    """Return what this root's distribution calls `packages`; stop if the distribution has no table."""
    name = distribution(os_release.read_text())
    if name not in RENAMED:
        sys.exit(f"error: no package names are known for the distribution {name!r}\nhint: add a table for it")
    return [RENAMED[name].get(package, package) for package in packages]


if __name__ == "__main__":
    print("\n".join(local_names(sys.argv[1:])))
