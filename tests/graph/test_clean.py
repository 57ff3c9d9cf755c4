"""Taking away: ``scons -c``, ``scons gc``, and building twice to compare (--check-reproducible)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .project import EVERYTHING, EXPORTS, Project
from .runner import finish, wait_until

# -c --------------------------------------------------------------------------------------------------------------


def removed(project: Project, *words: str) -> set[str]:
    """Run ``scons -c`` and give the paths below out/ that went (a directory stands for what is in it)."""

    def paths() -> set[str]:
        out = project.path / "out"
        found = {
            str(path.relative_to(out))
            for path in out.rglob("*")
            if not path.is_dir() or path.name == "rootfs"
        }
        return {path for path in found if "/rootfs/" not in path and not path.startswith((".cache", "logs"))}

    before = paths()
    images = project.engine.images()
    project.good("-c", *words)
    assert project.engine.images() == images
    return before - paths()


EXPORT = {f"linux-sdk/arm64/{name}" for name in ("rootfs", "artifact.env", ".export.json", ".rootfs.list")}


def test_clean_of_an_export(built: Project) -> None:
    assert removed(built, "out/linux-sdk/arm64") == EXPORT
    assert not (built.export() / "rootfs").exists()
    assert {path.name for path in built.export().iterdir()} <= {".rootfs.lock"}
    assert built.builds() == {"export:sdk-arm64"}


@pytest.mark.parametrize(
    "word", ["out/linux-sdk/arm64/", "out/linux-sdk/arm64/artifact.env", "out/linux-sdk/arm64/rootfs"]
)
def test_clean_by_other_words(built: Project, word: str) -> None:
    assert removed(built, word) == EXPORT


def test_clean_of_a_node_keeps_its_parents(built: Project) -> None:
    assert removed(built, "compiler") == {"images/plain/cross/compiler/final.json"}
    assert removed(built, "sdk-arm64:spirv") == {"images/plain/cross/sdk-arm64/spirv.json"}
    assert built.builds() == set()  # adopted: the images stand


def test_clean_of_a_stage_word(built: Project) -> None:
    assert removed(built, "sdk") == {
        f"images/plain/cross/sdk-{arch}/final.json" for arch in ("arm64", "riscv64")
    }


def test_clean_without_a_target(built: Project) -> None:
    """The default targets, which are the exports."""
    gone = removed(built)
    assert gone == EXPORT | {path.replace("arm64", "riscv64") for path in EXPORT}


def test_clean_of_everything(built: Project) -> None:
    gone = removed(built, "out")
    assert not list((built.path / "out" / "images").rglob("*.json"))
    assert gone > EXPORT
    assert built.builds() == EXPORTS


def test_clean_twice(built: Project) -> None:
    assert removed(built, "out/linux-sdk/arm64") == EXPORT
    assert removed(built, "out/linux-sdk/arm64") == set()


def test_clean_needs_no_engine(built: Project) -> None:
    built.engine.switch("down", "")
    built.good("-c", "out/linux-sdk/arm64")
    assert not (built.export() / "rootfs").exists()


def test_clean_of_a_tree_that_was_written_to(built: Project) -> None:
    os.mkfifo(built.export() / "rootfs" / "pipe")
    (built.export() / "rootfs" / "dangling").symlink_to("nowhere")
    assert removed(built, "out/linux-sdk/arm64") == EXPORT


def test_clean_does_not_touch_what_is_not_ours(built: Project) -> None:
    (built.export() / "notes").write_text("mine")
    removed(built, "out/linux-sdk/arm64")
    assert (built.export() / "notes").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_clean_leaves_what_is_mounted_in_a_tree(built: Project, place: Path) -> None:
    home = place / "home"
    home.mkdir()
    (home / "letters").write_text("mine")
    tree = built.export() / "rootfs"
    subprocess.run(["mount", "--bind", str(home), str(tree / "etc")], check=True)
    try:
        result = built.scons("-c", "out/linux-sdk/arm64")
        assert result.rc == 2, result.text
        assert f"'{tree}/etc' is mounted there" in result.text and "Traceback" not in result.text
        assert (home / "letters").read_text() == "mine"
    finally:
        subprocess.run(["umount", str(tree / "etc")], check=True)
    built.is_quiet()


def test_a_tree_of_somebody_else_where_an_export_goes(built: Project, place: Path) -> None:
    theirs = place / "srv" / "linux-sdk" / "arm64" / "rootfs"
    theirs.mkdir(parents=True)
    (theirs / "thesis").write_text("mine")
    settings = (f"OUTPUT_ROOT={place}/srv", "TARGET_ARCH=arm64")
    assert f"'{theirs}' is there already" in built.fails(*settings, code="tree-foreign").text
    built.good("-c", *settings)
    assert [path.name for path in theirs.iterdir()] == ["thesis"]


def test_clean_of_an_unknown_target(built: Project) -> None:
    built.fails("-c", "out/linux-sdk/amr64", code="target-unknown")


def test_clean_during_a_build_is_refused(built: Project) -> None:
    built.write("scripts/build.sh", "other\n")
    built.engine.switch("hold", "sdk-arm64:glslang")
    process = built.start()
    wait_until(lambda: "sdk-arm64:glslang" in built.engine.built(), process)
    built.fails("-c", "out/linux-sdk/arm64", code="tree-locked")
    assert (built.export() / "rootfs").exists()
    built.engine.unset("hold", "sdk-arm64:glslang")
    finish(process)
    assert process.returncode == 0


# gc --------------------------------------------------------------------------------------------------------------


def image_ids(project: Project) -> set[str]:
    return {image.id for image in project.engine.images()}


def test_gc_removes_what_no_record_needs(project: Project) -> None:
    project.good()
    first = {project.image(node) for node in EVERYTHING - EXPORTS}
    old = project.image("compiler:gcc")
    assert "0 images removed" in project.good("gc").stdout
    project.write("patches/a.patch", "other\n")
    project.good()
    dry = project.good("-n", "gc")
    assert "would remove" in dry.stdout
    assert old in image_ids(project)
    text = project.good("gc").stdout
    kept = {project.image(node) for node in EVERYTHING - EXPORTS}
    assert image_ids(project) & (first | kept) == kept
    assert text.count("removes ") == dry.stdout.count("would remove ") == len(first - kept)
    assert old[7:19] in text
    project.is_quiet()


def test_gc_keeps_what_other_checkouts_need(project: Project, place: Path) -> None:
    project.good("compiler")
    clone = project.clone(place / "clone")
    clone.write("patches/a.patch", "other\n")
    clone.good("compiler")
    assert "0 images removed" in project.good("gc").stdout
    assert "0 images removed" in clone.good("gc").stdout
    shutil.rmtree(clone.path)
    assert "2 images removed" in project.good("gc").stdout
    project.is_quiet("compiler")


def test_gc_keeps_images_of_others(project: Project) -> None:
    project.good("compiler")
    stranger = project.engine.load(str(project.root))
    project.engine.tag(stranger, ["docker.io/library/mine:1"])
    shared = project.image("compiler:gcc")
    project.engine.tag(shared, ["localhost/mine:2"])
    shutil.rmtree(project.path / "out" / "images")
    project.good("gc")
    left = image_ids(project)
    assert {stranger, shared} <= left
    names = {name for image in project.engine.images() for name in image.names}
    assert {"docker.io/library/mine:1", "localhost/mine:2"} <= names
    assert not any(name.startswith("localhost/stagegraph/") for name in names)


def test_gc_keeps_images_with_a_tag_for_people(built: Project) -> None:
    """``localhost/image:base`` was given on purpose; only the tool's own names go."""
    base = built.image("base")
    shutil.rmtree(built.path / "out" / "images")
    built.good("gc")
    assert base in image_ids(built)


