"""Measure the plugin against what it is compared with, and print a table of ratios.

    .venv/bin/python bench/run.py [--rounds 15] [--only CASE…] [--work DIR]

Nothing here passes or fails: numbers of one machine are no property of the program. Ratios are taken pair
by pair within one alternation (see timing.py). Run it with the Python that has SCons.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

from case import Bench, Group
from cases import CASES, drop_store
from timing import Failed

_VERSIONS = {
    "scons": (sys.executable, "-m", "SCons", "--version"),
    "make": ("make", "--version"),
    "ninja": ("ninja", "--version"),
    "buildah": ("buildah", "--version"),
    "tar": ("tar", "--version"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Print a table of ratios.")
    parser.add_argument(
        "--rounds", type=int, default=15, help="how often each short command runs (default 15)"
    )
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), metavar="CASE",
                        help=f"some of: {', '.join(CASES)}")  # fmt: skip
    parser.add_argument("--work", help="an empty directory to work in (default: a temporary one)")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error("--rounds is at least 1")
    if importlib.util.find_spec("SCons") is None:
        parser.error(f"{sys.executable} has no SCons; run this with .venv/bin/python")
    if chosen.work and os.path.isdir(chosen.work) and os.listdir(chosen.work):
        parser.error(f"{chosen.work} is not empty")
    directory = os.path.abspath(chosen.work or tempfile.mkdtemp(prefix="bench-"))
    os.makedirs(directory, exist_ok=True)
    # Without byte code every run compiles its modules again; kept apart, so that the checkout stays as it is.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = os.path.join(directory, "pycache")
    for name in ("TARGET_ARCH", "TARGET_ARCHES", "PROFILE", "OUTPUT_ROOT", "ROOT_IMAGE", "SCONSFLAGS"):
        os.environ.pop(name, None)
    sys.stdout.write(machine())
    failed = 0
    try:
        for name in chosen.only:
            try:
                for group in CASES[name](Bench(directory, chosen.rounds)):
                    sys.stdout.write(table(group))
                    sys.stdout.flush()
            except (Failed, OSError, subprocess.CalledProcessError) as problem:
                failed += 1
                sys.stdout.write(f"\n{name}: not measured: {problem}\n")
    finally:
        if not chosen.work:
            for store in ("store", "chain-store", "plugin-store", "calls-store"):
                drop_store(os.path.join(directory, store))
            shutil.rmtree(directory)
    return 1 if failed else 0


def machine() -> str:
    """What the numbers depend on: the machine, its load, the versions."""
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [
        f"machine: {os.cpu_count()} processors ({_processor()}), {platform.system()} {platform.release()}",
        f"load: {load}; above the number of processors, trust the ratio of cpu more than that of wall time",
        f"versions: python {platform.python_version()}, "
        + ", ".join(f"{name} {_version(name)}" for name in _VERSIONS),
        "times in ms, of whole processes run in turn",
        "ratio: the median of the pairs' ratios to the first line of a group",
    ]
    return "\n".join(lines) + "\n"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            found = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else platform.machine()


def _version(name: str) -> str:
    argv = _VERSIONS[name]
    if not shutil.which(argv[0]):
        return "not installed"
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found.group(0) if found else "of unknown version"


def table(group: Group) -> str:
    """A group as text."""
    lines = ["", group.title]
    if group.series:
        lines.append(f"  {'':34}{'median':>9}{'min':>9}{'cpu':>9}{'ratio':>8}{'of cpu':>8}")
    for series in group.series:
        first = group.series[0]
        times = [statistics.median(series.wall), min(series.wall), statistics.median(series.cpu)]
        numbers = "".join(f"{seconds * 1000:9.0f}" for seconds in times)
        lines.append(
            f"  {series.command.title:34}{numbers}{series.ratio(first):8.2f}{series.cpu_ratio(first):8.2f}"
        )
    lines += [f"  note: {note}" for note in group.notes]
    lines += [f"  not measured: {reason}" for reason in group.missing]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
