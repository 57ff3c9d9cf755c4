#!/usr/bin/env python3
"""Put the GCC that runs on the target in the place of the one that ran here (fix 4).

    swap_native_gcc.py ARCH GCC_VERSION

`-dumpmachine` cannot tell a compiler that runs on the target from one that merely compiles for it; the ELF machine of
the program can. It is looked at before the swap and right after it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import elf

#: Programs that every later stage takes for the target's own.
DRIVERS = ("gcc", "g++", "cpp", "gcov")


def check(prefix: Path, arch: str) -> None:
    """Stop unless the drivers below `prefix` are there and run on `arch`."""
    for name in DRIVERS:
        program = prefix / "bin" / name
        if not program.exists():
            sys.exit(f"error: {program} is not there\nhint: does CROSS_TARGETS name {arch}?")
        elf.require(arch, program.resolve())


def swap(arch: str, version: str, top: Path = Path("/opt")) -> Path:
    """Replace <top>/gcc-<version>; return it. The compilers for other targets and platforms go with the old one."""
    prefix, native = top / f"gcc-{version}", top / f"gcc-{version}-native-{arch}"
    check(native, arch)
    shutil.rmtree(prefix)
    # Not rename: the folder lies in a lower layer of an overlay, from which it cannot be moved.
    subprocess.run(["mv", "--no-target-directory", str(native), str(prefix)], check=True)
    for other in sorted(top.glob(f"gcc-{version}-native-*")):
        shutil.rmtree(other)
    check(prefix, arch)
    count = elf.require(arch, prefix / "bin", prefix / "libexec")
    print(f"{prefix} runs on {arch}: {count} ELF files of its programs are for it")
    return prefix


if __name__ == "__main__":
    swap(*sys.argv[1:])
