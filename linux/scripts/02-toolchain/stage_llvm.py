#!/usr/bin/env python3
"""Stage the distribution's clang, lld and LLVM tools as a tree that stands on its own.

    stage_llvm.py ARCH PREFIX LLVM_RELEASE      programs for ARCH below PREFIX

The layout is that of an LLVM installation: bin, lib, lib/clang/<major>. Libraries that a plain root does
not have lie in lib beside libLLVM.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import elf
from elf import TRIPLETS
from staging import (
    check_links,
    fail,
    fetch,
    make_relocatable,
    move,
    require_upstream,
)

LIBRARIES = [
    "libbsd0",
    "libedit2",
    "libffi8",
    "liblzma5",
    "libmd0",
    "libtinfo6",
    "libxml2",
    "libz3-4",
    "libzstd1",
    "zlib1g",
]
# riscv64 has no small atomic instructions of its own, so libz3 there calls libatomic.
LIBRARIES_BY_ARCH = {"riscv64": ["libatomic1"]}

# Programs that need libcurl and through it twenty more libraries (they can fetch debug information from a
# server), programs that only LLVM's own developers use, and the largest of all, which measures instruction
# latencies.
LEFT_OUT = [
    "llvm-addr2line",
    "llvm-cov",
    "llvm-debuginfod",
    "llvm-debuginfod-find",
    "llvm-objdump",
    "llvm-otool",
    "llvm-profdata",
    "llvm-symbolizer",
    "llvm-exegesis",
    "llvm-test-mustache-spec",
    "llvm-c-test",
    "llvm-PerfectShuffle",
    "lli-child-target",
    "reduce-chunk-list",
    "bugpoint",
    "llvm-stress",
    "verify-uselistorder",
    "obj2yaml",
    "yaml2obj",
]


def main() -> None:
    arch, prefix, release = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    major, triplet = release.partition(".")[0], TRIPLETS[arch]
    packages = [
        f"clang-{major}",
        f"libclang-common-{major}-dev",
        f"libclang-cpp{major}",
        f"libllvm{major}",
        f"lld-{major}",
        f"llvm-{major}",
        f"llvm-{major}-linker-tools",
    ]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        versions = fetch(packages + LIBRARIES + LIBRARIES_BY_ARCH.get(arch, []), arch, work)
        require_upstream(versions, f"clang-{major}", release, "LLVM_RELEASE")
        usr = work / "root/usr"
        tree = usr / f"lib/llvm-{major}"
        # The tree of the packages links to libraries in the multiarch folder; here they lie in the tree
        # itself, in place of the links. Whatever else leads out of the tree, check_links names below.
        for path in sorted((usr / "lib" / triplet).glob("lib*.so*")):
            place = tree / "lib" / path.name
            if place.is_symlink() and place.resolve() == path.resolve():
                place.unlink()
            move(path, place)
        for name in LEFT_OUT:
            (tree / "bin" / name).unlink(missing_ok=True)  # some are built for some architectures only
        for name in ("share", "build", "cmake"):
            if (tree / name).exists():
                shutil.rmtree(tree / name)
        move(tree, prefix)
    make_relocatable(prefix, prefix / "lib", arch)
    check_links(prefix)
    elf.require(arch, prefix)
    for name in ("clang", "clang++", "ld.lld", "llvm-ar", "llvm-config", "llvm-readelf"):
        if not (prefix / "bin" / name).exists():
            fail(f"{prefix}/bin/{name} is missing")
    print(f"staged LLVM {release} ({arch}) in {prefix}")


if __name__ == "__main__":
    main()
