#!/usr/bin/env python3
"""Prove the gathered compiler image: versions, targets, and programs that compile, link and run.

Reads GCC_VERSION, LLVM_RELEASE, PYTHON_VERSION and CROSS_TARGETS from the environment. Foreign programs run
under qemu-user with the C library of the cross compiler as their root. Stops at the first thing that is not
as advertised.
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

# What the driver tells the compiler proper about the processor, where that has no default of its own.
CPU_FLAGS = {"riscv64": ("-march=rv64gc", "-mabi=lp64d")}

C_PROGRAM = """
#include <stdio.h>
int main(void) { puts("C runs"); return 0; }
"""
CXX_PROGRAM = """
#include <atomic>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
int main() {
    std::atomic<int> sum{0};
    std::thread first([&] { sum += 1; }), second([&] { sum += 2; });
    first.join();
    second.join();
    try {
        throw std::runtime_error("C++ runs " + std::to_string(sum));
    } catch (const std::exception &error) {
        std::cout << error.what() << std::endl;
    }
}
"""


def run(*command: str) -> str:
    """Run a command and return what it prints, without the last newline; stop if it fails."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"error: exit status {done.returncode} of {' '.join(command)}\n{done.stdout}")
    return done.stdout.strip()


def expect(what: str, got: str, wanted: str) -> None:
    """Stop unless `got` is `wanted`."""
    if got != wanted:
        sys.exit(f"error: {what} is {got!r}, expected {wanted!r}")
    print(f"{what}: {got}")


PYTHON_PROGRAM = """
#include <Python.h>
int main(void) {
    Py_Initialize();
    int failed = PyRun_SimpleString("import math, zlib, sys; print('Python', sys.version.split()[0])");
    return Py_FinalizeEx() || failed;
}
"""


