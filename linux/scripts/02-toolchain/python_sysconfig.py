"""Let what a build asks of the staged Python lead into the staged tree: sysconfig's data, its Makefile, python3-config.

The distribution's say /usr, a source build's say its prefix. Read while cross building, both lead to the build image.
The .pc files are fix 1, in python_pc.py.
"""

from __future__ import annotations

import re
from pathlib import Path


def relocate(text: str, prefix: str, triplet: str) -> str:
    """Return `text` with the folders of headers, libraries and programs below `prefix` instead of /usr.

    What the running interpreter needs of its own root (time zones, other programs) stays.
    """
    below = rf"/include|/lib/python|/lib/{re.escape(triplet)}|/bin/python|/(?:lib|bin)(?=')"
    text = re.sub(rf"(?m)(?<![.\w])/usr(?={below}|['\" ]|$)", prefix, text)
    return text.replace(f"{prefix}/lib/{triplet}", f"{prefix}/lib")


def host_paths(text: str) -> list[str]:
    """Return the folders of headers and libraries that `text` names below /usr."""
    return re.findall(r"(?<![.\w])/usr/(?:include|lib/python|lib/\w+-linux-gnu)[^'\" ]*", text)


def relocate_files(prefix: Path, triplet: str, series: str) -> None:
    """Rewrite the files of the Python staged at `prefix` in place; raise ValueError if one still leads out."""
    data = prefix / f"lib/python{series}/_sysconfigdata__linux_{triplet}.py"
    makefile = prefix / f"lib/python{series}/config-{series}-{triplet}/Makefile"
    for path in (data, makefile):
        text = relocate(path.read_text(), str(prefix), triplet)
        rest = host_paths(text)
        if rest:
            raise ValueError(f"{path} still leads out of the staged tree: {rest[0]}")
        path.write_text(text)
    config = prefix / f"bin/python{series}-config"
    text = config.read_text()
    libdir = f'"/usr/lib/{triplet}"'
    if text.count(libdir) != 1:
        raise ValueError(f"{config} does not name {libdir} once")
    config.write_text(text.replace(libdir, '"/usr/lib"'))  # it puts its own place for /usr, when it is run