def test_gc_removes_what_lost_its_name(project: Project) -> None:
    """A refreshed node's tag goes to the new image; the old one bears no name then, and is ours all the same."""
    project.engine.switch("constant", "compiler", "first")
    project.good("compiler")
    old = project.image("compiler")
    project.engine.switch("constant", "compiler", "second")
    project.good("--refresh=compiler", "compiler")
    assert project.image("compiler") != old
    assert old in image_ids(project)
    stranger = project.engine.load(str(project.root))
    assert "1 image would be removed" in project.good("-n", "gc").stdout
    text = project.good("gc").stdout
    assert f"removes {old[7:19]}  (no name)" in text and "1 image removed" in text
    assert old not in image_ids(project) and stranger in image_ids(project)
    assert "0 images removed" in project.good("gc").stdout
    project.is_quiet("compiler")


def test_gc_is_refused_while_a_build_runs(built: Project, place: Path) -> None:
    clone = built.clone(place / "clone")
    built.write("scripts/check.sh", "other\n")
    built.engine.switch("hold", "compiler")
    process = built.start()
    wait_until(lambda: "compiler" in built.engine.built(), process)
    built.fails("gc", code="store-locked")
    clone.fails("gc", code="store-locked")
    assert clone.scons("-n", "gc").rc == 0
    built.engine.unset("hold", "compiler")
    finish(process)
    assert process.returncode == 0
    clone.good("gc")


