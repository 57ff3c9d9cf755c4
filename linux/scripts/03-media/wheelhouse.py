#!/usr/bin/env python3
"""Cross-build the Python wheels of one target into /opt/app-wheels, and say there what became of each row of the table.

    wheelhouse.py ARCH GCC_VERSION PYTHON_VERSION VARIABLE=VERSION…

The variables are those of wheel_table.py. Each wheel is compiled by the chain's GCC against the staged Python, judged
(wheel_check.py), and imported by the staged Python itself, under emulation for a foreign target. A wheel that fails is an
error; what is not built is a row of the table.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import build_mode
import elf
import wheel_check
import wheel_pack
import wheel_table
from distribution import local_names
from staging import fail
from wheel_table import Recipe, Row

RESULT = Path("/opt/app-wheels")
# Always the same folder, so that no path of it makes two builds differ.
BUILD = Path("/tmp/wheelhouse")

TOOLS = ("python3-build", "python3-pip", "python3-setuptools", "python3-wheel")
# What each build system needs beside them.
BACKEND_TOOLS = {"setuptools": (), "meson": ("cython3", "python3-mesonpy")}

# pip asks the build system for an archive's name before it keeps it, and Meson's configures the whole build for that.
STAND_IN = '''"""Answers for numpy's build system while its source is fetched: name and version, and nothing is configured."""

import pathlib


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(directory, config_settings=None):
    name, _, version = {identity!r}.partition("-")
    folder = pathlib.Path(directory, {identity!r} + ".dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\\nName: " + name + "\\nVersion: " + version + "\\n")
    return folder.name
