#!/usr/bin/env python3
"""Stage the distribution's CPython of one target in /opt/python-cross/<arch>/usr/local.

    stage_python.py ARCH PYTHON_VERSION BUILD_MODE

The layout is that of `make install` with prefix /usr/local: bin, include, lib/libpython*.so, lib/pkgconfig,
lib/python<series>. Fix 1 and fix 3 (python_pc.py, python_dynload.py) are applied and proved here, and the
staged interpreter imports its extension modules once, under emulation for a foreign target. A program that embeds
it is built by prove_toolchain.py, where the compilers are. An ARCH that BUILD_MODE has not got leaves an empty folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import build_mode
import elf
from elf import TRIPLETS
from python_dynload import check_staged, stage_modules
from python_pc import fix_pc_files
from python_sysconfig import relocate_files
from staging import check_links, fail, fetch, keep_licences, move, require_upstream

TOP = Path("/opt/python-cross")
# What a cross build of this chain imports or links; a module that is missing here fails hours later
# otherwise.
REQUIRED_MODULES = [
    "_struct",
    "math",
    "cmath",
    "_csv",
    "_json",
    "_pickle",
    "_socket",
    "_bz2",
    "_ctypes",
    "_decimal",
    "_hashlib",
    "_lzma",
    "_sqlite3",
    "_ssl",
    "_uuid",
    "mmap",
    "readline",
    "zlib",
]
# Prints the version of the interpreter that runs it, then the libraries it has loaded.
REPORT = """
print(platform.python_version())
for line in sorted({line.partition("/")[2].strip() for line in open("/proc/self/maps") if ".so" in line}):
    print(f"/{line}")
