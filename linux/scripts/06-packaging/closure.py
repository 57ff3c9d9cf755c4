#!/usr/bin/env python3
"""Stop unless every library that the given trees need is found, without starting a single program of theirs.

    closure.py ARCH PATH…

The search is that of ld.so(8): the file's own RUNPATH, then what ldconfig(8) found. LD_LIBRARY_PATH is left out on
purpose: an image that needs it is broken for whoever does not set it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import elf


def known_libraries(listing: str) -> set[str]:
    """Return the names in what `ldconfig -p` prints."""
    return {line.split(" ", 1)[0].strip() for line in listing.splitlines()[1:] if " => " in line}


def runpath(path: Path) -> list[Path]:
    """Return the folders of the RUNPATH of an ELF file, where it lies."""
    told = subprocess.run(["patchelf", "--print-rpath", str(path)], check=True, stdout=subprocess.PIPE, text=True).stdout
    folders = (entry.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", str(path.parent)) for entry in told.strip().split(":"))
    return [Path(os.path.normpath(folder)) for folder in folders if folder]


def unresolved(known: set[str], *roots: Path) -> tuple[int, list[str]]:
    """Return how many ELF files lie below `roots`, and one sentence for each library that is not found."""
    count, lost = 0, []
    for path in elf.regular_files(*roots):
        facts = elf.read_elf(path)
        if facts is None:
            continue
        count += 1
        # A library that is opened from its own folder brings siblings that nobody lists: only its RUNPATH counts.
        missing = [name for name in facts.needed if name not in known and not name.startswith("ld-linux")]
        if missing:
            folders = runpath(path)
            lost += [f"{path} needs {name}" for name in missing if not any((folder / name).exists() for folder in folders)]
    return count, lost


def main(arch: str, *names: str) -> None:
    roots = [Path(name) for name in names]
    elf.require(arch, *roots)
    listing = subprocess.run(["/sbin/ldconfig", "-p"], check=True, stdout=subprocess.PIPE, text=True).stdout
    count, lost = unresolved(known_libraries(listing), *roots)
    if lost:
        sys.exit("\n".join(f"error: {sentence}, which is nowhere" for sentence in lost))
    print(f"{count} ELF files below {' '.join(names)} find every library they need")


if __name__ == "__main__":
    main(*sys.argv[1:])