'''

CROSS_FILE = """[binaries]
c = '{tool}-gcc'
cpp = '{tool}-g++'
ar = '{tool}-ar'
strip = '{tool}-strip'
pkg-config = '{tool}-pkg-config'
python = '{python}'

[built-in options]
c_args = {flags}
cpp_args = {flags}

[properties]
needs_exe_wrapper = true
longdouble_format = '{long_double}'

[host_machine]
system = 'linux'
cpu_family = '{cpu}'
cpu = '{cpu}'
endian = 'little'
"""

NATIVE_FILE = """[binaries]
cython = ['{python}', '-B', '/run/cython_here.py', '{build}']
"""

# numpy's names for the format of long double, which a cross build cannot find out by running something.
LONG_DOUBLE = {"amd64": "INTEL_EXTENDED_16_BYTES_LE", "arm64": "IEEE_QUAD_LE", "riscv64": "IEEE_QUAD_LE"}

# No path of the build in assertions.
FLAGS = ["-g0", f"-ffile-prefix-map={BUILD}=."]
# What setuptools is given takes the place of sysconfig's flags; Meson has its own build types.
SETUPTOOLS_FLAGS = ["-O2", "-DNDEBUG", "-Wall", "-fno-strict-overflow", *FLAGS]


class Wheelhouse:
    """The builds for one target.

    versions: the values of the table's variables
    epoch:    the time of all that is made, in seconds
    """

    def __init__(self, arch: str, gcc_version: str, python_version: str, versions: Mapping[str, str], epoch: int) -> None:
        self.arch, self.versions, self.epoch = arch, versions, epoch
        self.series = python_version.rpartition(".")[0]
        self.here = build_mode.build_arch()
        self.triplet = elf.TRIPLETS[arch]
        self.cpu = self.triplet.partition("-")[0]
        self.tool = f"/opt/gcc-{gcc_version}/bin/{self.triplet}"
        self.system_root = f"/opt/gcc-{gcc_version}/{self.triplet}"
        self.python = Path(f"/opt/python-cross/{arch}/usr/local")

    def fetch(self) -> None:
        """Put the source archives of all that is built into BUILD/archives, each checked against its hash."""
        lines = []
        stand_in = BUILD / "stand-in"
        stand_in.mkdir()
        for row, recipe in wheel_table.built(self.arch):
            version = self.versions[row.version]
            if version not in recipe.sha256:
                fail(
                    f"{row.version}={version}, but no hash of that source is known",
                    f"known are {', '.join(sorted(recipe.sha256))}; wheel_table.py holds them",
                )
            lines.append(f"{row.name}=={version} --hash=sha256:{recipe.sha256[version]}\n")
            if recipe.backend == "meson":
                (stand_in / "mesonpy.py").write_text(STAND_IN.format(identity=f"{row.name}-{version}"))
        (BUILD / "requirements").write_text("".join(lines))
        command = ["/run/fetch-sdists.sh", str(BUILD / "archives"), str(BUILD / "requirements")]
        if subprocess.run(command, check=False, env=dict(os.environ, PYTHONPATH=str(stand_in))).returncode:
            fail("the sources could not be fetched; the client's own message is above")

    def environment(self) -> dict[str, str]:
        """Return the environment in which Python speaks of the target, and its build systems compile for it.

        The Python that runs the build is the build platform's, told by sysconfig's data of the staged Python that it is
        the target's. The target's own under emulation would be right without that, but takes ten times as long for
        Cython and for the code that numpy generates, and the compiler would be started out of the emulator anyway.
        """
        # The data alone: the folder of the staged Python holds extension modules of another machine.
        data, name = BUILD / "sysconfig", f"_sysconfigdata__linux_{self.triplet}"
        data.mkdir(exist_ok=True)
        shutil.copyfile(self.python / f"lib/python{self.series}/{name}.py", data / f"{name}.py")
        return dict(
            os.environ,
            PYTHONPATH=str(data),
            PYTHONDONTWRITEBYTECODE="1",
            PYTHONHASHSEED="0",
            _PYTHON_SYSCONFIGDATA_NAME=name,
            _PYTHON_HOST_PLATFORM=f"linux-{self.cpu}",
            LC_ALL="C.UTF-8",
        )

    def build(self, row: Row, recipe: Recipe) -> Path:
        """Build a wheel from its source; return it as its build system left it."""
        archives = sorted((BUILD / "archives").glob(f"{row.name}-{self.versions[row.version]}.*"))
        if len(archives) != 1:
            fail(f"there are {len(archives)} archives of {row.name}, expected one")
        source = BUILD / row.name
        with tarfile.open(archives[0]) as archive:
            archive.extractall(BUILD / "sources", filter="data")
        (BUILD / "sources" / archives[0].name.removesuffix(".tar.gz")).rename(source)
        environment = self.environment()
        options: list[str] = []
        if recipe.backend == "meson":
            options = self._meson_options(recipe)
        else:
            environment |= {"CC": f"{self.tool}-gcc", "CXX": f"{self.tool}-g++", "CFLAGS": " ".join(SETUPTOOLS_FLAGS)}
        made = BUILD / f"{row.name}-made"
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--skip-dependency-check"]
        if subprocess.run([*command, f"--outdir={made}", *options, str(source)], check=False, env=environment).returncode:
            fail(f"the wheel of {row.name} for {self.arch} could not be built; the build system's messages are above")
        return next(iter(sorted(made.glob("*.whl"))))

    def _meson_options(self, recipe: Recipe) -> list[str]:
        jobs = subprocess.check_output(
            ["bash", "-c", "source /run/transport.sh && transport_load && transport_jobs 1000"], text=True
        ).strip()
        cross, native = BUILD / "cross.ini", BUILD / "native.ini"
        native.write_text(NATIVE_FILE.format(python=sys.executable, build=BUILD))
        cross.write_text(
            CROSS_FILE.format(
                tool=self.tool, python=sys.executable, flags=FLAGS, long_double=LONG_DOUBLE[self.arch], cpu=self.cpu
            )
        )
        return [
            f"-Cbuild-dir={BUILD / 'meson'}",
            f"-Csetup-args=--cross-file={cross}",
            f"-Csetup-args=--native-file={native}",
            *(f"-Csetup-args={option}" for option in recipe.options),
            f"-Ccompile-args=-j{jobs}",
        ]

    def finish(self, row: Row, recipe: Recipe, made: Path) -> Path:
        """Strip a wheel, pack it anew into RESULT and judge it; return it."""
        folder = BUILD / f"{row.name}-unpacked"
        wheel_pack.unpack(made, folder)
        wheel_pack.strip(folder, f"{self.tool}-strip")
        wheel = RESULT / made.name
        wheel_pack.pack(folder, wheel, self.epoch)
        version = self.versions[row.version]
        expected = wheel_check.Expected(row.name, version, self.arch, self.series, recipe.modules, self.epoch, str(BUILD))
        offences = wheel_check.offences(wheel, expected)
        if offences:
            fail("\nerror: ".join(offences))
        return wheel

    def prove(self, row: Row, recipe: Recipe, wheel: Path) -> None:
        """Let the staged Python import the wheel's modules and compute something."""
        with tempfile.TemporaryDirectory() as scratch:
            site = Path(scratch) / "site"
            wheel_pack.unpack(wheel, site)
            checks = "".join(
                f"import {module}\nassert {module}.__file__.startswith({str(site)!r}), {module}.__file__\n"
                for module in recipe.modules
            )
            head = f"import sys, platform\nsys.path.insert(0, {str(site)!r})\nassert platform.machine() == {self.cpu!r}\n"
            command = self._staged_python("-B", "-I", "-c", head + checks + recipe.proof)
            if subprocess.run(command, check=False).returncode:
                fail(f"{wheel.name} was built, but Python for {self.arch} cannot use it; its own message is above")

    def _staged_python(self, *arguments: str) -> list[str]:
        """Return the command that runs the staged Python here; the libraries beside it are found by this path alone."""
        command = [str(self.python / "bin/python3"), *arguments]
        libraries = f"LD_LIBRARY_PATH={self.python / 'lib'}"
        if self.arch == self.here:
            return ["env", libraries, *command]
        return [f"/usr/local/bin/qemu-{self.cpu}", "-L", self.system_root, "-E", libraries, *command]


def main(arch: str, gcc_version: str, python_version: str, *assigned: str) -> None:
    if arch not in elf.TRIPLETS:
        fail(f"TARGET_ARCH='{arch}' is no target", "amd64, arm64 or riscv64")
    if platform.python_version() != python_version:
        fail(f"PYTHON_VERSION={python_version}, but the Python that runs the builds is {platform.python_version()}")
    versions = {key: value for key, _, value in (word.partition("=") for word in assigned)}
    lost = sorted({row.version for row in wheel_table.rows(arch) if row.version and not versions.get(row.version)})
    if lost:
        fail(f"{', '.join(lost)} has no value")
    house = Wheelhouse(arch, gcc_version, python_version, versions, int(os.environ["SOURCE_DATE_EPOCH"]))
    wanted = wheel_table.built(arch)
    BUILD.mkdir()
    RESULT.mkdir(parents=True)
    tools = {tool for _, recipe in wanted for tool in (*TOOLS, *BACKEND_TOOLS[recipe.backend])}
    if subprocess.run(["/run/apt.sh", "install", *local_names(sorted(tools))], check=False).returncode:
        fail("apt could not install the build tools; its own message is above")
    house.fetch()
    for row, recipe in wanted:
        start = time.monotonic()
        wheel = house.finish(row, recipe, house.build(row, recipe))
        house.prove(row, recipe, wheel)
        took = time.monotonic() - start
        print(f"{wheel.name}: {wheel.stat().st_size} bytes, imported on {arch}, {took:.0f} s", flush=True)
    (RESULT / wheel_table.LIST).write_text(wheel_table.listing(arch, versions))
    print((RESULT / wheel_table.LIST).read_text(), end="")
    shutil.rmtree(BUILD)


if __name__ == "__main__":
    main(*sys.argv[1:])
