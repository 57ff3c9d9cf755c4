"""Build a relocatable tree from the distribution's packages without installing them.

The packages are fetched and verified by apt, unpacked, and placed below a prefix of their own. Programs find
their libraries relative to themselves (RUNPATH with $ORIGIN), so the tree works wherever it is copied.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import distribution
import elf

# Libraries that every root of the distribution has; all others travel with the tree.
SYSTEM_LIBRARIES = frozenset(
    (
        "libc.so.6",
        "libm.so.6",
        "libdl.so.2",
        "libpthread.so.0",
        "librt.so.1",
        "libutil.so.1",
        "libresolv.so.2",
        "ld-linux-x86-64.so.2",
        "ld-linux-aarch64.so.1",
        "ld-linux-riscv64-lp64d.so.1",
        "libgcc_s.so.1",
        "libstdc++.so.6",
    )
)


def fail(sentence: str, hint: str = "") -> NoReturn:
    """Stop with one sentence and, if given, a hint."""
    print(f"error: {sentence}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    sys.exit(1)


def fetch(packages: list[str], arch: str, work: Path) -> dict[str, str]:
    """Fetch packages of `arch` with apt and unpack them below work/root. Return package -> version.

    What they say of themselves goes to work/control/<package>/. `packages` are Debian's names; what comes back are the
    names of the root's own distribution.
    """
    packages = distribution.local_names(packages)
    command = ["/run/apt.sh", "download", arch, str(work / "debs"), *packages]
    if subprocess.run(command, check=False).returncode:
        fail(
            f"apt could not fetch the packages for {arch}; its own message is above",
            "a package that cannot be located: the version asked for is not the one the distribution provides",
        )
    versions = {}
    (work / "control").mkdir(exist_ok=True)
    for deb in sorted((work / "debs").glob("*.deb")):
        name, version = subprocess.check_output(
            ["dpkg-deb", "--showformat", "${Package} ${Version}", "--show", str(deb)], text=True
        ).split()
        versions[name] = version
        subprocess.run(["dpkg-deb", "--extract", str(deb), str(work / "root")], check=True)
        subprocess.run(["dpkg-deb", "--control", str(deb), str(work / "control" / name)], check=True)
    shutil.rmtree(work / "debs")
    missing = sorted(set(packages) - set(versions))
    if missing:
        fail(f"apt did not deliver {', '.join(missing)} for {arch}")
    return versions


def keep_licences(root: Path, packages: Iterable[str], prefix: Path) -> None:
    """Copy what the packages unpacked below `root` say of their licence to `prefix`/share/licenses/<package>.

    A package can leave that to another one, whose folder its own is a link to; that one has to be unpacked too.
    """
    for package in sorted(packages):
        source = root / "usr/share/doc" / package / "copyright"
        if not source.exists():
            fail(f"{package} comes without its licence", "add the package to which its folder in share/doc is a link")
        target = prefix / "share/licenses" / package / "copyright"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def require_upstream(versions: dict[str, str], package: str, wanted: str, key: str) -> None:
    """Stop unless the upstream part of the version of `package` is `wanted`, the value of `key`."""
    upstream = versions[package].partition(":")[2] or versions[package]
    upstream = upstream.partition("-")[0].partition("~")[0].partition("+")[0]
    if upstream != wanted:
        fail(
            f"{key}={wanted}, but the distribution's {package} is {versions[package]}",
            f"set {key}={upstream} in the profile, or build it from source",
        )


def move(source: Path, target: Path) -> None:
    """Move a file or merge a folder; an existing file of the same name is an error."""
    if source.is_dir() and not source.is_symlink():
        target.mkdir(parents=True, exist_ok=True)
        for child in sorted(source.iterdir()):
            move(child, target / child.name)
        source.rmdir()
        return
    if os.path.lexists(target):
        fail(f"{target} comes twice")
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)


def make_relocatable(prefix: Path, libraries: Path, arch: str) -> None:
    """Let every program for `arch` below `prefix` find its libraries in `libraries`, wherever both are moved.

    Stops if a needed library is neither there nor one of the system's.
    """
    present = {path.name for path in libraries.iterdir()}
    for path in elf.regular_files(prefix):
        try:
            facts = elf.read_elf(path)
        except elf.ForeignElf as error:
            fail(f"{path}: {error}")
        if facts is None or facts.machine != elf.MACHINES[arch]:
            continue
        needed = set(facts.needed) - SYSTEM_LIBRARIES
        lost = sorted(needed - present)
        if lost:
            fail(
                f"{path} needs {', '.join(lost)}, which no package of the list delivers",
                "add the package to the list, or leave the program out",
            )
        if needed:
            origin = os.path.relpath(libraries, path.parent)
            subprocess.run(["patchelf", "--set-rpath", f"$ORIGIN/{origin}", str(path)], check=True)


def check_links(prefix: Path) -> None:
    """Stop if a link below `prefix` leads out of it or to nothing."""
    for folder, folders, names in os.walk(prefix):
        for name in sorted(folders + names):
            path = Path(folder) / name
            if not path.is_symlink():
                continue
            target = Path(os.path.normpath(path.parent / os.readlink(path)))
            if not target.is_relative_to(prefix):
                fail(f"{path} leads out of {prefix}: {os.readlink(path)}")
            if not target.exists():
                fail(f"{path} leads to nothing: {os.readlink(path)}")
