"""Stage one media component for a target below /opt/stage, as the next step copies it to /.

The packages of the target are fetched and verified by apt, unpacked, and moved from /usr into the component's prefix;
nothing of the build platform goes in. Programs and libraries find each other relative to themselves. What else they
need at run time, the package stage installs on the target: the list is staged with the component.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import elf
import pkgconfig
from component import Component, plain_version, read_record, write_record
from staging import check_links, fail, fetch, keep_licences, move, require_upstream

STAGE = Path("/opt/stage")

#: Below /usr of the packages: what goes where below the prefix. Everything else (documentation, translations) stays out.
_PLACES = (("bin", "bin"), ("include/{triplet}", "include"), ("include", "include"), ("lib/{triplet}", "lib"), ("libexec/{triplet}", "libexec"), ("share", "share"))

_UNWANTED = ("share/doc", "share/man", "share/lintian", "share/locale", "share/bash-completion", "share/aclocal", "share/gtk-doc", "share/bug")


def stage(component: Component, arch: str, version: str, provider: str) -> None:
    """Stage `component` of this version for `arch`; with the provider absent, the word of it alone. Stops on an error."""
    name, prefix = component.name, STAGE / component.prefix.lstrip("/")
    if provider == "absent":
        write_record(STAGE, component, provider, version, [])
        print(f"{name} is absent in this profile: nothing is staged at {component.prefix}")
        return
    if provider != "distro":
        fail(f"{name} cannot be staged from provider '{provider}'", "distro or absent")
    series = ".".join(plain_version(version).split(".")[:2])
    needed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        versions = fetch([package.format(series=series) for package in component.packages], arch, work)
        require_upstream(versions, component.version, plain_version(version), f"{name.upper()}_VERSION")
        if component.headers:
            keep_licences(work / "root", [component.version], STAGE / "usr/local")
            move(work / "root/usr/include" / prefix.name, prefix)
        else:
            keep_licences(work / "root", versions, prefix)
            _place(work / "root", prefix, component, elf.TRIPLETS[arch])
            needed = _depends(work / "control", versions)
    lost = [path for path in component.promises if not (prefix / path).exists()]
    if lost:
        fail(f"{name} lacks {', '.join(lost)} below {component.prefix}", "did a package drop or move it?")
    if not component.headers:
        pkgconfig.rewrite_all(prefix, elf.TRIPLETS[arch])
        _find_each_other(component, prefix)
        check_links(prefix)
        print(f"{elf.require(arch, prefix)} ELF files of {name} are for {arch}")
    write_record(STAGE, component, provider, version, needed)


def _place(root: Path, prefix: Path, component: Component, triplet: str) -> None:
    for source, target in _PLACES:
        below = root / "usr" / source.format(triplet=triplet)
        if below.is_dir():
            move(below, prefix / target)
    for path in (*_UNWANTED, *component.left_out):
        if (prefix / path).is_dir():
            shutil.rmtree(prefix / path)
        elif os.path.lexists(prefix / path):
            (prefix / path).unlink()
    # Programs of other systems look for plugins below lib/<triplet>.
    (prefix / "lib" / triplet).symlink_to(".")


def _depends(control: Path, own: dict[str, str]) -> list[str]:
    """Return the packages that those of `own` depend on: of alternatives the first, without those of `own`."""
    found = set()
    for package in own:
        if package.endswith("-dev"):
            continue  # what its libraries need at run time, those say themselves
        text = (control / package / "control").read_text()
        for line in re.findall(r"(?m)^(?:Pre-)?Depends: (.*(?:\n .*)*)", text):
            found |= {re.split(r"[ (|:]", entry.strip(), maxsplit=1)[0] for entry in line.split(",")}
    return sorted(found - set(own))


def _find_each_other(component: Component, prefix: Path) -> None:
    """Let each program and library find those of its own prefix, and of the prefixes it stands on, from where it lies."""
    folders = [prefix / "lib", *(Path(read_record(Path("/"), name)["PREFIX"]) / "lib" for name in component.below)]
    present = [{path.name for path in folder.iterdir()} for folder in folders]
    for path in elf.regular_files(prefix):
        facts = elf.read_elf(path)
        # libcamera runs a module of its own only while the signature beside it fits, every byte of it.
        if facts is None or path.with_name(f"{path.name}.sign").exists():
            continue
        rpath = [
            "$ORIGIN/" + os.path.relpath(_final(folder), _final(path.parent))
            for folder, names in zip(folders, present, strict=True)
            if names & set(facts.needed)
        ]
        if rpath:
            subprocess.run(["patchelf", "--set-rpath", ":".join(rpath), str(path)], check=True)


def _final(path: Path) -> Path:
    """Return where a staged path will lie."""
    return Path("/") / path.relative_to(STAGE) if path.is_relative_to(STAGE) else path
