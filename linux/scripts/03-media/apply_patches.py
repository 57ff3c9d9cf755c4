#!/usr/bin/env python3
"""Apply a set of patches to an unpacked source: all of them or none.

    apply_patches.py DIR PATCHDIR     applies PATCHDIR/*.patch to DIR, in the order of their names

Paths in a patch begin with one folder that is left off (a/, b/). A patch that is applied already is said to be and left
alone, so a second call changes nothing. One that neither applies nor is applied ends the program with its name and that
of the file, and every file stays as it was. Nothing is guessed: the lines around a change have to match exactly (fuzz
0), only its place in the file may have moved.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


def fail(sentence: str, hint: str) -> NoReturn:
    """Stop with one sentence and a hint."""
    print(f"error: {sentence}\nhint: {hint}", file=sys.stderr)
    sys.exit(1)


def touched(patch: Path) -> list[str]:
    """Return the files that a patch changes, relative to the source; stop if it makes, removes or renames one."""
    found: list[str] = []
    old, before, after = "", 0, 0
    for line in patch.read_bytes().decode(errors="surrogateescape").removesuffix("\n").split("\n"):
        # A line of a hunk can look like a header, so a hunk's lines are counted off first.
        if before > 0 or after > 0:
            before -= line[:1] not in ("+", "\\")
            after -= line[:1] not in ("-", "\\")
        elif hunk := HUNK.match(line):
            before, after = (1 if count is None else int(count) for count in hunk.groups())
        elif line.startswith("--- "):
            old = _name(line)
        elif line.startswith("+++ "):
            new = _name(line)
            if old != new or not new:
                fail(f"{patch.name} makes, removes or renames a file", "let a patch change files that are there")
            if ".." in Path(new).parts or Path(new).is_absolute():
                fail(f"{patch.name} changes {new}, which is outside the source", "name files below the source alone")
            found.append(new)
    if before > 0 or after > 0:
        fail(f"{patch.name} ends in the middle of a change", "fetch or make the patch anew")
    if not found:
        fail(f"{patch.name} changes no file", "write it as `diff -u` does, with the lines --- a/FILE and +++ b/FILE")
    return found


def _name(header: str) -> str:
    """The file of a line ``--- a/FILE`` or ``+++ b/FILE``; what may follow behind a tab is its time."""
    return header[4:].partition("\t")[0].strip().partition("/")[2]


def run_patch(patch: Path, place: Path, *options: str) -> bool:
    """Apply one patch to the files in ``place``; return whether all of it fitted."""
    command = ["patch", "--strip=1", "--fuzz=0", "--force", "--no-backup-if-mismatch", "--reject-file=-"]
    words = [*command, *options, f"--directory={place}", f"--input={patch}"]
    english = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=english, check=False)
    if done.returncode > 1:
        said = done.stdout.decode(errors="replace").strip().splitlines()
        fail(f"patch cannot read {patch.name}: {said[-1] if said else 'it says nothing'}", "make the patch anew")
    return done.returncode == 0


def apply_set(source: Path, patches: list[Path]) -> dict[str, bool]:
    """Bring ``source`` into the state in which all patches are applied; return patch → whether that was done now."""
    files = {patch: touched(patch) for patch in patches}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for patch, names in files.items():
            for name in names:
                if not (source / name).is_file():
                    fail(f"{patch.name} changes {name}, which {source} does not have", "is it the right source?")
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source / name, copy / name, follow_symlinks=False)
        # A later patch may have changed what an earlier one left: what is applied comes off last first, then all go on.
        there = {
            patch
            for patch in reversed(patches)
            if run_patch(patch, copy, "--reverse", "--dry-run") and run_patch(patch, copy, "--reverse")
        }
        for patch in patches:
            if not run_patch(patch, copy):
                fail(
                    f"{patch.name} neither applies to {', '.join(files[patch])} nor is it applied; no file was changed",
                    "the source is another one than the patch was made for: compare the lines, and make the patch anew",
                )
        replace({name for names in files.values() for name in names}, copy, source)
    return {patch.name: patch not in there for patch in patches}


def replace(names: set[str], copy: Path, source: Path) -> None:
    """Put those files of ``copy`` that differ into ``source``; all are written before the first takes its place."""
    written = {}
    for name in sorted(names):
        if (copy / name).read_bytes() != (source / name).read_bytes():
            written[name] = source / f"{name}.patched"
            shutil.copyfile(copy / name, written[name])
            shutil.copymode(source / name, written[name])
    for name, path in written.items():
        path.replace(source / name)


def main() -> None:
    if len(sys.argv) != 3:
        fail("apply_patches.py needs a source and a folder of patches", "apply_patches.py DIR PATCHDIR")
    source, folder = Path(sys.argv[1]), Path(sys.argv[2]).absolute()
    patches = sorted(folder.glob("*.patch"))
    if not patches:
        fail(f"{folder} holds no *.patch", "name the folder of the patches")
    if shutil.which("patch") is None:
        fail("the program patch is not installed", "install the package patch")
    for name, now in apply_set(source, patches).items():
        print(f"{'applied' if now else 'already applied'}: {name}")


if __name__ == "__main__":
    main()
