"""Projects to measure: generated ones and a copy of this repository, up to date without a real build."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

from case import Shape
from generate import HERE, generate, write, write_root
from timing import Command, Failed, once

ROOT = os.path.dirname(HERE)

#: `python -P -m SCons` is how sconsw starts SCons.
SCONS = (sys.executable, "-P", "-m", "SCons")

#: Read by SCons before the SConstruct; makes the stub known without a word in the project itself.
_SITE_INIT = """import os, sys
sys.path[:0] = [{bench!r}, os.path.join(os.path.dirname(__file__), "site_tools")]
import stub
stub.register({directory!r})
del sys.path[:2]
"""

#: A file counts as settled to the plugin when it was left alone for two seconds before it was hashed.
_SETTLE = 2.5

#: The layout that stands for the root file system in a copy of this repository.
STUB_ROOT = os.path.join("out", "stub-root")


def empty(directory: str) -> str:
    """A project of one line: the least that SCons can take."""
    write(directory, "SConstruct", "DefaultEnvironment(tools=[])\n")
    return directory


def generated(directory: str, shape: Shape) -> str:
    """A generated project in which everything is up to date, for make and ninja too where they are there."""
    generate(directory, shape)
    build_with_stub(directory)
    os.makedirs(os.path.join(directory, "stamps"))
    for tool in ("make", "ninja"):
        if shutil.which(tool):
            once(Command(tool, (tool,), directory))
    return directory


def built_by_buildah(directory: str, store: str, shape: Shape) -> tuple[str, tuple[str, ...]]:
    """A generated project whose images buildah built into ``store``, and the words of its no-op; cases may share it."""
    words = (*SCONS, f"--store={store}")
    if not os.path.isdir(directory):
        generate(directory, shape)
    once(Command("build", words, directory))
    settle(Command("no-op", words, directory))
    return directory, words


def copy_of_repository(directory: str) -> str:
    """The files of this repository as they are now, in which every export is up to date by the stub."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    for name in filter(None, os.fsdecode(listed).split("\0")):
        source, target = os.path.join(ROOT, name), os.path.join(directory, name)
        if os.path.lexists(source):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    layout = os.path.join(directory, STUB_ROOT)
    write_root(layout)
    build_with_stub(directory, {"ROOT_IMAGE": f"oci:{layout}"})
    return directory


def build_with_stub(directory: str, env: dict[str, str] | None = None) -> None:
    """Build the default targets with the stub, then let a no-op hash every settled file."""
    site_init = os.path.join(directory, "site_scons", "site_init.py")
    with open(site_init, "w", encoding="utf-8") as file:
        file.write(_SITE_INIT.format(bench=HERE, directory=os.path.join(directory, "out", "stub")))
    try:
        once(Command("set-up", (*SCONS, "--engine=stub"), directory, env or {}))
    finally:
        os.unlink(site_init)
    settle(Command("no-op", SCONS, directory, env or {}))


def settle(command: Command) -> None:
    """Let a no-op hash every file once more when all of them count as settled, and make sure that it is one.

    Raises ``Failed`` when the command changes a record.
    """
    before = _records(command.cwd)
    time.sleep(_SETTLE)
    once(command)
    if not before or _records(command.cwd) != before:
        raise Failed(f"{command.title} in {command.cwd} was to do nothing, but there is work")


def _records(directory: str) -> dict[str, int]:
    return {
        os.path.join(folder, name): os.stat(os.path.join(folder, name)).st_ino
        for folder, _, names in os.walk(os.path.join(directory, "out", "images"))
        for name in names
    }
