"""Run a command in a directory that another command mounts: ``mounted.py SECONDS MOUNT… :: COMMAND…``.

Started as a process of its own inside a fresh mount namespace, so that the mount lives exactly as long as the export.
``MOUNT…`` prints the directory, which takes the place of ``{}`` in the arguments of ``COMMAND…``.

The store keeps no attributes of an image's top directory: its time is that of the mount, its mode always 0555. The time is set
to SECONDS (the image's creation time), or two exports of one image would differ, the mode to the 0755 that every
distribution has.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys

#: What containers/storage gives the top directory of a layer.
_STORE_MODE = 0o555


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
    if stat.S_IMODE(os.stat(directory).st_mode) == _STORE_MODE:
        os.chmod(directory, 0o755)
    os.utime(directory, (seconds, seconds))
    command = [word.replace("{}", directory) for word in rest[cut + 1 :]]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
