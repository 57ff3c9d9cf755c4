"""Which edit rebuilds which nodes: each case edits a project that is up to date."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .project import EVERYTHING, EXPORTS, PER_ARCH, SHARED, Project, write_root

#: What follows a changed part of the compiler stage.
SDK = {"sdk:sources"} | PER_ARCH | EXPORTS
ABOVE_ROOT = EVERYTHING - {"bootstrap-amd64"}


def arch_only(arch: str, *steps: str) -> set[str]:
    """The nodes of one arch: these steps, the final step and the export."""
    return {f"sdk-{arch}:{step}" for step in steps} | {f"sdk-{arch}", f"export:sdk-{arch}"}


GLSLANG = arch_only("arm64", "glslang") | arch_only("riscv64", "glslang")
SPIRV = arch_only("arm64", "spirv") | arch_only("riscv64", "spirv")
FINAL = arch_only("arm64") | arch_only("riscv64")

Edit = Callable[[Project], object]


def chmod(name: str, mode: int) -> Edit:
    return lambda p: os.chmod(p.path / name, mode)


def relink(project: Project, target: str) -> None:
    link = project.path / "patches" / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def version(key: str, old: str, new: str, *dockerfiles: str) -> Edit:
    """Another version, where versions.env and the defaults of the Dockerfiles name it."""

    def edit(project: Project) -> None:
        for name in ("versions.env", *dockerfiles):
            prefix = "" if name == "versions.env" else "ARG "
            project.replace(name, f"{prefix}{key}={old}\n", f"{prefix}{key}={new}\n")

    return edit


def same_bytes_as_link(project: Project) -> None:
    path = project.path / "patches" / "a.patch"
    path.rename(project.path / "patches-a")
    path.symlink_to("../patches-a")


def swap_steps(project: Project) -> None:
    """The steps clang and gcc change places: the text of each stays the same."""
    text = (project.path / "Dockerfile.compiler").read_text("utf-8")
    head, gcc, clang, final = text.split("FROM")
    project.write("Dockerfile.compiler", f"{head}FROM{clang}FROM{gcc}FROM{final}")


EDITS: dict[str, tuple[Edit, set[str]]] = {
    # Files
    "script of one step": (lambda p: p.write("scripts/check.sh", "other\n"), {"compiler"} | SDK),
    "script at the bottom": (lambda p: p.write("scripts/base.sh", "other\n"), ABOVE_ROOT),
    "script of every arch": (lambda p: p.write("scripts/build.sh", "other\n"), GLSLANG),
    "mode of a script": (chmod("scripts/build.sh", 0o755), GLSLANG),
    "setuid bit": (chmod("patches/a.patch", 0o4644), {"compiler:gcc", "compiler"} | SDK),
    "mode of a directory below": (chmod("patches/deep", 0o700), {"compiler:gcc", "compiler"} | SDK),
    "file in a taken directory": (
        lambda p: p.write("patches/deep/b.patch", "c\n"),
        {"compiler:gcc", "compiler"} | SDK,
    ),
    "new file": (lambda p: p.write("patches/new", "n\n"), {"compiler:gcc", "compiler"} | SDK),
    "removed file": (lambda p: (p.path / "patches/a.patch").unlink(), {"compiler:gcc", "compiler"} | SDK),
    "renamed file": (
        lambda p: (p.path / "patches/a.patch").rename(p.path / "patches/b"),
        {"compiler:gcc", "compiler"} | SDK,
    ),
    "empty directory": (lambda p: (p.path / "patches/empty").mkdir(), {"compiler:gcc", "compiler"} | SDK),
    "new link": (lambda p: relink(p, "a.patch"), {"compiler:gcc", "compiler"} | SDK),
    "file replaced by a link to its bytes": (same_bytes_as_link, {"compiler:gcc", "compiler"} | SDK),
    "file replaced by a directory": (
        lambda p: ((p.path / "patches/a.patch").unlink(), (p.path / "patches/a.patch").mkdir()),
        {"compiler:gcc", "compiler"} | SDK,
    ),
    "time of a file": (lambda p: os.utime(p.path / "scripts/base.sh", (1, 1)), set()),
    "same bytes written again": (lambda p: p.replace("scripts/base.sh", "work", "work"), set()),
    "file that no step takes": (lambda p: p.write("README", "text\n"), set()),
    "script that no step takes": (lambda p: p.write("scripts/other.sh", "text\n"), set()),
    "mode of the directory that is copied": (chmod("patches", 0o700), set()),
    # The ignore file
    "ignore file hides a taken file": (
        lambda p: p.write("Dockerfile.compiler.dockerignore", "patches/deep\n"),
        {"compiler:gcc", "compiler"} | SDK,
    ),
    "ignore file hides what nobody takes": (
        lambda p: p.write("Dockerfile.compiler.dockerignore", "scripts/base.sh\n"),
        set(),
    ),
    "ignore file of another Dockerfile": (
        lambda p: p.write("Dockerfile.sdk.dockerignore", "patches\n"),
        set(),
    ),
    "ignore file of all": (
        lambda p: p.write(".dockerignore", "**/*.patch\n"),
        {"compiler:gcc", "compiler"} | SDK,
    ),
    # The Dockerfile's text
    "comment": (lambda p: p.replace("Dockerfile.base", "RUN", "# why\nRUN"), set()),
    "blank lines": (lambda p: p.replace("Dockerfile.sdk", "RUN fetch", "\n\nRUN fetch"), set()),
    "wrapping": (lambda p: p.replace("Dockerfile.sdk", "RUN fetch ", "RUN fetch \\\n    "), set()),
    "case of an instruction": (lambda p: p.replace("Dockerfile.sdk", "RUN fetch", "run fetch"), set()),
    "order of the steps": (swap_steps, set()),
    "a step that nobody needs": (
        lambda p: p.replace("Dockerfile.base", "FROM", "FROM ${BASE_IMAGE} AS spare\nRUN x\n\nFROM"),
        set(),
    ),
    "command of a shared step": (
        lambda p: p.replace("Dockerfile.sdk", "fetch", "fetch-all"),
        {"sdk:sources"} | GLSLANG,
    ),
    "command of a last step": (lambda p: p.replace("Dockerfile.sdk", "RUN finish", "RUN end"), FINAL),
    "instruction that changes only the config": (
        lambda p: p.replace("Dockerfile.sdk", "RUN finish", "RUN finish\nENV A=b"),
        FINAL,
    ),
    "step takes another file": (
        lambda p: p.replace("Dockerfile.compiler", "source=scripts/check.sh", "source=scripts/build.sh"),
        {"compiler"} | SDK,
    ),
    # Versions
    "version of one step": (
        version("SPIRV_VERSION", "9", "10", "Dockerfile.sdk"),
        SPIRV,
    ),
    "version of a shared step": (
        version("VULKAN_VERSION", "1.4", "1.5", "Dockerfile.sdk"),
        {"sdk:sources"} | GLSLANG,
    ),
    "version of a component": (
        version("LLVM_RELEASE", "22", "23", "Dockerfile.compiler"),
        {"compiler:clang", "compiler"} | SDK,
    ),
    "version that no step declares": (lambda p: p.replace("versions.env", "GCC_V", "NEW=1\nGCC_V"), set()),
    "order in versions.env": (
        lambda p: p.write(
            "versions.env", "".join(sorted((p.path / "versions.env").read_text().splitlines(True)))
        ),
        set(),
    ),
    "comment in versions.env": (lambda p: p.replace("versions.env", "GCC_V", "# why\nGCC_V"), set()),
    "override for one arch": (
        lambda p: p.replace("versions.env", "SPIRV", "SPIRV_VERSION_ARM64=7\nSPIRV"),
        arch_only("arm64", "spirv"),
    ),
    "override that says the same": (
        lambda p: p.replace("versions.env", "SPIRV", "SPIRV_VERSION_ARM64=9\nSPIRV"),
        set(),
    ),
    "override for an arch that is not built": (
        lambda p: p.replace("versions.env", "SPIRV", "SPIRV_VERSION_AMD64=7\nSPIRV"),
        set(),
    ),
    "time of all files": (
        lambda p: p.replace("versions.env", "GCC_V", "SOURCE_DATE_EPOCH=7\nGCC_V"),
        EVERYTHING,
    ),
    # The SConstruct
    "another root": (lambda p: write_other_root(p), EVERYTHING),
    "value that the graph gives": (
        lambda p: p.replace(
            "SConstruct", "parent=compiler, ", 'parent=compiler, values={"SPIRV_VERSION": "8"}, '
        ),
        SPIRV,
    ),
    "value for no step": (
        lambda p: p.replace("SConstruct", "parent=base)", 'parent=base, values={"NOTHING": "8"})'),
        set(),
    ),
    "another parent": (
        lambda p: p.replace("SConstruct", "arch, parent=compiler", "arch, parent=base"),
        SDK,
    ),
    "tag for people": (lambda p: p.replace("SConstruct", 'tag="base"', 'tag="other"'), set()),
    "a stage on top": (
        lambda p: (
            p.write("Dockerfile.more", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS final\nRUN x\n"),
            p.replace("SConstruct", "env.StageGraph()", 'env.Stage("more", parent=base)\nenv.StageGraph()'),
        ),
        set(),
    ),
}


def write_other_root(project: Project) -> None:
    layout = Path(f"{project.root}-2")
    write_root(layout, "other")
    project.environment["ROOT_IMAGE"] = f"oci:{layout}"


def test_everything_then_nothing(project: Project) -> None:
    """A step that does not name the arch is one node for all arches; each node is built once."""
    assert project.builds() == EVERYTHING
    project.is_quiet()


def test_scons_keeps_no_database(project: Project) -> None:
    """Everything is decided from the records, so SCons has nothing to write down; the project stays clean."""
    project.good()
    project.good("sdk")
    project.good("-c")
    made = {path.name for path in project.path.iterdir()}
    assert made == {"SConstruct", "versions.env", "profiles", "patches", "scripts", "out"} | {
        f"Dockerfile.{name}" for name in ("base", "compiler", "sdk")
    }


@pytest.mark.parametrize("name", EDITS)
def test_edit(built: Project, name: str) -> None:
    project = built
    edit, expected = EDITS[name]
    before = project.contents()
    edit(project)
    assert (project.scons("-q").rc == 1) == bool(expected)
    assert project.builds() == expected
    project.is_quiet()
    assert (project.contents() != before) == bool(expected)


def test_link_target(built: Project) -> None:
    relink(built, "a.patch")
    built.good()
    relink(built, "deep/b.patch")
    assert built.builds() == {"compiler:gcc", "compiler"} | SDK


WORDS: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "version": (("SPIRV_VERSION=10",), SPIRV),
    "version for one arch": (("SPIRV_VERSION_RISCV64=10",), arch_only("riscv64", "spirv")),
    "same version": (("SPIRV_VERSION=9",), set()),
    "provider": (("GCC_PROVIDER=source",), {"compiler:gcc", "compiler"} | SDK),
    "provider in short": (("GCC=source",), {"compiler:gcc", "compiler"} | SDK),
    "same provider": (("GCC=distro",), set()),
    "one arch": (("TARGET_ARCH=arm64",), set()),
    "job count": (("-j2",), set()),
    "mirror": (("APT_MIRROR_URL=http://mirror.test/",), set()),
    "proxy": (("http_proxy=http://proxy.test/",), set()),
    "log directory": (("LOG_DIR=logs",), set()),
    "an arch more": (
        ("TARGET_ARCHES=amd64 arm64,riscv64",),
        {"sdk-amd64:glslang", "sdk-amd64:spirv", "sdk-amd64", "export:sdk-amd64"},
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_word(built: Project, name: str) -> None:
    """The same as words on the command line, and from the environment where that counts."""
    words, expected = WORDS[name]
    project = built
    assert project.builds(*words) == expected
    project.is_quiet(*words)


def test_version_does_not_come_from_the_environment(built: Project) -> None:
    """A variable of the user's shell must not decide silently what is built."""
    project = built
    assert project.builds(env={"SPIRV_VERSION": "10"}) == set()


