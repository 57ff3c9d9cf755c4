"""Make the distribution's pkg-config files speak of the prefix they were moved to.

A file names its prefix relative to itself (`${pcfiledir}`, pkg-config(1)), so it is right wherever the prefix is
mounted. What only a static link needs (`*.private`) goes: the prefixes ship shared libraries, and pkg-config would
otherwise ask for the development files of a hundred more packages.
"""

from __future__ import annotations

import re
from pathlib import Path

_ASSIGNED = re.compile(r"([A-Za-z0-9_.]+)=(.*)")


def rewrite(text: str, triplet: str) -> str:
    """Return the text of a .pc file of a package, moved from /usr to the prefix two folders above it."""
    lines = []
    for line in text.splitlines():
        if re.match(r"(Requires|Libs|Cflags)\.private:", line):
            continue
        assigned = _ASSIGNED.fullmatch(line)
        if assigned and assigned[1] == "prefix":
            line = "prefix=${pcfiledir}/../.."
        elif assigned or line.startswith(("Libs:", "Cflags:")):
            # A prefix has one lib and one include: it is for one target.
            line = line.replace(f"/lib/{triplet}", "/lib").replace(f"/include/{triplet}", "/include")
            line = re.sub(r"/usr(?=/|\s|$)", "${prefix}", line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def rewrite_all(prefix: Path, triplet: str) -> list[str]:
    """Rewrite every .pc file below `prefix`; return the names of the modules, sorted."""
    found = sorted((prefix / "lib" / "pkgconfig").glob("*.pc"))
    for path in found:
        path.write_text(rewrite(path.read_text(), triplet))
    return [path.stem for path in found]
