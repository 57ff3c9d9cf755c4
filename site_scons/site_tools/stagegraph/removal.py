"""Removing a directory tree that was ours, with what can stand in the way of it."""

from __future__ import annotations

import os
import shutil
import subprocess

from . import mounts


def remove_tree(path: str) -> None:
    """Remove a directory, perhaps together with another process; anything else that hinders is an error.

    Raises OSError, and ``UserError`` code tree-mounted for what is mounted in it.
    """
    while os.path.lexists(path):
        mounts.refuse(path)
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue
        except PermissionError:
            if os.geteuid() == 0 or not _remove_as_mapped_root(path):
                raise


def _remove_as_mapped_root(path: str) -> bool:
    """Remove what is ours and yet closed to us without root; whether that worked.

    The copy of a build context has the modes of the original, and what mmdebstrap or an export in a user namespace made
    belongs to our subordinate ids.
    """
    command = ["unshare", "--user", "--map-auto", "--map-root-user", "--", "rm", "-rf", "--", path]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0