"""
# What libpython itself is linked with, beside the C library: staged with it, or nothing links against it.
LINKED = {"libexpat1": "libexpat.so.1", "zlib1g": "libz.so.1"}
# Only to run the staged interpreter once; not part of the staged tree.
RUN_TIME = [
    "libc6",
    "libgcc-s1",
    "libbz2-1.0",
    "libdb5.3t64",
    "libffi8",
    "liblzma5",
    "libncursesw6",
    "libreadline8t64",
    "libsqlite3-0",
    "libssl3t64",
    "libtinfo6",
    "libuuid1",
    "libzstd1",
]
# The program that loads those of an arch, below the root.
LOADERS = {
    "amd64": "lib64/ld-linux-x86-64.so.2",
    "arm64": "lib/ld-linux-aarch64.so.1",
    "riscv64": "lib/ld-linux-riscv64-lp64d.so.1",
}


def stage(usr: Path, prefix: Path, triplet: str, series: str) -> None:
    """Move the wanted parts of the unpacked packages to `prefix`."""
    library = usr / f"lib/python{series}"
    modules = library / "lib-dynload"
    for path in [*modules.glob("_test*.so"), *modules.glob("_ctypes_test*.so"), *modules.glob("*xx*.so")]:
        path.unlink()
    # The second folder is the safety net: a source build leaves there what its lib-dynload only links to.
    stage_modules([modules, usr / "Modules"], prefix / f"lib/python{series}/lib-dynload")
    shutil.rmtree(modules)
    config = library / f"config-{series}-{triplet}"
    for path in (
        config / f"libpython{series}.so",
        config / f"libpython{series}.a",
        config / f"libpython{series}-pic.a",
        library / "sitecustomize.py",
        usr / f"lib/{triplet}/libpython{series}.a",
    ):
        # Links into the multiarch folder and /etc, which are not staged, and the static library with its
        # link.
        path.unlink(missing_ok=True)
    move(library, prefix / f"lib/python{series}")
    for path in sorted((usr / "lib" / triplet).glob("libpython*.so*")):
        move(path, prefix / "lib" / path.name)
    move(usr / f"lib/{triplet}/pkgconfig", prefix / "lib/pkgconfig")
    move(usr / f"include/python{series}", prefix / f"include/python{series}")
    move(usr / f"include/{triplet}/python{series}", prefix / f"include/{triplet}/python{series}")
    # The distribution's is one that asks for the target's by a folder of the root; here it is the target's itself.
    shutil.copyfile(
        prefix / f"include/{triplet}/python{series}/pyconfig.h", prefix / f"include/python{series}/pyconfig.h"
    )
    for name in LINKED.values():
        library = usr / "lib" / triplet / name
        shutil.copy2(library.resolve(), prefix / "lib" / name)
    move(usr / f"bin/python{series}", prefix / f"bin/python{series}")
    move(usr / f"bin/{triplet}-python{series}-config", prefix / f"bin/python{series}-config")
    for link, target in (
        (prefix / "bin/python3-config", f"python{series}-config"),
        (prefix / "bin/python3", f"python{series}"),
        (prefix / "lib/pkgconfig/python3.pc", f"python-{series}.pc"),
        (prefix / "lib/pkgconfig/python3-embed.pc", f"python-{series}-embed.pc"),
    ):
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def run_staged(prefix: Path, arch: str, version: str, root: Path) -> None:
    """Run the staged interpreter with the libraries of `root`: its version and the required modules."""
    code = f"import platform, {', '.join(REQUIRED_MODULES)}\n{REPORT}"
    command = [str(prefix / "bin/python3"), "-B", "-I", "-c", code]
    for name in ("lib", "lib64"):
        if not (root / name).exists() and (root / "usr" / name).is_dir():
            (root / name).symlink_to(f"usr/{name}")
    cpu, _, system = TRIPLETS[arch].partition("-")
    if arch == build_mode.build_arch():
        libraries = f"{root / 'usr/lib' / f'{cpu}-{system}'}:{prefix / 'lib'}"
        command = [str(root / LOADERS[arch]), "--library-path", libraries, *command]
    else:
        command = [f"/usr/local/bin/qemu-{cpu}", "-L", str(root), *command]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    if printed[0] != version:
        fail(f"PYTHON_VERSION={version}, but the staged interpreter of {arch} says {printed[0]}")
    # A loader falls back on its usual folders, where a library of the build image would stand in for one that
    # is missing.
    own = (root.resolve(), prefix.resolve())
    strays = [name for name in printed[1:] if not any(Path(name).is_relative_to(folder) for folder in own)]
    if len(printed) < 3 or strays:
        fail(f"the staged Python of {arch} was run with {strays or 'no library'}, not with its own libraries")


def check_pc(prefix: Path, series: str) -> None:
    """Ask pkg-config itself where the staged files send a build; every folder must lie in the tree."""
    environment = dict(os.environ, PKG_CONFIG_LIBDIR=str(prefix / "lib/pkgconfig"))
    printed = subprocess.run(
        ["pkg-config", "--cflags", "--libs", f"python-{series}-embed"],
        check=True,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.split()
    folders = [word[2:] for word in printed if word[:2] in ("-I", "-L")]
    strays = [folder for folder in folders if not Path(folder).resolve().is_relative_to(prefix)]
    if not folders or strays:
        fail(
            f"pkg-config leads a build for Python {series} to {strays or 'no folder'}, outside {prefix}",
            "fix 1 in python_pc.py makes the staged .pc files relocatable",
        )


def main() -> None:
    arch, version, mode = sys.argv[1:]
    if arch not in build_mode.targets(mode):
        TOP.mkdir(parents=True)
        print(f"BUILD_MODE={mode} on linux/{build_mode.build_arch()}: no Python for {arch}")
        return
    series, triplet = version.rpartition(".")[0], TRIPLETS[arch]
    prefix = TOP / arch / "usr/local"
    packages = [
        f"libpython{series}",
        f"libpython{series}-dev",
        f"libpython{series}-minimal",
        f"libpython{series}-stdlib",
        f"python{series}-minimal",
    ]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        versions = fetch(packages + list(LINKED) + RUN_TIME, arch, work)
        require_upstream(versions, f"libpython{series}", version, "PYTHON_VERSION")
        keep_licences(work / "root", packages + list(LINKED), prefix)
        stage(work / "root/usr", prefix, triplet, series)
        try:
            fix_pc_files(prefix / "lib/pkgconfig")
            relocate_files(prefix, triplet, series)
            check_staged(prefix)
        except ValueError as error:
            fail(str(error))
        check_pc(prefix, series)
        check_links(prefix)
        elf.require(arch, prefix)
        run_staged(prefix, arch, version, work / "root")
    print(f"staged Python {version} ({arch}) in {prefix}")


if __name__ == "__main__":
    main()
