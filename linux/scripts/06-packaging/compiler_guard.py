#!/usr/bin/env python3
"""The guard of the compilers that a runtime image ships (fix 4): three layers, each of which sees what the others cannot.

    compiler_guard.py ARCH COMPILER…

1. `-dumpmachine` says the target: a compiler for another target is refused.
2. The ELF machine of the program itself is the target's: a compiler of the build platform that merely compiles for the
   target says the right triplet and is refused here. A driver behind a wrapper script is the `<name>.real` beside it.
3. A program is compiled to an object on the target, and the object is the target's: a driver whose compiler proper or
   assembler is another one's is refused here.

Runs on the target (under emulation for a foreign one), for that is where the third layer means something.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import elf


class Wrong(Exception):
    """A layer refuses a compiler; the text is one sentence."""


def dumpmachine(compiler: Path, arch: str) -> str:
    """Layer 1: return the triplet that the compiler says; raise Wrong unless it is the target's."""
    done = _run(compiler, "-dumpmachine")
    said = done.stdout.strip()
    cpu = elf.TRIPLETS[arch].partition("-")[0]
    if done.returncode or not (said.startswith(f"{cpu}-") and said.endswith("linux-gnu")):
        raise Wrong(f"{compiler} compiles for {said or 'nothing'}, not for {elf.TRIPLETS[arch]}")
    return said


def program_machine(compiler: Path, arch: str) -> Path:
    """Layer 2: return the program behind the compiler; raise Wrong unless it runs on the target."""
    program = compiler.resolve()
    real = program.with_name(f"{program.name}.real")
    if real.exists():
        program = real.resolve()
    try:
        facts = elf.read_elf(program)
    except elf.ForeignElf as error:
        raise Wrong(f"{program}: {error}") from error
    if facts is None:
        raise Wrong(f"{program} is no ELF file, and no {real.name} lies beside it")
    if facts.machine != elf.MACHINES[arch]:
        raise Wrong(f"{program} runs on machine {facts.machine}, not on {elf.MACHINES[arch]} ({arch})")
    return program


def compiles(compiler: Path, arch: str, folder: Path) -> Path:
    """Layer 3: return an object that the compiler made in `folder`; raise Wrong unless it is the target's."""
    language, name = ("c++", "cc") if "++" in compiler.name else ("c", "c")
    source, result = folder / f"probe.{name}", folder / "probe.o"
    source.write_text("#include <stdlib.h>\nint probe(void) { return abs(-1); }\n")
    result.unlink(missing_ok=True)
    done = _run(compiler, "-x", language, "-c", str(source), "-o", str(result))
    if done.returncode or not result.exists():
        raise Wrong(f"{compiler} compiles nothing (exit status {done.returncode}): {done.stdout.strip()}")
    with result.open("rb") as stream:
        machine = elf.machine_of(stream.read(64))
    if machine != elf.MACHINES[arch]:
        raise Wrong(f"{compiler} made an object for machine {machine}, not for {elf.MACHINES[arch]} ({arch})")
    return result


def _run(compiler: Path, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [str(compiler), *words], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        raise Wrong(f"{compiler} does not start: {error.strerror}") from error


def guard(compiler: Path, arch: str) -> str:
    """All three layers; return a sentence on what was seen. Raises Wrong."""
    said = dumpmachine(compiler, arch)
    program = program_machine(compiler, arch)
    with tempfile.TemporaryDirectory() as folder:
        compiles(compiler, arch, Path(folder))
    return f"{compiler} is {program}, runs on {arch} and compiles for {said}"


if __name__ == "__main__":
    wanted, *compilers = sys.argv[1:]
    for name in compilers:
        try:
            print(guard(Path(name), wanted))
        except Wrong as problem:
            sys.exit(f"error: {problem}\nhint: the package stage ships a compiler that is not the target's own")
