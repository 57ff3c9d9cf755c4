#!/usr/bin/env python3
"""Stage the distribution's GCC as a tree that stands on its own.

    stage_gcc.py host GCC_VERSION                      /opt/gcc-<v>: runs here and compiles for here
    stage_gcc.py cross GCC_VERSION ARCH BUILD_MODE     /opt/gcc-<v>: runs here, compiles for ARCH; has its C library
    stage_gcc.py native GCC_VERSION ARCH BUILD_MODE    /opt/gcc-<v>-native-<arch>: runs on ARCH, compiles for ARCH

An ARCH that BUILD_MODE has not got leaves an empty folder, and so does a cross compiler for the platform of the build:
the one for `host` is that already.

GCC finds its parts relative to its own program (the driver's "relative prefix"), so the tree below /usr of
the packages works unchanged below another prefix. What does not move by itself is done here: absolute names
in linker scripts, the libraries that the compiler itself needs, and the version suffix of the program
names.
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
from staging import (
    check_links,
    fail,
    fetch,
    keep_licences,
    make_relocatable,
    move,
    require_upstream,
)

TOP = Path("/opt")
# The libraries that the compiler proper and the binutils are linked with, as packages of Debian and Ubuntu.
COMPILER_LIBRARIES = ["libgmp10", "libisl23", "libmpc3", "libmpfr6", "libzstd1", "zlib1g"]
# The last has but the licence of the binutils.
BINUTILS_LIBRARIES = ["libbinutils", "libctf-nobfd0", "libctf0", "libjansson4", "libsframe1", "binutils-common"]
# The run-time libraries of the target, so that no link in the tree leads to nothing.
RUNTIME = [
    "libatomic1",
    "libgcc-s1",
    "libgomp1",
    "libitm1",
    "libstdc++6",
    "libubsan1",
    "libasan8",
    "liblsan0",
    "libtsan2",
]
ONLY_SOME_ARCHES = {"libquadmath0": {"amd64"}, "libhwasan0": {"amd64", "arm64"}}
SUFFIXED = ["gcc", "g++", "cpp", "gcc-ar", "gcc-nm", "gcc-ranlib", "gcov", "gcov-dump", "gcov-tool"]
BINUTILS = [
    "addr2line",
    "ar",
    "as",
    "c++filt",
    "elfedit",
    "ld",
    "ld.bfd",
    "nm",
    "objcopy",
    "objdump",
    "ranlib",
    "readelf",
    "size",
    "strings",
    "strip",
]


def packages(kind: str, arch: str, major: str) -> list[str]:
    """Return the packages that make up one compiler."""
    dashed = TRIPLETS[arch].replace("_", "-")
    runtime = RUNTIME + [name for name, arches in ONLY_SOME_ARCHES.items() if arch in arches]
    target = [f"libgcc-{major}-dev", f"libstdc++-{major}-dev", *runtime]
    licences = [f"gcc-{major}-base"]
    if kind == "cross":
        target = [f"{name}-{arch}-cross" for name in [*target, "libc6", "libc6-dev", "linux-libc-dev"]]
        licences = [f"gcc-{major}-cross-base", f"gcc-{major}-{dashed}-base"]
    compiler = [
        f"cpp-{major}-{dashed}",
        f"g++-{major}-{dashed}",
        f"gcc-{major}-{dashed}",
        *COMPILER_LIBRARIES,
    ]
    tools = [] if kind == "native" else [f"binutils-{dashed}", *BINUTILS_LIBRARIES]
    return compiler + target + tools + licences


def drop_unused(root: Path) -> None:
    """Remove what serves debuggers of GCC: the 35 MB dumper and the plugin of gdb's `compile` command."""
    for pattern in (
        "bin/*lto-dump*",
        "bin/*gprof*",
        "bin/*gp-*",
        "bin/dwp",
        "lib/gcc*/*/*/plugin",
        "lib/gcc*/*/*/libcc1.so",
        "lib/*/libgprofng*",
        "lib/*/gprofng",
        "lib/compat-ld",
        "lib/gold-ld",
    ):
        for path in sorted(root.glob(pattern)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name in ("share", "etc"):
        if (root / name).exists():
            shutil.rmtree(root / name)


def name_programs(prefix: Path, kind: str, triplet: str, major: str) -> None:
    """Take the version suffix off the program names; add the plain names where they mean this compiler."""
    programs = prefix / "bin"
    for name in SUFFIXED:
        (programs / f"{triplet}-{name}-{major}").rename(programs / f"{triplet}-{name}")
    if kind == "cross":
        return
    for name in SUFFIXED:
        (programs / name).unlink(missing_ok=True)
        (programs / name).symlink_to(f"{triplet}-{name}")
    (programs / "cc").symlink_to(f"{triplet}-gcc")
    (programs / "c++").symlink_to(f"{triplet}-g++")
    if kind == "host":
        # The driver asks <prefix>/<triplet>/bin for its assembler and linker before it asks PATH.
        tools = prefix / triplet / "bin"
        tools.mkdir(parents=True)
        for name in BINUTILS:
            if (programs / f"{triplet}-{name}").exists():
                (tools / name).symlink_to(f"../../bin/{triplet}-{name}")


def link_lto_plugin(prefix: Path) -> None:
    """Let ar, nm and ranlib read objects of link-time optimisation: binutils look for plugins in lib/bfd-plugins."""
    (plugin,) = prefix.glob("libexec/gcc*/*/*/liblto_plugin.so")
    link = prefix / "lib/bfd-plugins/liblto_plugin.so"
    link.parent.mkdir(parents=True)
    link.symlink_to(os.path.relpath(plugin, link.parent))


def set_sysroot(prefix: Path, triplet: str) -> None:
    """Let a cross compiler look for headers and libraries in its own tree alone.

    The distribution's has `/` as its system root, so a header or library that the target lacks would silently be taken
    from the build image. A specs file beside the compiler gives it another (an explicit --sysroot= still wins), and
    names to the linker the folders of the tree in place of those that were built in (`%D`).
    """
    driver = prefix / "bin" / f"{triplet}-gcc"
    specs = subprocess.check_output([str(driver), "-dumpspecs"], text=True)
    (folder,) = (path.parent for path in prefix.glob(f"lib/gcc-cross/{triplet}/*/crtbegin.o"))
    option = f"%{{!-sysroot=*:--sysroot={prefix / triplet}}}"
    # One empty line ends a spec; a second one would be taken for the name of the next.
    if specs.count("%D") != 1:
        fail(f"{driver} hands its folders to the linker {specs.count('%D')} times", "look at *link_command in its specs")
    specs = specs.replace("%D", f"-L{folder} -L{prefix / triplet / 'lib'}")
    (folder / "specs").write_text(f"{specs.rstrip()}\n\n*self_spec:\n+ {option}\n\n")


def relative_linker_scripts(prefix: Path) -> None:
    """Take the folders out of linker scripts; the linker finds plain names in its search path.

    Debian's libc.so names /usr/<triplet>/lib/libc.so.6, which a tree that stands on its own does not have.
    """
    for path in sorted(prefix.rglob("lib*.so")) + sorted(prefix.rglob("lib*.a")):
        if path.is_symlink() or path.stat().st_size > 4096:
            continue
        text = path.read_bytes()
        if b"GROUP" not in text and b"INPUT" not in text:
            continue
        lines = []
        for line in text.decode().splitlines(keepends=True):
            if line.startswith(("GROUP", "INPUT")):
                line = " ".join(word.rpartition("/")[2] for word in line.split()) + "\n"
            lines.append(line)
        path.write_text("".join(lines))


def wanted(kind: str, arch: str, mode: str, here: str) -> bool:
    """Return whether a build on `here` makes this compiler."""
    return arch in build_mode.targets(mode) and not (kind == "cross" and arch == here)


def main() -> None:
    kind, version, *target = sys.argv[1:]
    here = build_mode.build_arch()
    arch, mode = target or (here, "native")
    major, triplet = version.partition(".")[0], TRIPLETS[arch]
    runs_on = arch if kind == "native" else here
    prefix = TOP / (f"gcc-{version}" + (f"-native-{arch}" if kind == "native" else ""))
    if not wanted(kind, arch, mode, here):
        prefix.mkdir(parents=True)
        print(f"BUILD_MODE={mode} on linux/{here}: no GCC ({kind}) for {arch}")
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        versions = fetch(packages(kind, arch, major), runs_on, work)
        require_upstream(versions, f"gcc-{major}-{triplet.replace('_', '-')}", version, "GCC_VERSION")
        keep_licences(work / "root", versions, prefix)
        drop_unused(work / "root/usr")
        for part in sorted((work / "root/usr").iterdir()):
            move(part, prefix / part.name)
    name_programs(prefix, kind, triplet, major)
    relative_linker_scripts(prefix)
    make_relocatable(prefix, prefix / "lib" / TRIPLETS[runs_on], runs_on)
    if kind == "cross":
        set_sysroot(prefix, triplet)
    else:
        link_lto_plugin(prefix)
    check_links(prefix)
    elf.require(runs_on, prefix / "bin", prefix / "libexec")
    if runs_on == here:
        printed = subprocess.check_output(
            [str(prefix / "bin" / f"{triplet}-gcc"), "-dumpfullversion"], text=True
        ).strip()
        if printed != version:
            fail(f"GCC_VERSION={version}, but the compiler says {printed}")
    print(f"staged GCC {version} ({kind}, {arch}) in {prefix}")


if __name__ == "__main__":
    main()