def test_settings_come_from_the_environment(project: Project) -> None:
    assert project.builds(env={"TARGET_ARCHES": "riscv64"}) == EVERYTHING - arch_only(
        "arm64", "glslang", "spirv"
    )
    assert project.builds("TARGET_ARCHES=arm64", env={"TARGET_ARCHES": "riscv64"}) == arch_only(
        "arm64", "glslang", "spirv"
    )


def test_profile_has_its_own_records_and_adopts(built: Project) -> None:
    """What another profile changes is built once more; the rest is taken from the store."""
    project = built
    assert project.builds("PROFILE=source") == {"compiler:gcc", "compiler"} | SDK
    project.is_quiet("PROFILE=source")
    # The exports have one place for all profiles, so going back exports again and builds nothing.
    assert project.builds() == EXPORTS
    project.is_quiet()


def test_only_what_is_asked_for(project: Project) -> None:
    arm = EVERYTHING - arch_only("riscv64", "glslang", "spirv")
    assert project.builds("out/linux-sdk/arm64") == arm
    assert project.builds("sdk-riscv64:spirv") == {"sdk-riscv64:spirv"}
    assert project.builds("sdk") == {"sdk-riscv64:glslang", "sdk-riscv64"}
    assert project.builds() == {"export:sdk-riscv64"}