class Proof:
    """The checks, for one set of advertised versions."""

    def __init__(self, gcc_version: str, llvm_release: str, folder: Path) -> None:
        self.gcc_version, self.llvm_release, self.folder = gcc_version, llvm_release, folder
        self.gcc = Path(f"/opt/gcc-{gcc_version}")
        self.here = build_mode.build_arch()
        (folder / "c.c").write_text(C_PROGRAM)
        (folder / "cxx.cc").write_text(CXX_PROGRAM)
        (folder / "python.c").write_text(PYTHON_PROGRAM)

    def emulated(self, arch: str, *command: str) -> list[str]:
        """Return the command line that runs a program of `arch` here."""
        if arch == self.here:
            return list(command)
        triplet = TRIPLETS[arch]
        return [f"qemu-{triplet.partition('-')[0]}", "-L", str(self.gcc / triplet), *command]

    def build(self, arch: str, compiler: str, source: str, *flags: str) -> Path:
        """Compile, link, check the machine."""
        program = self.folder / "program"
        run(compiler, "-Wall", "-Werror", "-O1", str(self.folder / source), *flags, "-o", str(program))
        elf.require(arch, program)
        return program

    def build_and_run(self, arch: str, compiler: str, source: str, wanted: str, *flags: str) -> None:
        """Compile, link, check the machine, run, compare."""
        program = self.build(arch, compiler, source, *flags)
        what = " ".join((Path(compiler).name, *flags, source))
        expect(f"{arch}: {what}", run(*self.emulated(arch, str(program))), wanted)

    def gcc_for(self, arch: str) -> None:
        """The GCC that runs here and compiles for `arch`."""
        triplet = TRIPLETS[arch]
        for name in (
            "gcc",
            "g++",
            "cpp",
            "ar",
            "as",
            "ld",
            "nm",
            "ranlib",
            "strip",
            "objcopy",
            "objdump",
            "readelf",
            "gcc-ar",
            "gcc-nm",
            "gcc-ranlib",
        ):
            expect(
                f"which {triplet}-{name}",
                str(shutil.which(f"{triplet}-{name}")),
                f"{self.gcc}/bin/{triplet}-{name}",
            )
        for name in ("gcc", "g++"):
            expect(
                f"{triplet}-{name} version", run(f"{triplet}-{name}", "-dumpfullversion"), self.gcc_version
            )
            expect(f"{triplet}-{name} machine", run(f"{triplet}-{name}", "-dumpmachine"), triplet)
        self.build_and_run(arch, f"{triplet}-gcc", "c.c", "C runs")
        self.build_and_run(arch, f"{triplet}-gcc", "c.c", "C runs", "-static")
        self.build_and_run(arch, f"{triplet}-g++", "cxx.cc", "C++ runs 3", "-pthread")
        self.build_and_run(arch, f"{triplet}-g++", "cxx.cc", "C++ runs 3", "-pthread", "-flto")

    def own_folders_for(self, arch: str) -> None:
        """A cross compiler that looks into the build image takes its headers and libraries for the target's."""
        triplet = TRIPLETS[arch]
        said = run(f"{triplet}-g++", "-xc++", "-E", "-v", os.devnull).splitlines()
        start = said.index("#include <...> search starts here:")
        headers = said[start + 1 : said.index("End of search list.")]
        linking = run(f"{triplet}-g++", "-v", str(self.folder / "cxx.cc"), "-o", str(self.folder / "program")).split()
        libraries = [word[2:] for word in linking if word.startswith("-L")]
        folders = {os.path.realpath(folder.strip()) for folder in [*headers, *libraries]}
        strays = sorted(folder for folder in folders if not Path(folder).is_relative_to(self.gcc))
        if not headers or not libraries or strays:
            sys.exit(f"error: {triplet}-g++ looks into {strays or 'no folder'}, outside {self.gcc}")
        print(f"{triplet}-g++ looks into {len(folders)} folders, all below {self.gcc}")

    def python_for(self, arch: str, version: str) -> None:
        """A program that embeds the staged Python, built as pkg-config says and run."""
        prefix = f"/opt/python-cross/{arch}/usr/local"
        os.environ["PKG_CONFIG_PATH"] = f"{prefix}/lib/pkgconfig"
        flags = run(f"{TRIPLETS[arch]}-pkg-config", "--cflags", "--libs", "python3-embed").split()
        os.environ["PYTHONHOME"] = prefix
        # An RPATH of the old kind, since libpython's own needs are looked for by it too.
        place = f"-Wl,-rpath,{prefix}/lib,--disable-new-dtags"
        self.build_and_run(arch, f"{TRIPLETS[arch]}-gcc", "python.c", f"Python {version}", *flags, place)
        del os.environ["PYTHONHOME"], os.environ["PKG_CONFIG_PATH"]

    def runtimes_for(self, arch: str) -> None:
        """What programs of either compiler are linked with on request; here, where they can run, they do."""
        for compiler in (f"{TRIPLETS[arch]}-g++", f"clang++-{arch}"):
            for flags in (("-fsanitize=address",), ("-fsanitize=undefined",), ("--coverage",)):
                if arch == self.here:
                    self.build_and_run(arch, compiler, "cxx.cc", "C++ runs 3", "-pthread", *flags)
                    for counted in Path().glob("*.gc*"):
                        counted.unlink()  # the other compiler would add to it, in another format
                else:
                    self.build(arch, compiler, "cxx.cc", "-pthread", *flags)
                    print(f"{arch}: {compiler} {' '.join(flags)} links")

    def clang_for(self, arch: str) -> None:
        """The clang wrappers for `arch`, and that they use the chain's GCC."""
        expect(f"clang-{arch} version", run(f"clang-{arch}", "-dumpversion"), self.llvm_release)
        library = os.path.realpath(run(f"clang-{arch}", "-print-libgcc-file-name"))
        if not library.startswith(f"{self.gcc}/"):
            sys.exit(f"error: clang-{arch} uses {library}, not the libgcc of {self.gcc}")
        chosen = [
            line for line in run(f"clang++-{arch}", "-v").splitlines() if "Selected GCC installation" in line
        ]
        if len(chosen) != 1 or f"{self.gcc}/" not in chosen[0]:
            sys.exit(f"error: clang++-{arch} selected {chosen}, expected an installation below {self.gcc}")
        self.build_and_run(arch, f"clang-{arch}", "c.c", "C runs")
        self.build_and_run(arch, f"clang++-{arch}", "cxx.cc", "C++ runs 3", "-pthread")
        self.build_and_run(arch, f"clang++-{arch}", "cxx.cc", "C++ runs 3", "-pthread", "-fuse-ld=lld")

    def native_gcc_for(self, arch: str) -> None:
        """The GCC that runs on `arch`; a mix-up shows in its own machine, not in the one it targets."""
        prefix = Path(f"{self.gcc}-native-{arch}")
        elf.require(arch, prefix / "bin", prefix / "libexec")
        driver = str(prefix / "bin/gcc")
        expect(
            f"native {arch} version", run(*self.emulated(arch, driver, "-dumpfullversion")), self.gcc_version
        )
        expect(f"native {arch} machine", run(*self.emulated(arch, driver, "-dumpmachine")), TRIPLETS[arch])
        # The compiler proper, without the driver: the driver would start its parts outside the emulator.
        assembly = self.folder / "native.s"
        for part, source in (("cc1", "int one(void) { return 1; }"), ("cc1plus", "int one() { return 1; }")):
            (self.folder / "one").write_text(source)
            program = next(prefix.glob(f"libexec/gcc/*/*/{part}"))
            run(
                *self.emulated(
                    arch,
                    str(program),
                    *CPU_FLAGS.get(arch, ()),
                    "-quiet",
                    str(self.folder / "one"),
                    "-o",
                    str(assembly),
                )
            )
            run(f"{TRIPLETS[arch]}-as", str(assembly), "-o", str(self.folder / "one.o"))
            elf.require(arch, self.folder / "one.o")
        print(f"native {arch}: cc1 and cc1plus compile")


def main() -> None:
    gcc_version, llvm_release = os.environ["GCC_VERSION"], os.environ["LLVM_RELEASE"]
    arches = os.environ["CROSS_TARGETS"].replace(",", " ").split()
    unknown = sorted(set(arches) - set(TRIPLETS))
    if unknown:
        sys.exit(f"error: CROSS_TARGETS names {unknown[0]!r}\nhint: known are {', '.join(TRIPLETS)}")
    expect("which gcc", str(shutil.which("gcc")), f"/opt/gcc-{gcc_version}/bin/gcc")
    expect("which g++", str(shutil.which("g++")), f"/opt/gcc-{gcc_version}/bin/g++")
    expect(
        "python3 version",
        run("/usr/local/bin/python3", "-c", "import platform; print(platform.python_version())"),
        os.environ["PYTHON_VERSION"],
    )
    here = build_mode.build_arch()
    for arch in set(TRIPLETS) - set(arches) - {here}:
        expect(f"which {TRIPLETS[arch]}-gcc", str(shutil.which(f"{TRIPLETS[arch]}-gcc")), "None")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # programs for coverage leave files where they run
        proof = Proof(gcc_version, llvm_release, Path(folder))
        proof.build_and_run(here, "clang", "c.c", "C runs")
        proof.build_and_run(here, "clang++", "cxx.cc", "C++ runs 3", "-pthread")
        for arch in arches:
            proof.gcc_for(arch)
            if arch != here:
                proof.own_folders_for(arch)
            proof.clang_for(arch)
            proof.runtimes_for(arch)
            proof.native_gcc_for(arch)
            proof.python_for(arch, os.environ["PYTHON_VERSION"])


if __name__ == "__main__":
    main()
