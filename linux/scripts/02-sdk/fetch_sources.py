#!/usr/bin/env python3
"""Fetch and unpack the sources that every target's SDK is built from, below /opt/sources.

    fetch_sources.py VULKAN_VERSION

The tarballs are those of the distribution's source packages; apt checks each against the signed index. They
are fetched once and shared by all targets.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from distribution import local_names

SOURCES = Path("/opt/sources")
PACKAGES = ["vulkan-loader", "spirv-headers", "spirv-tools", "glslang"]


def fail(sentence: str, hint: str) -> None:
    """Stop with one sentence and a hint."""
    sys.exit(f"error: {sentence}\nhint: {hint}")


def unpack(tarball: Path, target: Path) -> None:
    """Unpack `tarball` so that its topmost CMakeLists.txt lies directly in `target`."""
    with tempfile.TemporaryDirectory(dir=tarball.parent) as folder:
        subprocess.run(
            ["tar", "--extract", "--no-same-owner", "--file", str(tarball), "--directory", folder], check=True
        )
        tops = sorted(Path(folder).glob("*/CMakeLists.txt"))
        if len(tops) != 1:
            fail(f"{tarball.name} has {len(tops)} top folders with a CMakeLists.txt", "one is expected")
        shutil.move(str(tops[0].parent), target)


def main() -> None:
    version = sys.argv[1]
    SOURCES.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        names = dict(zip(PACKAGES, local_names(PACKAGES), strict=True))
        subprocess.run(["/run/apt.sh", "source", str(work / "fetched"), *names.values()], check=True)
        lines = []
        for package, name in names.items():
            tarballs = sorted((work / "fetched").glob(f"{name}_*.orig.tar.*"))
            if len(tarballs) != 1:
                fail(f"apt delivered {len(tarballs)} tarballs of {name}", "one is expected")
            upstream = tarballs[0].name[len(name) + 1 :].partition(".orig.tar")[0]
            if package == "vulkan-loader" and upstream != version:
                fail(
                    f"VULKAN_VERSION={version}, but the distribution's {package} is {upstream}",
                    f"set VULKAN_VERSION={upstream} in the profile",
                )
            unpack(tarballs[0], SOURCES / package)
            lines.append(f"{package} {upstream}\n")
        lines.append(f"vulkan-headers {version}\n")
        (SOURCES / "versions").write_text("".join(lines))
    # The distribution ships the headers inside the loader's source package.
    shutil.move(SOURCES / "vulkan-loader/vulkan-headers", SOURCES / "vulkan-headers")
    header = (SOURCES / "vulkan-headers/include/vulkan/vulkan_core.h").read_text()
    patch = re.search(r"(?m)^#define VK_HEADER_VERSION (\d+)$", header)
    if patch is None or patch[1] != version.split(".")[2]:
        fail(
            f"VULKAN_VERSION={version}, but the headers say {patch and patch[0]}",
            "loader and headers belong together",
        )
    print("".join(lines), end="")


if __name__ == "__main__":
    main()
