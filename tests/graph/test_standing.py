"""What was built once and is not as it was left: images, records and exports that went missing or were changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stagegraph.model import LABEL_NODE, LABEL_SIGNATURE, TAG_ROOT, ImageConfig

from .project import EVERYTHING, EXPORTS, Project

IMAGES = EVERYTHING - EXPORTS


# Adoption -------------------------------------------------------------------------------------------------------


def test_clone_adopts_everything_and_exports(built: Project, place: Path) -> None:
    clone = built.clone(place / "another" / "place")
    assert clone.scons("-q").rc == 1
    result = clone.good()
    assert clone.done() == EXPORTS
    for node in IMAGES:
        assert f"adopted    {node} in" in result.stdout, result.text
    assert clone.contents() == built.contents()
    assert clone.record("base")["how"] == "adopted"
    clone.is_quiet()
    built.is_quiet()


def test_clone_knows_what_it_would_adopt(built: Project, place: Path) -> None:
    clone = built.clone(place / "clone")
    result = clone.good("-n")
    assert "fake-engine build" not in result.stdout
    assert f"# compiler: adopts {built.image('compiler')}" in result.stdout
    assert not (clone.path / "out").exists()


def retag(project: Project, node: str, source: str) -> None:
    """Move the tag that says ``node`` is built to the image of another node."""
    record = project.record(node)
    where = str(project.record_path(node).parent.name)
    tag = f"{TAG_ROOT}/{where}/{project.record_path(node).stem}:{record['signature']}"
    project.engine.tag(project.image(source), [tag])


def test_tag_on_an_image_with_other_labels_is_not_adopted(built: Project, place: Path) -> None:
    retag(built, "compiler:clang", "compiler:gcc")
    clone = built.clone(place / "clone")
    assert clone.builds() == {"compiler:clang"} | EXPORTS
    clone.is_quiet()


def test_labels_without_the_tag_are_not_adopted(built: Project, place: Path) -> None:
    """Children inherit labels, so a label alone proves nothing."""
    engine = built.engine
    engine.untag(
        [name for image in engine.images() if image.id == built.image("base") for name in image.names]
    )
    clone = built.clone(place / "clone")
    assert clone.builds() == {"base"} | EXPORTS


def test_image_of_another_platform_is_not_adopted(
    built: Project, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, wrong = type(built.engine).inspect, built.image("sdk:sources")

    def inspect(engine: object, image_id: str) -> ImageConfig:
        config = real(engine, image_id)
        return ImageConfig(**{**config.__dict__, "architecture": "arm64"}) if image_id == wrong else config

    monkeypatch.setattr(type(built.engine), "inspect", inspect)
    clone = built.clone(place / "clone")
    clone.scons()
    assert "sdk:sources" in clone.engine.built()


def test_kill_between_tag_and_record_costs_nothing(built: Project) -> None:
    built.record_path("compiler").unlink()
    assert built.scons("-q").rc == 1
    assert "adopted    compiler in" in built.good().stdout
    assert built.done() == set()
    built.is_quiet()


# Records --------------------------------------------------------------------------------------------------------


def edited(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        value = json.loads(path.read_text("utf-8"))
        change(value)
        path.write_text(json.dumps(value), "utf-8")

    return edit


BROKEN: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "empty": lambda path: path.write_bytes(b""),
    "zeros after a power cut": lambda path: path.write_bytes(bytes(4096)),
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe"),
    "a list": lambda path: path.write_text("[]"),
    "null": lambda path: path.write_text("null"),
    "a number": lambda path: path.write_text("1"),
    "deep": lambda path: path.write_text("[" * 100000),
    "another schema": edited(lambda value: value.update(schema=0)),
    "a key too many": edited(lambda value: value.update(more=1)),
    "a key too few": edited(lambda value: value.pop("content_id")),
    "no ledger": edited(lambda value: value.update(ledger=None)),
    "ledger of another shape": edited(lambda value: value.update(ledger={"files": [1]}, signature="0" * 64)),
    "numbers for texts": edited(lambda value: value.update(image_id=7, content_id=None)),
    "a dangling link": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "another signature": edited(lambda value: value.update(signature="0" * 64)),
    "the record of another node": lambda path: shutil.copy(path.parent / "gcc.json", path),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_record(built: Project, name: str) -> None:
    """The image stands, so the node is adopted again; nothing is built and nothing ends in a traceback."""
    BROKEN[name](built.record_path("compiler:clang"))
    assert built.scons("-q").rc == 1
    for question in ("--why", "--status", "--plan", "-n"):
        assert "Traceback" not in built.good(question).text
    assert "adopted    compiler:clang in" in built.good().stdout
    assert built.done() == set()
    built.is_quiet()


@pytest.mark.parametrize("name", BROKEN)
def test_broken_record_of_an_export(built: Project, name: str) -> None:
    if name == "the record of another node":
        shutil.copy(built.export("riscv64") / ".export.json", built.export() / ".export.json")
    else:
        BROKEN[name](built.export() / ".export.json")
    assert built.scons("-q").rc == 1
    assert built.builds() == {"export:sdk-arm64"}
    built.is_quiet()


def test_directory_in_place_of_a_record(built: Project) -> None:
    path = built.record_path("compiler:clang")
    path.unlink()
    path.mkdir()
    assert str(path) in built.fails(code="file-failed").stderr
    path.rmdir()
    assert built.builds() == set()
    built.is_quiet()


def test_edited_content_id_is_found_by_verify(built: Project) -> None:
    """A record is trusted on a no-op; --verify compares it with the image it names."""
    path = built.record_path("sdk-arm64:spirv")
    edited(lambda value: value.update(content_id="sha256:" + "0" * 64))(path)
    assert built.scons("-q", "--verify").rc == 1
    assert "its record says" in built.good("--why", "--verify").stdout
    built.good("--verify")
    assert built.record("sdk-arm64:spirv")["content_id"] != "sha256:" + "0" * 64
    built.is_quiet("--verify")


def test_lost_records_of_everything(built: Project) -> None:
    before = built.contents()
    shutil.rmtree(built.path / "out" / "images")
    result = built.good()
    assert built.done() == set()
    assert result.stdout.count("adopted    ") == len(IMAGES)
    assert built.contents() == before
    built.is_quiet()


def test_lost_out(built: Project) -> None:
    shutil.rmtree(built.path / "out")
    assert built.builds() == EXPORTS
    built.is_quiet()


@pytest.mark.parametrize("text", ["", "{", "[]", "nonsense", '{"scripts/base.sh": [1]}', "[" * 100000])
def test_broken_caches(built: Project, text: str) -> None:
    cache = built.path / "out" / ".cache"
    for path in cache.iterdir():
        path.write_text(text, "utf-8")
    built.is_quiet()
    built.write("scripts/base.sh", "other\n")
    assert "base" in built.builds()


# Images ---------------------------------------------------------------------------------------------------------


def test_missing_image_that_nobody_needs_is_left_missing(built: Project) -> None:
    built.remove_image("base")
    built.is_quiet()
    assert "missing" in built.good("--status").stdout


def test_missing_image_that_is_asked_for_is_built(built: Project) -> None:
    built.remove_image("compiler:clang")
    assert built.scons("-q", "compiler:clang").rc == 1
    assert (
        "was removed from the engine's store and it was asked for"
        in built.good("--why", "compiler:clang").stdout
    )
    assert built.builds("compiler:clang") == {"compiler:clang"}
    built.is_quiet("compiler:clang")


def test_missing_parent_of_a_stale_node_is_built(built: Project) -> None:
    built.remove_image("compiler")
    built.write("scripts/build.sh", "other\n")
    assert "compiler: has to be built\n    image" in built.good("--why", "sdk-arm64:glslang").stdout
    assert built.builds("sdk-arm64:glslang") == {"compiler", "sdk-arm64:glslang"}
    built.is_quiet("sdk-arm64:glslang")


def test_two_levels_of_missing_parents(built: Project) -> None:
    for node in ("bootstrap-amd64", "base", "compiler"):
        built.remove_image(node)
    built.write("scripts/build.sh", "other\n")
    expected = {"bootstrap-amd64", "base", "compiler", "sdk-arm64:glslang"}
    assert built.builds("sdk-arm64:glslang") == expected
    built.is_quiet("sdk-arm64:glslang")


def test_missing_parent_of_a_conditional_node(built: Project) -> None:
    """The clang step turns out changed only in the run, so its sibling's missing image is found then."""
    built.remove_image("compiler:gcc")
    built.replace("Dockerfile.compiler", "build-clang", "build-clang-2")
    assert built.builds("compiler") == {"compiler:clang", "compiler:gcc", "compiler"}
    built.is_quiet("compiler")


