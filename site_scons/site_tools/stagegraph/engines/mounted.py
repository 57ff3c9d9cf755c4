"""Run a command in a directory that another command mounts: ``mounted.py SECONDS MOUNT… :: COMMAND…``.

Started as a process of its own inside a fresh mount namespace, so that the mount lives exactly as long as the export.
``MOUNT…`` prints the directory, which takes the place of ``{}`` in the arguments of ``COMMAND…``. The directory's own
modification time is that of the mount; it is set to SECONDS (the image's creation time), or two exports of one image would
differ.
"""

from __future__ import annotations

import os
import subprocess
import sys


def main(arguments: list[str]) -> int:
    """Mount, run, and return the exit status of what failed first."""
    seconds, rest = int(arguments[0]), arguments[1:]
    cut = rest.index("::")
    mount = subprocess.run(rest[:cut], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    if mount.returncode != 0:
        return mount.returncode
    directory = mount.stdout.decode().removesuffix("\n")
    if not os.path.isabs(directory) or not os.path.isdir(directory):
        print(f"mounted.py: '{directory}' is no directory", file=sys.stderr)
        return 1
    os.utime(directory, (seconds, seconds))
    command = [word.replace("{}", directory) for word in rest[cut + 1 :]]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
