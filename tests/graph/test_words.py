"""What users write: words on the command line, settings, values and paths that are not plain, mistakes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .project import EVERYTHING, EXPORTS, GRAPH, Project
from .runner import run_scons

# Mistakes --------------------------------------------------------------------------------------------------------

MISTAKES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "target": (("compilr",), "target-unknown", "did you mean compiler"),
    "step": (("sdk-arm64:glslan",), "target-unknown", "did you mean sdk-arm64:glslang"),
    "export": (("out/linux-sdk/arm46",), "target-unknown", "did you mean out/linux-sdk/arm64"),
    "path in a tree": (("out/linux-sdk/arm64/rootfs/etc",), "target-unknown", "out/linux-sdk/arm64"),
    "a source file": (("scripts/base.sh",), "target-unknown", "--list-targets"),
    "a source directory": (("scripts",), "target-unknown", ""),
    "another arch's node": (("TARGET_ARCH=arm64", "sdk-riscv64"), "target-unknown", "did you mean sdk-arm64"),
    "variable": (("GCC_VERSON=15",), "variable-unknown", "did you mean GCC_VERSION"),
    "provider": (("GCC=sauce",), "provider-unknown", "distro, source"),
    "provider of one arch": (("GCC_PROVIDER_ARM64=sauce",), "provider-unknown", "distro, source"),
    "short provider of nothing": (("GCCC=source",), "variable-unknown", "did you mean GCC"),
    "profile": (("PROFILE=plane",), "profile-unknown", "did you mean plain"),
    "arch": (("TARGET_ARCH=arm46",), "arch-unknown", "did you mean"),
    "one arch of many": (("TARGET_ARCHES=arm64,x86",), "arch-unknown", ""),
    "engine": (("--engine=docka", "--refresh=base"), "engine-unknown", "choose one of"),
    "root image by tag": (("ROOT_IMAGE=debian:13",), "root-image", "name@sha256:"),
    "root image of no layout": (("ROOT_IMAGE=oci:/nowhere",), "root-image", ""),
    "mirror with a line break": (("APT_MIRROR_URL=a\nb", "--refresh=base"), "transport-value", "one line"),
    "two commands": (("lint", "gc"), "command-words", ""),
    "command behind a target": (("base", "gc"), "command-words", "one after the other"),
    "interactive": (("--interactive",), "command-words", "once for each command"),
    "no place for contexts": (("RUNTIME_CONTEXT_ROOT=nowhere",), "run-directory", "name another one"),
    "repository": (("IMAGE_REPO=ghcr.io/Owner/x",), "image-name", "lower case"),
}


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("question", [(), ("-n",), ("-q",)])
def test_mistake(built: Project, name: str, question: tuple[str, ...]) -> None:
    """One sentence with the value, a code, a hint; status 2; nothing was built."""
    words, code, hint = MISTAKES[name]
    if question and name in ("engine", "mirror with a line break"):
        pytest.skip("a question neither needs this engine nor uses this setting")
    result = built.fails(*question, *words, code=code)
    assert hint in result.text, result.text
    assert built.done() == set()


def test_declared_mistakes(project: Project) -> None:
    for line, code in (
        ('env.Stage("sdk", "arm46", parent=base)', "arch-unknown"),
        ('env.Stage("sdk", parent="base")', "parent-unknown"),
        ('env.Stage("sdk")', "image-variable-unset"),
        ('env.Stage("nothing", parent=base)', "dockerfile-missing"),
        ('env.Stage("sdk", parent=base, final="nothing")', "step-unknown"),
        ('env.Stage("base", parent=base)', "node-twice"),
        ('env.Root("other", "arm46")', "arch-unknown"),
        ('env.Root("Other", "amd64")', "image-name"),
        ('env.Stage("My Base", parent=base, dockerfile="Dockerfile.base")', "image-name"),
        ('env.Stage("other", parent=base, dockerfile="Dockerfile.base", tag="a b")', "image-name"),
    ):
        project.write("SConstruct", project.sconstruct(f"{GRAPH}{line}\n"))
        project.fails("base", code=code)
        project.fails("-n", "base", code=code)


# Values ----------------------------------------------------------------------------------------------------------

VALUES = {
    "spaces": "a  b ",
    "single quote": "it's",
    "double quotes": 'say "yes"',
    "command": "$(touch hacked) `touch hacked`",
    "variable": "$HOME ${HOME}",
    "backslashes": "a\\b\\",
    "newline": "one\ntwo",
    "tab": "a\tb",
    "unicode": "grün 日本 ✓",
    "glob": "* ? [a]",
    "operators": "; & | > < ! #",
    "equals": "a=b=c",
    "dash": "--target",
    "comma": "a,b",
    "long": "x" * 5000,
    "empty": "",
}


@pytest.mark.parametrize("name", VALUES)
def test_value_reaches_the_engine_unharmed(project: Project, name: str) -> None:
    value = VALUES[name]
    project.write(
        "SConstruct",
        project.sconstruct(GRAPH.replace("parent=root,", f'parent=root, values={{"V": {value!r}}},')),
    )
    project.replace("Dockerfile.base", "RUN", "ARG V=none\nRUN")
    project.good("base")
    (line,) = [line for line in project.engine.journal("build") if line["node"] == "base"]
    assert f"V={value}" in line["argv"]
    assert project.record("base")["ledger"]["variables"]["V"] == value
    assert not (project.path / "hacked").exists()
    project.is_quiet("base")


@pytest.mark.parametrize("name", ["spaces", "single quote", "command", "unicode", "newline", "equals"])
def test_value_of_a_version_from_the_command_line(built: Project, name: str) -> None:
    value = VALUES[name]
    built.good(f"SPIRV_VERSION={value}", "sdk-arm64:spirv")
    assert built.record("sdk-arm64:spirv")["ledger"]["variables"]["SPIRV_VERSION"] == value
    built.is_quiet(f"SPIRV_VERSION={value}", "sdk-arm64:spirv")


@pytest.mark.parametrize("name", ["a b", "it's", "grün", "a;b", "#a", "-x", "a=b"])
def test_names_of_files(project: Project, name: str) -> None:
    project.write(f"patches/{name}", "first\n")
    project.good("compiler:gcc")
    assert f"patches/{name}" in project.record("compiler:gcc")["ledger"]["files"]
    project.write(f"patches/{name}", "second\n")
    assert f"patches/{name} changed" in project.good("compiler:gcc").stdout
    project.is_quiet("compiler:gcc")


# Paths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["with space", "it's", "grün", "a$b", "a[b]*", "%s", "#x", "caf\udce9"])
def test_path_of_the_project(place: Path, name: str) -> None:
    project = Project(place / name, place / "store")
    assert project.builds() == EVERYTHING
    project.is_quiet()
    project.good("-c", "out/linux-sdk/arm64")
    assert project.builds() == {"export:sdk-arm64"}


def test_path_of_the_store(place: Path) -> None:
    project = Project(place / "project", place / "my store")
    assert project.builds("base") == {"bootstrap-amd64", "base"}
    project.is_quiet("base")


def test_moved_project_stays_up_to_date(built: Project, place: Path) -> None:
    built.path = built.path.rename(place / "moved")
    built.is_quiet()


def test_from_a_directory_below(built: Project) -> None:
    """``scons -u`` looks for the SConstruct above; words are then paths from where one stands."""
    built.write("scripts/build.sh", "other\n")
    result = built.scons("-u", "../out/linux-sdk/arm64", cwd=built.path / "scripts")
    assert result.rc == 0, result.text
    assert "export:sdk-arm64" in built.done()
    assert "export:sdk-riscv64" not in built.done()


def test_another_directory(built: Project, place: Path) -> None:
    """With -C words are paths from there, and with -u from below there."""
    for words in (["-q"], ["-q", "out/linux-sdk/arm64"], ["-q", "sdk"]):
        result = built.scons("-C", str(built.path), *words, cwd=place)
        assert result.rc == 0, result.text
    assert built.scons("-C", "project/scripts", "-u", "-q", "../out/linux-sdk/arm64", cwd=place).rc == 0
    result = built.scons("-C", "project/scripts", "-u", "-q", "out/linux-sdk/arm64", cwd=place)
    assert "[target-unknown]" in result.stderr


@pytest.mark.parametrize("kind", ["relative", "absolute", "environment", "dollar"])
def test_output_root(project: Project, place: Path, kind: str) -> None:
    where = {"absolute": str(place / "exports"), "dollar": "$exports"}.get(kind, "exports")
    words, env = ((), {"OUTPUT_ROOT": where}) if kind == "environment" else ((f"OUTPUT_ROOT={where}",), {})
    top = place / "exports" if kind == "absolute" else project.path / where
    assert project.builds(*words, "out/linux-sdk/arm64", env=env) >= {"export:sdk-arm64"}
    assert (top / "linux-sdk" / "arm64" / "rootfs" / "etc" / "os-release").is_file()
    assert not (project.path / "out" / "linux-sdk").exists()
    project.is_quiet(*words, "out/linux-sdk/arm64", env=env)
    assert project.builds(*words, str(top / "linux-sdk"), env=env) >= {"export:sdk-riscv64"}
    project.is_quiet(*words, env=env)
    project.good(*words, "-c", "out/linux-sdk/arm64", env=env)
    assert not (top / "linux-sdk" / "arm64" / "rootfs").exists()


# Settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["arm64,riscv64", "arm64 riscv64", " riscv64 ,, arm64 ", "arm64,riscv64,arm64"]
)
def test_lists_of_arches(built: Project, text: str) -> None:
    assert built.builds(f"TARGET_ARCHES={text}") == set()


def test_targets_of_the_compiler(built: Project) -> None:
    """An arch for which the compiler stage has no compiler is refused; without a list the rest is declared."""
    built.replace("versions.env", "CROSS_DEFAULT_ARCHES", "CROSS_TARGETS=amd64,arm64,riscv64\nCROSS_DEFAULT_ARCHES")
    built.is_quiet()
    for words in (("TARGET_ARCHES=arm64,riscv64",), ("TARGET_ARCH=riscv64",)):
        result = built.fails("CROSS_TARGETS=amd64,arm64", *words, code="arch-untargeted")
        assert "add riscv64 to CROSS_TARGETS" in result.text
    built.fails("CROSS_TARGETS=arm46", code="arch-unknown")
    listed = built.good("CROSS_TARGETS=arm64", "--list-targets").stdout
    assert "out/linux-sdk/arm64" in listed and "riscv64" not in listed
    listed = built.good("--list-targets", env={"CROSS_TARGETS": "riscv64"}).stdout
    assert "out/linux-sdk/riscv64" in listed and "arm64" not in listed


def test_provider_that_the_steps_cannot_carry_out(built: Project) -> None:
    built.replace("SConstruct", '"profile": "plain"', '"profile": "plain", "providers": ["distro"]')
    built.is_quiet()
    assert "profiles/source.env:1: GCC_PROVIDER=source" in built.fails("PROFILE=source", code="provider-unable").text
    assert "hint: set GCC_PROVIDER=distro" in built.fails("GCC=absent", code="provider-unable").text
    built.fails("GCC_PROVIDER_ARM64=source", code="provider-unable")
    built.write("profiles/plain.env", "")
    built.replace("versions.env", "GCC_PROVIDER=distro", "GCC_PROVIDER=source")
    assert "versions.env:3: GCC_PROVIDER=source" in built.fails(code="provider-unable").text


def test_tags_for_people(project: Project) -> None:
    project.good("IMAGE_REPO=example.test/me/images")
    names = {name: image.id for image in project.engine.images() for name in image.names}
    assert names["example.test/me/images:base"] == project.image("base")
    assert names["example.test/me/images:sdk-arm64"] == project.image("sdk-arm64")


def test_project_with_other_targets(project: Project) -> None:
    """The tool lives beside targets of SCons' own, also ones made of an export."""
    project.write(
        "SConstruct",
        project.sconstruct(
            GRAPH
            + 'plain = env.Command("made.txt", "versions.env", Copy("$TARGET", "$SOURCE"))\n'
            + 'env.Command("copy.env", "out/linux-sdk/arm64/artifact.env", Copy("$TARGET", "$SOURCE"))\n'
        ).replace("import ", "import Copy, "),
    )
    for question in ("--why", "--status", "--plan"):
        project.good(question, "copy.env")
        text = project.fails(question, "made.txt", code="command-words").text
        assert f"{question} tells of nodes of the graph, and 'made.txt' has nothing to do with one" in text
        assert not any((project.path / name).exists() for name in ("copy.env", "made.txt"))
    project.good("made.txt")
    assert project.done() == set()
    assert (project.path / "made.txt").read_text() == (project.path / "versions.env").read_text()
    project.good("copy.env")
    assert (project.path / "copy.env").read_text() == (project.export() / "artifact.env").read_text()
    assert "export:sdk-arm64" in project.done()
    assert "export:sdk-riscv64" not in project.done()
    assert project.scons("-q", "copy.env").rc == 0
    project.write("scripts/build.sh", "other\n")
    assert project.scons("-q", "copy.env").rc == 1
    project.good("copy.env")
    assert (project.path / "copy.env").read_text() == (project.export() / "artifact.env").read_text()


