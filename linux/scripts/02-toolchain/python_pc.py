"""Fix 1: make the staged pkg-config files of Python relocatable.

The distribution's python-3.x.pc says prefix=/usr, a source build's prefix=/usr/local. Read from the staging
tree such a file sends a cross build to the libpython of the build host. Here the prefix becomes relative to
the file itself, so that every path lies in the tree, wherever the tree is.
"""

from __future__ import annotations

import re
from pathlib import Path


def make_pc_relocatable(text: str) -> str:
    """Return the .pc file `text` with all paths relative to the file's own folder, <prefix>/lib/pkgconfig."""
    text = re.sub(r"(?m)^prefix=.*$", "prefix=${pcfiledir}/../..", text)
    text = re.sub(r"(?m)^exec_prefix=.*$", "exec_prefix=${prefix}", text)
    text = re.sub(r"(?m)^libdir=.*$", "libdir=${prefix}/lib", text)
    # A cross linker looks for the libraries that libpython needs nowhere else.
    text = re.sub(r"(?m)^(Libs: *-L\$\{libdir\}(?:(?!rpath-link).)*)$", r"\1 -Wl,-rpath-link,${libdir}", text)
    return re.sub(r"(?m)^includedir=.*$", "includedir=${prefix}/include", text)


def absolute_paths(text: str) -> list[str]:
    """Return the lines of the .pc file `text` that lead out of the staged tree."""
    return [
        line for line in text.splitlines() if re.search(r"(=|\s|-[IL])/", line) and not line.startswith("#")
    ]


def fix_pc_files(folder: Path) -> list[Path]:
    """Rewrite every Python .pc file in `folder` in place; return the files, links left as they are.

    Raises ValueError if a file names an absolute path afterwards, or if there is no file at all.
    """
    files = [path for path in sorted(folder.glob("python*.pc")) if not path.is_symlink()]
    if not files:
        raise ValueError(f"{folder} has no python*.pc")
    for path in files:
        text = make_pc_relocatable(path.read_text())
        rest = absolute_paths(text)
        if rest:
            raise ValueError(f"{path} still leads out of the staged tree: {rest[0]}")
        path.write_text(text)
    return files
