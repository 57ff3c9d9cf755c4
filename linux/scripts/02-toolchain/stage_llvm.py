#!/usr/bin/env python3
"""Stage the distribution's clang, lld and LLVM tools as a tree that stands on its own.

    stage_llvm.py ARCH PREFIX LLVM_RELEASE GCC_VERSION [TARGET…]

Programs for ARCH below PREFIX, with the run-time libraries (sanitizers, coverage, builtins) of ARCH and of each
TARGET. The layout is that of an LLVM installation: bin, lib, lib/clang/<major>. Libraries that a plain root does
not have lie in lib beside libLLVM. Without options clang takes the chain's GCC, at /opt/gcc-<GCC_VERSION>.
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
    keep_licences,
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
LIBRARIES_BY_ARCH = {"riscv64": ["libatomic1", "gcc-14-base"]}  # the second has the licence of the first

# Programs that need libcurl and through it twenty more libraries (they can fetch debug information from a
# server), programs that only LLVM's own developers use, and the largest of all, which measures instruction
# latencies.
LEFT_OUT = [
    "llvm-config",  # would name headers and libraries that are not staged
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


def add_runtime(prefix: Path, target: str, release: str) -> None:
    """Add the run-time libraries for programs of `target`; their names end in the architecture's."""
    major = release.partition(".")[0]
    package = f"libclang-rt-{major}-dev"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        versions = fetch([package], target, work)
        require_upstream(versions, package, release, "LLVM_RELEASE")
        below = f"lib/clang/{major}/lib/linux"
        source = work / "root/usr" / f"lib/llvm-{major}" / below
        elf.require(target, source)
        move(source, prefix / below)


def main() -> None:
    arch, prefix, release, gcc_version, *targets = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]
    major, triplet = release.partition(".")[0], TRIPLETS[arch]
    packages = [
        f"clang-{major}",
        f"libclang-common-{major}-dev",
        f"libclang-rt-{major}-dev",
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
        keep_licences(work / "root", versions, prefix)
        usr = work / "root/usr"
        tree = usr / f"lib/llvm-{major}"
        # The tree of the packages links to libraries in the multiarch folder; here they lie in the tree
        # itself, in place of the links. Whatever else leads out of the tree, check_links names below.
        for path in sorted((usr / "lib" / triplet).glob("lib*.so*")):
            place = tree / "lib" / path.name
            if place.is_symlink() and place.resolve() == path.resolve():
                place.unlink()
            move(path, place)
        for path in sorted(tree.glob(f"lib/clang/{major}/lib/linux/*-i386*")):
            path.unlink()  # come along with amd64's; there is no C library for them here
        for name in LEFT_OUT:
            (tree / "bin" / name).unlink(missing_ok=True)  # some are built for some architectures only
        for name in ("share", "build", "cmake"):
            if (tree / name).exists():
                shutil.rmtree(tree / name)
        move(tree, prefix)
    make_relocatable(prefix, prefix / "lib", arch)
    check_links(prefix)
    elf.require(arch, prefix)
    for target in targets:
        if target != arch:
            add_runtime(prefix, target, release)
    for name in ("clang", "clang++"):
        (prefix / "bin" / f"{name}.cfg").write_text(f"--gcc-toolchain=/opt/gcc-{gcc_version}\n")
    for name in ("clang", "clang++", "ld.lld", "llvm-ar", "llvm-readelf"):
        if not (prefix / "bin" / name).exists():
            fail(f"{prefix}/bin/{name} is missing")
    print(f"staged LLVM {release} ({arch}) in {prefix}")


if __name__ == "__main__":
    main()
