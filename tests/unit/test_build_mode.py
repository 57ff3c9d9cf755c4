"""linux/scripts: what a step makes of BUILD_MODE and of the platform that it runs on, whatever machine this is."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "linux" / "scripts"
ARCHES = ("amd64", "arm64", "riscv64")


@pytest.fixture
def on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes this a machine of another architecture, as far as dpkg says."""

    def put(arch: str) -> None:
        dpkg = tmp_path / "bin" / "dpkg"
        dpkg.parent.mkdir(exist_ok=True)
        dpkg.write_text(f"#!/bin/sh\n[ \"$*\" = --print-architecture ] && echo {arch}\n")
        dpkg.chmod(0o755)
        monkeypatch.setenv("PATH", f"{dpkg.parent}:{os.environ['PATH']}")

    return put


# The two modes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("here", ARCHES)
def test_a_mode_has_these_targets(script: Callable[[str], ModuleType], on: Callable[[str], None], here: str) -> None:
    on(here)
    build_mode = script("build_mode")
    assert build_mode.build_arch() == here
    assert build_mode.targets("cross") == list(ARCHES)
    assert build_mode.targets("native") == [here]


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (("cross",), "amd64 arm64 riscv64\n"),
        (("cross", "amd64,arm64"), "amd64 arm64 riscv64\n"),
        (("native",), "riscv64\n"),
        (("native", "riscv64"), "riscv64\n"),
        (("native", "riscv64,"), "riscv64\n"),
    ],
)
def test_what_it_prints(on: Callable[[str], None], words: tuple[str, ...], printed: str) -> None:
    on("riscv64")
    done = run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("native", "arm64"),
            "error: BUILD_MODE=native on linux/riscv64 builds for riscv64, not for arm64\nhint: build on linux/arm64\n",
        ),
        (
            ("native", "riscv64 amd64"),
            "error: BUILD_MODE=native on linux/riscv64 builds for riscv64, not for amd64\nhint: build on linux/amd64\n",
        ),
        (
            ("cross", "arm46"),
            f"error: BUILD_MODE=cross on linux/riscv64 builds for {', '.join(ARCHES)}, not for arm46\nhint: known are {', '.join(ARCHES)}\n",
        ),
        (("Native", "riscv64"), "error: BUILD_MODE='Native' is no build mode\nhint: cross or native\n"),
        (("",), "error: BUILD_MODE='' is no build mode\nhint: cross or native\n"),
    ],
)
def test_what_it_refuses(on: Callable[[str], None], words: tuple[str, ...], said: str) -> None:
    on("riscv64")
    done = run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    argv = ["python3", "-B", str(SCRIPTS / "01-core" / "build_mode.py"), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


#: Dockerfile → what the specification gives it when it is built by hand, mirrors apart.
BY_HAND = {
    "toolchain": {"BUILD_MODE", "CROSS_TARGETS"},
    "sdk": {"BUILD_MODE", "TARGET_ARCH"},
    "media": {"BUILD_MODE", "TARGET_ARCH"},
    "android": {"BUILD_MODE", "TARGET_ARCH"},
    "package": {"BUILD_MODE", "TARGET_ARCH", "ARTIFACT_PLATFORM", "GCC_VERSION", "LLVM_RELEASE"},
}


@pytest.mark.parametrize("stage", BY_HAND)
def test_the_arguments_of_the_specification_are_declared(stage: str) -> None:
    """An engine warns of one that is not, and builds on without it."""
    text = (SCRIPTS.parent / f"Dockerfile.{stage}").read_text()
    assert set(re.findall(r"(?m)^ARG (\w+)", text)) >= BY_HAND[stage] | {"BASE_IMAGE"}
    assert set(re.findall(r"(?m)^ARG BUILD_MODE(.*)$", text)) == {"=cross"}


# Compilers and Python ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("here", ARCHES)
def test_native_mode_makes_the_compilers_of_its_own_arch(
    script: Callable[[str], ModuleType], on: Callable[[str], None], here: str
) -> None:
    on(here)
    wanted = script("stage_gcc").wanted
    assert [arch for arch in ARCHES if wanted("cross", arch, "native", here)] == []
    assert [arch for arch in ARCHES if wanted("native", arch, "native", here)] == [here]


@pytest.mark.parametrize("here", ARCHES)
def test_cross_mode_makes_all_but_a_second_one_for_here(
    script: Callable[[str], ModuleType], on: Callable[[str], None], here: str
) -> None:
    on(here)
    wanted = script("stage_gcc").wanted
    assert [arch for arch in ARCHES if wanted("cross", arch, "cross", here)] == [arch for arch in ARCHES if arch != here]
    assert [arch for arch in ARCHES if wanted("native", arch, "cross", here)] == list(ARCHES)


@pytest.mark.parametrize(
    ("module", "words", "folder"),
    [
        ("stage_gcc", ("cross", "14.2.0", "arm64", "native"), "gcc-14.2.0"),
        ("stage_gcc", ("cross", "14.2.0", "riscv64", "native"), "gcc-14.2.0"),
        ("stage_gcc", ("native", "14.2.0", "amd64", "native"), "gcc-14.2.0-native-amd64"),
        ("stage_python", ("arm64", "3.13.5", "native"), ""),
    ],
)
def test_what_has_no_use_is_an_empty_folder_and_nothing_is_fetched(
    script: Callable[[str], ModuleType],
    on: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    module: str,
    words: tuple[str, ...],
    folder: str,
) -> None:
    on("riscv64")
    staged = script(module)
    monkeypatch.setattr(staged, "TOP", tmp_path / "opt")
    monkeypatch.setattr(staged, "fetch", lambda *given: pytest.fail(f"fetched {given}"))
    monkeypatch.setattr("sys.argv", [module, *words])
    staged.main()
    assert list((tmp_path / "opt").rglob("*")) == ([tmp_path / "opt" / folder] if folder else [])


def test_each_arch_has_its_loader(script: Callable[[str], ModuleType]) -> None:
    stage_python, staging = script("stage_python"), script("staging")
    assert set(stage_python.LOADERS) == set(ARCHES)
    assert {Path(path).name for path in stage_python.LOADERS.values()} <= staging.SYSTEM_LIBRARIES


@pytest.mark.parametrize("here", ARCHES)
def test_what_runs_here_is_run_without_an_emulator(
    script: Callable[[str], ModuleType], on: Callable[[str], None], tmp_path: Path, here: str
) -> None:
    on(here)
    proof = script("prove_toolchain").Proof("14.2.0", "22.1.8", tmp_path)
    house = script("wheelhouse")
    for arch in ARCHES:
        command = proof.emulated(arch, "/bin/x")
        staged = house.Wheelhouse(arch, "14.2.0", "3.13.5", {}, 0)._staged_python("-V")
        if arch == here:
            assert command == ["/bin/x"] and staged[0] == "env"
        else:
            cpu = script("elf").TRIPLETS[arch].partition("-")[0]
            assert command[0] == f"qemu-{cpu}" and staged[0] == f"/usr/local/bin/qemu-{cpu}"


# Shell scripts: run as copies, with the folders they write to below a directory of the test ----------------------------


def run_copy(name: str, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the toolchain stage, its folders moved below `place` and the programs of /run its fakes there."""
    text = (SCRIPTS / "02-toolchain" / name).read_text()
    text = re.sub(r"(?<![\w.!<}])/(opt|usr/local|etc|run|var)\b", rf"{place}/\1", text)
    (place / name).write_text(text)
    return subprocess.run(["bash", str(place / name), *words], capture_output=True, text=True, check=False)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A root with the folders that the scripts count on, and fakes of what they call."""
    for folder in ("run", "usr/local/bin", "etc/ld.so.conf.d", "opt/gcc-14.2.0/bin", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "run/build_mode.py").write_text((SCRIPTS / "01-core/build_mode.py").read_text())
    (tmp_path / "run/elf.py").write_text((SCRIPTS / "01-core/elf.py").read_text())
    (tmp_path / "run/stage_llvm.py").write_text("import sys\nprint(*sys.argv[1:])\n")
    (tmp_path / "run/cross.cmake").write_text("")
    (tmp_path / "bin/ldconfig").write_text("#!/bin/sh\n")
    (tmp_path / "bin/ldconfig").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(("mode", "targets"), [("cross", ["amd64", "arm64", "riscv64"]), ("native", ["arm64"])])
def test_clang_runs_here_and_has_wrappers_for_the_targets_of_the_mode(
    on: Callable[[str], None], place: Path, mode: str, targets: list[str]
) -> None:
    on("arm64")
    done = run_copy("host-clang.sh", place, "22.1.8", "14.2.0", mode)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"arm64 {place}/opt/llvm-22.1.8 22.1.8 14.2.0 {' '.join(targets)}\n"
    wrappers = {path.name: path.read_text() for path in (place / "usr/local/bin").iterdir()}
    assert set(wrappers) == {f"{driver}-{arch}" for driver in ("clang", "clang++") for arch in targets}
    roots = {name: re.findall(r"--sysroot=(\S+)", text) for name, text in wrappers.items()}
    assert roots["clang-arm64"] == ["/"]
    if mode == "cross":
        assert roots["clang-amd64"] == [f"{place}/opt/gcc-14.2.0/x86_64-linux-gnu"]


def test_a_mode_that_does_not_exist_ends_the_clang_step(on: Callable[[str], None], place: Path) -> None:
    on("arm64")
    done = run_copy("host-clang.sh", place, "22.1.8", "14.2.0", "both")
    assert (done.returncode, done.stdout) == (1, "")
    assert "BUILD_MODE='both' is no build mode" in done.stderr


@pytest.mark.parametrize(("here", "triplet"), [("amd64", "x86_64"), ("riscv64", "riscv64")])
def test_programs_find_the_libraries_of_the_gcc_that_runs_here(
    on: Callable[[str], None], place: Path, here: str, triplet: str
) -> None:
    on(here)
    done = run_copy("build-helpers.sh", place, "14.2.0")
    assert (done.returncode, done.stderr) == (0, "")
    named = (place / "etc/ld.so.conf.d/00-gcc.conf").read_text()
    assert named == f"{place}/opt/gcc-14.2.0/lib/{triplet}-linux-gnu\n"