def test_gc_stands_alone(built: Project) -> None:
    built.fails("gc", "sdk", code="command-words")


def test_gc_after_a_truncated_record(project: Project) -> None:
    """What cannot be read needs no image; the node is then built again, never wrong."""
    project.good("compiler")
    project.record_path("compiler:clang").write_text("{")
    project.good("gc")
    assert project.builds("compiler") == {"compiler:clang"}
    project.is_quiet("compiler")


# --check-reproducible ----------------------------------------------------------------------------------------------


def report(project: Project) -> dict:
    return json.loads((project.path / "out" / "report" / "reproducible.json").read_text())


def test_reproducible(built: Project) -> None:
    before = image_ids(built)
    result = built.good("--check-reproducible", "compiler", "base")
    assert built.done() == {"base", "compiler"}
    for node in ("base", "compiler"):
        assert f"{node}: reproducible\n" in result.stdout
    assert set(report(built)) == {"base", "compiler"}
    assert image_ids(built) == before
    built.is_quiet()


def test_check_of_an_export_is_that_of_all_below_it(built: Project) -> None:
    result = built.good("--check-reproducible", "out/linux-sdk/arm64")
    arm = {"sdk:sources", "sdk-arm64:glslang", "sdk-arm64:spirv", "sdk-arm64"}
    assert built.done() == {"bootstrap-amd64", "base", "compiler:gcc", "compiler:clang", "compiler"} | arm
    assert "sdk-arm64: reproducible\n" in result.stdout
    assert "riscv64" not in result.stdout


def test_a_new_image_of_the_same_inputs_needs_a_new_verdict(built: Project) -> None:
    """A refreshed node is another image under the same signature; the old verdict is not about it."""
    built.engine.switch("constant", "compiler:clang", "one")
    assert built.scons("--check-reproducible", "compiler:clang").rc == 1
    built.good("--refresh=compiler:clang", "compiler:clang")
    assert "compiler:clang: reproducible\n" in built.good("--check-reproducible", "compiler:clang").stdout
    assert built.done() == {"compiler:clang"}


def test_check_goes_on_after_a_failure_when_told_to(built: Project) -> None:
    built.engine.switch("fail", "compiler:gcc", "no")
    result = built.scons("--check-reproducible", "compiler:gcc", "compiler:clang")
    assert (result.rc, built.done()) == (2, {"compiler:gcc"})
    assert "FAILED     compiler:gcc" in result.stdout and "  | no" not in result.stderr and "log: " in result.stdout
    result = built.scons("-k", "--check-reproducible", "compiler:gcc", "compiler:clang")
    assert result.rc == 2 and "compiler:clang: reproducible\n" in result.stdout


def test_not_reproducible_names_the_files(built: Project) -> None:
    built.engine.switch("constant", "compiler:clang", "not the same")
    result = built.scons("--check-reproducible", "compiler:clang")
    assert result.rc == 1
    assert "compiler:clang: NOT reproducible, " in result.stdout
    assert "constant" in result.stdout
    assert report(built)["compiler:clang"]["reproducible"] is False
    built.is_quiet()  # the first image stands; it is as good as it was


def test_verdicts_are_kept_for_the_next_run(built: Project) -> None:
    built.good("--check-reproducible", "base")
    built.good("--check-reproducible", "compiler:gcc")
    assert built.done() == {"compiler:gcc"}
    built.good("--check-reproducible", "compiler:gcc")
    assert built.done() == set()
    built.write("patches/a.patch", "other\n")
    built.good("compiler:gcc")
    built.good("--check-reproducible", "compiler:gcc")
    assert built.done() == {"compiler:gcc"}


def test_verdict_is_kept_when_a_later_one_fails(built: Project) -> None:
    built.engine.switch("fail", "compiler:gcc", "no")
    assert built.scons("--check-reproducible", "base", "compiler:gcc").rc == 2
    assert set(report(built)) == {"base"}
    built.engine.unset("fail", "compiler:gcc")
    built.good("--check-reproducible", "compiler:gcc")
    assert built.done() == {"compiler:gcc"}


def test_only_what_is_up_to_date_is_compared(built: Project) -> None:
    built.write("scripts/check.sh", "other\n")
    result = built.fails("--check-reproducible", "compiler", code="reproduce-stale")
    assert "compiler is not up to date" in result.text


def test_check_restores_missing_parents(built: Project) -> None:
    built.remove_image("base")
    built.good("--check-reproducible", "compiler:gcc")
    built.is_quiet()