def test_command_line_of_the_machine(built: Project) -> None:
    """The same through the real program, once, so that the fork runner hides nothing."""
    process = built.start("-q")
    assert process.wait(60) == 0, process.communicate()[0]


# Full disk -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(project: Project):
    """A few hundred kilobytes at out/."""
    if os.geteuid() != 0:
        pytest.skip("a file system of its own can only be mounted by root")
    out = project.path / "out"
    out.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(out)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield out
    subprocess.run(["umount", str(out)], check=True)


def test_full_disk(project: Project, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    project.good("base")
    with open(ballast, "wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            pass
    for jobs in ("-j1", "-j3"):
        result = project.scons(jobs)
        assert result.rc == 2, result.text
        assert "Traceback" not in result.text
        assert "No space left on device" in result.text
        assert not [path for path in small_disk.rglob("*.json") if path.stat().st_size == 0]
    assert project.scons("-q", "base").rc == 0
    assert project.scons("-n").rc == 0
    ballast.unlink()
    assert "base" not in project.builds("sdk-arm64")
    project.is_quiet("sdk-arm64")


def test_run_scons_gives_status_and_streams(place: Path) -> None:
    """The runner itself: a project without the tool."""
    (place / "SConstruct").write_text('import sys\nprint("said")\nsys.stderr.write("cried")\nExit(7)\n')
    result = run_scons([], place, place)
    assert (result.rc, "said\n" in result.stdout, result.stderr) == (7, True, "cried")


def test_target_of_somebody_else_that_stands_on_an_export(project: Project) -> None:
    """It needs no graph target beside it on the command line: what it stands on is planned and built with it."""
    graph = '\nenv.Command("copy.env", "out/linux-sdk/arm64/artifact.env", Copy("$TARGET", "$SOURCE"))\nenv.StageGraph()'
    project.replace("SConstruct", "\nenv.StageGraph()", graph)
    project.replace("SConstruct", "from SCons.Script import", "from SCons.Script import Copy,")
    assert project.scons("-q", "copy.env").rc == 1
    project.good("copy.env")
    assert "export:sdk-arm64" in project.done()
    assert "export:sdk-riscv64" not in project.done()
    assert (project.path / "copy.env").read_bytes() == (project.export("arm64") / "artifact.env").read_bytes()
    assert project.scons("-q", "copy.env").rc == 0
    project.good("-c", "copy.env")
    assert not (project.path / "copy.env").exists()
    assert (project.export("arm64") / "rootfs").is_dir()


@pytest.mark.parametrize("question", ["-n", "-q", "--why", "--status", "--plan"])
def test_question_builds_and_removes_nothing_whatever_stands_beside_it(built: Project, question: str) -> None:
    built.write("scripts/base.sh", "other\n")
    built.good("base")
    built.write("scripts/base.sh", "and another\n")
    before = built.engine.images()
    refused = built.scons(question, "--check-reproducible", "base")
    assert refused.rc == 2
    assert "[command-words]" in refused.stderr
    built.scons(question, "gc")
    assert built.engine.images() == before


def test_repository_without_a_registry_is_that_of_localhost(built: Project) -> None:
    """Engines list it so; compared as it is written, the name would be given anew for ever."""
    built.good("IMAGE_REPO=mine", "base")
    assert "localhost/mine:base" in {name for image in built.engine.images() for name in image.names}
    built.is_quiet("IMAGE_REPO=mine", "base")


def test_cache_directory_of_the_user_brings_nothing_back(project: Project) -> None:
    project.replace("SConstruct", "env.StageGraph()", "env.CacheDir('cache')\nenv.StageGraph()")
    project.good("compiler")
    project.write("scripts/check.sh", "other\n")
    assert "compiler" in project.builds("compiler")
    shutil.rmtree(project.path / "out")
    project.good("compiler")
    project.is_quiet("compiler")


def test_terminal_that_knows_only_latin_1(built: Project) -> None:
    built.replace("Dockerfile.sdk", "VULKAN_VERSION=1.4", "VULKAN_VERSION=1.5")
    built.replace("versions.env", "VULKAN_VERSION=1.4", "VULKAN_VERSION=1.5")
    for words in (("-n",), ("--why",), ()):
        process = built.start(*words, env={"PYTHONIOENCODING": "latin-1"})
        text, _ = process.communicate()
        assert process.returncode == 0, text
        assert "1.4 ? 1.5" in text
    built.is_quiet()


def test_value_that_is_no_text_is_refused(project: Project) -> None:
    project.replace("SConstruct", "parent=base)", 'parent=base, values={"TESTS": 0})')
    result = project.scons("-n")
    assert result.rc == 2
    assert "TESTS of compiler is 0 [value-type]" in result.stderr


def test_time_that_is_no_number_is_refused(project: Project) -> None:
    project.write("versions.env", (project.path / "versions.env").read_text() + "SOURCE_DATE_EPOCH=today\n")
    result = project.scons("-n")
    assert result.rc == 2
    assert "SOURCE_DATE_EPOCH is 'today' [value-type]" in result.stderr


def test_a_project_without_a_default_builds_all(place: Path) -> None:
    """As SCons does: no target is the directory it was started in."""
    project = Project(place / "p", place / "s", graph=GRAPH.replace("env.Default(", "("))
    assert project.builds() == EVERYTHING
    project.is_quiet()
    project.good("-c")
    assert not (project.path / "out/linux-sdk/arm64/rootfs").exists()
    assert project.builds() == EXPORTS