def test_missing_parent_of_a_conditional_node_that_stays(built: Project) -> None:
    """The clang step turns out unchanged, so nobody needs the missing image and it stays missing."""
    built.engine.switch("constant", "compiler:clang", "same")
    built.good("--refresh=compiler:clang", "compiler")
    built.remove_image("compiler:gcc")
    built.replace("Dockerfile.compiler", "build-clang", "build-clang-2")
    assert built.builds("compiler") == {"compiler:clang"}
    built.is_quiet("compiler")


def test_missing_image_of_an_export(built: Project) -> None:
    built.remove_image("sdk-arm64")
    shutil.rmtree(built.export() / "rootfs")
    assert built.builds("out/linux-sdk/arm64") == {"sdk-arm64", "export:sdk-arm64"}
    built.is_quiet()


def test_all_images_gone(built: Project) -> None:
    """A standing export needs no image; a named image needs all below it."""
    built.engine.remove([image.id for image in built.engine.images()])
    built.is_quiet()
    assert built.builds("compiler:clang") == {"bootstrap-amd64", "base", "compiler:clang"}


def test_rebuilt_parent_with_other_content_is_found_by_the_end_of_the_run(built: Project) -> None:
    """A step that is not reproducible: what was judged before its parent changed does not stay fresh."""
    built.remove_image("compiler")
    built.engine.switch("constant", "compiler", "came out different")
    built.write("scripts/build.sh", "other\n")
    result = built.scons()
    stale = built.scons("-q").rc == 1
    assert result.rc == 2 or not stale, result.text
    built.good()
    built.is_quiet()


