"""Mounts below a directory: what would be emptied along with it when the directory is removed.

Whoever works in an exported root file system binds things into it (``/dev``, a home). Renaming such a tree succeeds, the
mounts go along, and a removal would go down into them.
"""

from __future__ import annotations

import os
import re

from .errors import UserError

_MOUNTS = "/proc/self/mountinfo"


def below(path: str) -> list[str]:
    """The mount points of our mount namespace at or below ``path``, sorted (proc_pid_mountinfo(5), field 5)."""
    real = os.path.realpath(path)
    with open(_MOUNTS, "rb") as file:
        fields = [line.split(b" ")[4] for line in file]
    points = {os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field)) for field in fields}
    return sorted(point for point in points if point == real or point.startswith(f"{real}/"))


def refuse(path: str) -> None:
    """Raise ``UserError`` code tree-mounted when something is mounted at or below ``path``."""
    found = below(path)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise UserError(
            "tree-mounted",
            f"'{found[0]}'{more} is mounted there, so '{path}' is not touched",
            hint=f"unmount it: umount '{found[0]}'",
        )