TARGETS = {
    "node": ("sdk-arm64", PER_ARCH - {f"sdk-riscv64{s}" for s in (":glslang", ":spirv", "")} | SHARED),
    "step": ("compiler:clang", {"compiler:clang"}),
    "stage": ("compiler", {"compiler:gcc", "compiler:clang", "compiler"}),
    "root": ("bootstrap", set()),
    "directory of exports": ("out/linux-sdk", SHARED | PER_ARCH | EXPORTS),
    "trailing slash": ("out/linux-sdk/", SHARED | PER_ARCH | EXPORTS),
    "tree": ("out/linux-sdk/arm64/rootfs", EVERYTHING - arch_only("riscv64", "glslang", "spirv")),
    "artifact": ("out/linux-sdk/arm64/artifact.env", EVERYTHING - arch_only("riscv64", "glslang", "spirv")),
    "from the top": ("#out/linux-sdk/arm64", EVERYTHING - arch_only("riscv64", "glslang", "spirv")),
    "record": ("out/images/plain/cross/compiler/clang.json", {"compiler:clang"}),
    "everything": ("out", EVERYTHING),
}


@pytest.mark.parametrize("name", TARGETS)
def test_target(project: Project, name: str) -> None:
    word, expected = TARGETS[name]
    assert project.scons("-q", word).rc == 1
    assert project.builds(word) == expected | {"bootstrap-amd64"} | ({"base"} if expected else set())
    project.is_quiet(word)


