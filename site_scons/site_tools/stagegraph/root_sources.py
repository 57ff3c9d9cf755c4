#!/usr/bin/env python3
"""Hook of mmdebstrap: which package sources a root file system is made from, and which stay in it.

mmdebstrap runs it with the root's directory as argument, first before packages are fetched, then when all are installed
(the copy made by the first call tells them apart). STAGEGRAPH_SUITE names the suite, STAGEGRAPH_MIRROR a mirror or nothing.

Of the sources that mmdebstrap writes by itself only the suite's own stay: those of updates and security
change daily, and their lists expire, so a root from a mirror of last week could not be made at all. While packages are
fetched the mirror takes the place of the default; what stays in the root is the default in every case, so that a
mirror leaves no trace. Traces of the host (its name, its resolver) are taken out too.
"""

from __future__ import annotations

import os
import re
import sys


def main(root: str) -> None:
    """Prepare the sources, or put back what shall stay."""
    path = os.path.join(root, "etc/apt/sources.list")
    kept = path + ".stagegraph"
    if os.path.exists(kept):
        os.replace(kept, path)
        for name in ("etc/hostname", "etc/resolv.conf"):
            if os.path.lexists(os.path.join(root, name)):
                os.unlink(os.path.join(root, name))
        return
    suite, mirror = os.environ["STAGEGRAPH_SUITE"], os.environ.get("STAGEGRAPH_MIRROR", "")
    with open(path, encoding="utf-8") as stream:
        lines = [line for line in map(parse, stream) if line and line[2] == suite]
    if not lines:
        sys.exit(f"error: mmdebstrap knows no default package source for suite '{suite}'")
    # The key that a signed-by option names on the host is, in the root, among those apt trusts by itself.
    write(kept, [f"deb {uri} {found} {components}\n" for _, uri, found, components in lines])
    write(
        path,
        [f"deb {options}{mirror or uri} {found} {components}\n" for options, uri, found, components in lines],
    )


def parse(line: str) -> tuple[str, str, str, str] | None:
    """Options (in brackets, with a space behind, or empty), URI, suite, components of a ``deb`` line; None for another."""
    match = re.match(r"deb\s+(\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.*\S)", line)
    return (match[1] or "", match[2], match[3], match[4]) if match else None


def write(path: str, lines: list[str]) -> None:
    """Write a file."""
    with open(path, "w", encoding="utf-8") as stream:
        stream.writelines(lines)


if __name__ == "__main__":
    main(sys.argv[1])
