"""Put a tree through the plugin's export: ``python export_tree.py SOURCE DESTINATION [TAR…]``.

TAR… is the command that writes the tree as an archive, ``{}`` standing for SOURCE.
"""

from __future__ import annotations

import os
import sys

sys.path.insert(
    0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "site_scons", "site_tools")
)
from stagegraph import process, rootfs


def main(source: str, destination: str, *tar: str) -> None:
    argv = [word.replace("{}", source) for word in tar]
    tree = os.path.join(destination, "rootfs")
    with rootfs.alone(tree):
        rootfs.export(process.stream(argv), tree, listing=os.path.join(destination, "list"))


if __name__ == "__main__":
    main(*sys.argv[1:])