def test_target_by_absolute_path(project: Project) -> None:
    assert project.builds(f"{project.path}/out/linux-sdk/arm64") >= {"sdk-arm64", "export:sdk-arm64"}
    project.is_quiet(f"{project.path}/out/linux-sdk/arm64")


def test_platform(built: Project) -> None:
    """A stage on another platform than its parent is refused before the engine marks an image wrongly."""
    project = built
    project.replace("SConstruct", "parent=compiler, ", 'parent=compiler, platform="linux/arm64", ')
    project.fails("sdk-arm64:spirv", code="parent-platform")


def test_cutoff_at_the_same_content(project: Project) -> None:
    """A rebuilt node with the old content costs its followers nothing."""
    project.engine.switch("constant", "base", "one")
    project.good()
    project.write("scripts/base.sh", "other\n")
    assert project.builds() == {"base"}
    project.is_quiet()
    project.engine.switch("constant", "base", "two")
    project.write("scripts/base.sh", "third\n")
    assert project.builds() == ABOVE_ROOT


def test_cutoff_of_a_comment_in_a_script(built: Project) -> None:
    """The file changed, so the step that takes it runs; what it makes did not, so nothing else does."""
    project = built
    project.replace("scripts/base.sh", "# base", "# another comment")
    assert project.builds() == {"base"}


def test_new_image_of_the_same_content_is_written_to_artifact_env(project: Project) -> None:
    """The last step's new image is another one with the same content: no export, but its digest is told."""
    project.engine.switch("constant", "sdk-arm64", "same")
    project.good()
    before = (project.export() / "rootfs").stat().st_ino
    old = project.image("sdk-arm64")
    project.replace("Dockerfile.sdk", "RUN finish", "RUN end")
    result = project.good("out/linux-sdk/arm64")
    assert project.done() == {"sdk-arm64"}
    assert "relabelled out/linux-sdk/arm64" in result.stdout
    assert (project.export() / "rootfs").stat().st_ino == before
    assert project.image("sdk-arm64") != old
    env = (project.export() / "artifact.env").read_text()
    assert project.image("sdk-arm64") in env and old not in env
    project.is_quiet("out/linux-sdk/arm64")


def test_going_back_takes_the_older_image(built: Project) -> None:
    project = built
    before = project.contents()
    project.write("patches/a.patch", "other\n")
    project.good()
    project.write("patches/a.patch", "a\n")
    result = project.good()
    assert project.done() == EXPORTS
    assert "adopted    compiler:gcc" in result.stdout
    assert project.contents() == before
    project.is_quiet()