def test_label_of_the_engine_is_checked(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that answers from a cache of its own gives an old image, known by its label."""
    project.good("base")
    old, real = project.image("base"), type(project.engine).build

    def build(engine: object, request: object, log: object) -> str:
        real(engine, request, log)
        return old

    monkeypatch.setattr(type(project.engine), "build", build)
    project.write("scripts/base.sh", "other\n")
    result = project.scons("base")
    assert result.rc == 2
    assert "[image-unexpected]" in result.stdout
    monkeypatch.undo()
    assert project.builds("base") == {"base"}


# Exports --------------------------------------------------------------------------------------------------------


def first_file(tree: Path) -> Path:
    return min(path for path in (tree / "work").iterdir() if path.is_file())


DAMAGE: dict[str, Callable[[Path], object]] = {
    "tree gone": lambda top: shutil.rmtree(top / "rootfs"),
    "everything gone": shutil.rmtree,
    "top entry gone": lambda top: shutil.rmtree(top / "rootfs" / "etc"),
    "top entry more": lambda top: (top / "rootfs" / "new").mkdir(),
    "tree is a file": lambda top: (shutil.rmtree(top / "rootfs"), (top / "rootfs").write_text("")),
    "tree is a link": lambda top: (
        (top / "rootfs").rename(top / "moved") and (top / "rootfs").symlink_to("moved")
    ),
    "record gone": lambda top: (top / ".export.json").unlink(),
    "artifact.env gone": lambda top: (top / "artifact.env").unlink(),
    "empty tree": lambda top: [shutil.rmtree(path) for path in (top / "rootfs").iterdir()],
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_export(built: Project, name: str) -> None:
    before = built.record("sdk-arm64")
    DAMAGE[name](built.export())
    assert built.scons("-q").rc == 1
    assert built.builds() <= {"export:sdk-arm64"}
    assert (built.export() / "rootfs" / "etc" / "os-release").read_text() == "ID=root\n"
    assert "TARGET_ARCH" in (built.export() / "artifact.env").read_text()
    assert built.record("sdk-arm64") == before
    built.is_quiet("--verify")


DEEP_DAMAGE: dict[str, Callable[[Path], object]] = {
    "bytes": lambda tree: first_file(tree).write_text("0" * 64),
    "mode": lambda tree: first_file(tree).chmod(0o600),
    "file gone": lambda tree: first_file(tree).unlink(),
    "file more": lambda tree: (tree / "work" / "new").write_text(""),
    "file to link": lambda tree: (first_file(tree).unlink(), (tree / "work" / "new").symlink_to("x")),
    "listing gone": lambda tree: (tree.parent / ".rootfs.list").unlink(),
    "listing edited": lambda tree: (tree.parent / ".rootfs.list").write_text(""),
}


@pytest.mark.parametrize("name", DEEP_DAMAGE)
def test_deep_damage_needs_verify(built: Project, name: str) -> None:
    DEEP_DAMAGE[name](built.export() / "rootfs")
    assert built.scons("-q").rc == 0
    assert built.scons("-q", "--verify").rc == 1
    assert built.builds("--verify") == {"export:sdk-arm64"}
    built.is_quiet("--verify")


@pytest.mark.parametrize("edit", ["TARGET_ARCH=amd64\n", "X=$(touch y)\n", "", "\n\n", "PROFILE='\n"])
def test_edited_artifact_env_is_written_again(built: Project, edit: str) -> None:
    path = built.export() / "artifact.env"
    before = path.read_text()
    path.write_text(edit)
    assert built.scons("-q").rc == 1
    assert built.builds() == set()
    assert path.read_text() == before
    built.is_quiet()


def test_values_in_artifact_env_follow_without_an_export(built: Project) -> None:
    """A tag for people is part of artifact.env and of nothing else."""
    result = built.good("IMAGE_REPO=example.test/images")
    assert built.done() == set()
    assert "relabelled out/linux-sdk/arm64" in result.stdout
    assert "SOURCE_IMAGE=example.test/images:sdk-arm64" in (built.export() / "artifact.env").read_text()
    built.is_quiet("IMAGE_REPO=example.test/images")


def test_labels_name_node_and_signature(built: Project) -> None:
    for node in IMAGES:
        labels = built.engine.inspect(built.image(node)).config["Labels"]
        assert labels == {LABEL_NODE: node, LABEL_SIGNATURE: built.record(node)["signature"]}


def test_reverted_edit_that_changed_nothing_relabels_the_exports(project: Project) -> None:
    """The older image is adopted; a tree of equal content stays, and its artifact.env names that image again."""
    project.engine.switch("constant", "compiler", "same")
    project.good()
    old = (project.path / "scripts/check.sh").read_text()
    first = (project.export("arm64") / "artifact.env").read_text()
    project.write("scripts/check.sh", f"{old}# other\n")
    project.good()
    assert (project.export("arm64") / "artifact.env").read_text() == first
    inode = (project.export("arm64") / "rootfs").stat().st_ino
    project.write("scripts/check.sh", old)
    assert "adopts" in project.scons("-n").stdout
    project.good()
    assert (project.export("arm64") / "artifact.env").read_text() == first
    assert (project.export("arm64") / "rootfs").stat().st_ino == inode
    project.is_quiet()


def test_export_above_an_adopted_image_is_relabelled_in_the_same_run(project: Project) -> None:
    project.engine.switch("constant", "sdk-arm64", "same")
    project.good()
    path = "Dockerfile.sdk"
    old = (project.path / path).read_text()
    first = (project.export("arm64") / "artifact.env").read_text()
    project.replace(path, "RUN finish", "RUN end")
    project.good()
    assert (project.export("arm64") / "artifact.env").read_text() != first  # another image of equal content
    project.write(path, old)
    result = project.good()
    assert "relabelled" in result.stdout
    assert (project.export("arm64") / "artifact.env").read_text() == first
    project.is_quiet()
