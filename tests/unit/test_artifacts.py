"""Artifacts on disk: what a tree is and whose programs it holds, the image made of it, the layout with more labels."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fake_engine import FakeEngine, write_layout
from fake_engine import filesystem as fs
from stagegraph import artifact_tree, artifacts, oci
from stagegraph.errors import UserError
from stagegraph.image import content_id
from stagegraph.statcache import StatCache

CONFIG = {"os": "linux", "architecture": "arm64", "config": {}}

DASH = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    (path / "usr/bin").mkdir(parents=True)
    (path / "usr/bin/dash").write_bytes(DASH)
    return path


@pytest.fixture
def stats(tmp_path: Path) -> StatCache:
    return StatCache(str(tmp_path / "trees.json"))


# Whose programs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("links", "found"),
    [
        ({}, "usr/bin/another"),
        ({"bin": "usr/bin", "usr/bin/sh": "dash"}, "usr/bin/dash"),
        ({"bin": "/usr/bin", "usr/bin/sh": "/bin/dash"}, "usr/bin/dash"),
        ({"bin": "../../usr/bin", "usr/bin/sh": "../../../usr/bin/dash"}, "usr/bin/dash"),
        ({"usr/bin/sh": "sh"}, "usr/bin/another"),
        ({"usr/bin/sh": "nowhere", "usr/bin/alias": "dash"}, "usr/bin/dash"),
    ],
)
def test_programs_are_found_inside_the_tree(root: Path, links: dict[str, str], found: str) -> None:
    (root / "usr/bin/another").write_bytes(DASH)
    for path, target in links.items():
        (root / path).symlink_to(target)
    assert artifact_tree.machine(str(root)) == (found, "arm64")


def test_links_never_lead_to_programs_of_this_machine(root: Path) -> None:
    (root / "usr/bin/dash").unlink()
    (root / "usr/bin/sh").symlink_to("/bin/sh")
    (root / "usr/bin/script").write_text("#!/bin/sh\n")
    (root / "usr/bin/short").write_bytes(DASH[:10])
    (root / "usr/bin/folder").mkdir()
    (root / "usr/bin/up").symlink_to("../../../../../../../../../../bin/sh")
    assert artifact_tree.machine(str(root)) == ("", "")
    assert artifact_tree.machine(str(root / "nowhere")) == ("", "")


def test_machines(root: Path) -> None:
    for order, number, name in ((1, 62, "amd64"), (1, 243, "riscv64"), (1, 8, "machine 8"), (2, 62, "amd64")):
        raw = number.to_bytes(2, "little" if order == 1 else "big")
        (root / "usr/bin/dash").write_bytes(b"\x7fELF\x02" + bytes([order]) + bytes(12) + raw)
        assert artifact_tree.machine(str(root)) == ("usr/bin/dash", name)


# What a tree is ----------------------------------------------------------------------------------------------------


EDITS: dict[str, Callable[[Path], object]] = {
    "bytes": lambda root: (root / "usr/bin/dash").write_bytes(DASH + b"x"),
    "mode": lambda root: (root / "usr/bin/dash").chmod(0o4755),
    "mode of a directory": lambda root: (root / "usr").chmod(0o700),
    "a new file": lambda root: (root / "x").write_text(""),
    "an empty directory": lambda root: (root / "empty").mkdir(),
    "a link": lambda root: (root / "l").symlink_to("a"),
    "a hard link": lambda root: os.link(root / "usr/bin/dash", root / "again"),
    "an attribute": lambda root: os.setxattr(root / "usr/bin/dash", "user.x", b"1"),
}


@pytest.mark.parametrize("name", EDITS)
def test_every_change_is_another_tree(root: Path, stats: StatCache, name: str) -> None:
    before = artifact_tree.digest(str(root), stats)
    try:
        EDITS[name](root)
    except OSError as problem:
        pytest.skip(f"the file system of {root} cannot: {problem}")
    assert artifact_tree.digest(str(root), stats) != before


def test_times_and_sockets_are_no_change(root: Path, stats: StatCache, monkeypatch: pytest.MonkeyPatch) -> None:
    before = artifact_tree.digest(str(root), stats)
    os.utime(root / "usr/bin/dash", (1, 1))
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert artifact_tree.digest(str(root), stats) == before


def test_a_file_that_did_not_change_is_not_read_again(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(root / "usr/bin/dash", (1, 1))
    stats = StatCache(str(tmp_path / "trees.json"))
    monkeypatch.setattr("stagegraph.statcache._SETTLED", -(10**18))
    before = artifact_tree.digest(str(root), stats)
    stats.save()
    again = StatCache(str(tmp_path / "trees.json"))
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("a file was opened"))
    assert artifact_tree.digest(str(root), again) == before


def test_a_tree_that_cannot_be_read_is_one_error(root: Path, stats: StatCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError) as error:
        artifact_tree.digest(str(root), stats)
    assert error.value.code == "rootfs-unreadable"


# The image of a tree -----------------------------------------------------------------------------------------------


def image_of(root: Path, stats: StatCache, place: Path, signed: str = "") -> Path:
    place.mkdir()
    signed = signed or artifact_tree.digest(str(root), stats)
    with open(place / "log", "wb") as log:
        artifact_tree.make_layout(str(root), signed, str(place / "layout"), CONFIG, 7, str(place), log)
    return place / "layout"


def test_the_same_tree_gives_the_same_image(root: Path, stats: StatCache, tmp_path: Path) -> None:
    (root / "setuid").write_text("")
    (root / "setuid").chmod(0o4711)
    (root / "link").symlink_to("nowhere")
    os.link(root / "setuid", root / "same")
    with open(root / "holes", "wb") as file:
        file.truncate(1 << 16)
    one = image_of(root, stats, tmp_path / "one")
    (root / "holes").write_bytes(bytes(1 << 16))  # the same bytes without holes
    os.utime(root / "usr", (5, 5))
    assert image_of(root, stats, tmp_path / "two").joinpath("index.json").read_bytes() == (one / "index.json").read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sets owners")
def test_the_image_holds_the_tree(root: Path, stats: StatCache, tmp_path: Path) -> None:
    os.chown(root / "usr/bin/dash", 12, 34)
    (root / "usr/bin/dash").chmod(0o4711)
    os.link(root / "usr/bin/dash", root / "usr/bin/same")
    layout = image_of(root, stats, tmp_path / "made")
    engine = FakeEngine(str(tmp_path / "store"))
    dash = engine.tree(engine.load(str(layout)))["usr/bin/dash"]
    assert (dash.uid, dash.gid, dash.mode, dash.mtime, dash.data) == (12, 34, 0o4711, 7, DASH)


def test_an_edit_while_it_is_read_is_refused(root: Path, stats: StatCache, tmp_path: Path) -> None:
    signed = artifact_tree.digest(str(root), stats)
    (root / "usr/bin/dash").write_bytes(DASH + b"x")
    with pytest.raises(UserError) as error:
        image_of(root, stats, tmp_path / "made", signed)
    assert error.value.code == "inputs-changed"


def test_a_tree_that_tar_cannot_read(root: Path, stats: StatCache, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        image_of(root / "nowhere", stats, tmp_path / "made", "sha256:0")
    assert error.value.code == "root-failed"


# Layouts -----------------------------------------------------------------------------------------------------------


def test_more_labels_leave_the_layers(tmp_path: Path) -> None:
    engine = FakeEngine(str(tmp_path / "store"))
    layer = fs.pack({"x": fs.regular(b"x")})
    config = {"Labels": {"a": "1"}, "Env": ["A=b=c", "EPOCH=1", "Z="], "Cmd": ["x"]}
    first = write_layout(str(tmp_path / "layout"), [layer], config=config)
    oci.relabel(str(tmp_path / "layout"), {"b": "2"}, {"EPOCH": "7", "NEW": "1"})
    image = engine.inspect(engine.load(str(tmp_path / "layout")))
    assert image.id != first
    assert image.config == {"Labels": {"a": "1", "b": "2"}, "Env": ["A=b=c", "EPOCH=7", "Z=", "NEW=1"], "Cmd": ["x"]}
    assert image.diff_ids == (oci.image_manifest(str(tmp_path / "layout"))["layers"][0]["digest"],)


def test_an_image_without_labels_and_variables_gets_them(tmp_path: Path) -> None:
    write_layout(str(tmp_path / "layout"), [fs.pack({})], config={"Labels": None, "Env": None})  # type: ignore[dict-item]
    oci.relabel(str(tmp_path / "layout"), {"b": "2"}, {"EPOCH": "7"})
    config, offered = oci.config_for(str(tmp_path / "layout"), "linux/amd64")
    assert (config["config"], offered) == ({"Labels": {"b": "2"}, "Env": ["EPOCH=7"]}, ["linux/amd64"])


def test_a_name_that_moved_after_it_was_looked_up(tmp_path: Path) -> None:
    engine = FakeEngine(str(tmp_path / "store"))
    ids = []
    for text in (b"one", b"two"):
        write_layout(str(tmp_path / text.decode()), [fs.pack({"x": fs.regular(text)})])
        ids.append(engine.load(str(tmp_path / text.decode())))
    chosen = artifacts.source(given(IMAGE_PREFIX="x:a"), "/", "linux/amd64")
    node = artifacts.node(chosen, "arm64", ["arm64"], lane="runtime", profile="p", out="out")
    node = replace(node, options={"stored": content_id(engine.inspect(ids[0]))})
    engine.tag(ids[0], [node.location])
    assert artifacts.stored_image(engine, node) == ids[0]
    engine.tag(ids[1], [node.location])
    with pytest.raises(UserError) as error:
        artifacts.stored_image(engine, node)
    assert error.value.code == "inputs-changed"


# Settings ----------------------------------------------------------------------------------------------------------


def given(**words: str) -> dict[str, str]:
    names = ("BUILD_MODE", "IMAGE_PREFIX", "CONTEXT_ROOT", "CONTEXT_MODE")
    return {f"ARTIFACT_{name}": words.get(name, "") for name in names}


def test_settings_and_their_defaults() -> None:
    none = artifacts.source(given(), "/start", "linux/amd64")
    assert (none.root, none.image, none.kind, none.platform_of("arm64")) == ("", "", "oci", "linux/amd64")
    native = artifacts.source(given(BUILD_MODE="native", CONTEXT_ROOT="../saved"), "/start/x", "linux/amd64")
    assert (native.root, native.platform_of("arm64"), native.platform_of("riscv64")) == (
        "/start/saved", "linux/arm64", "linux/riscv64",
    )  # fmt: skip
    assert artifacts.source(given(CONTEXT_ROOT="/saved"), "/start", "linux/amd64").root == "/saved"


@pytest.mark.parametrize(
    ("mode", "prefix", "location", "options"),
    [
        ("cross", "ghcr.io/o/x:cross-android", "ghcr.io/o/x:cross-android-arm64", {"stored": ""}),
        ("cross", "x:a", "localhost/x:a-arm64", {"stored": ""}),
        ("native", "ghcr.io/o/x:android", "ghcr.io/o/x:android", {"stored": ""}),
        ("native", "ghcr.io/o/x@sha256:0", "", {"image": "ghcr.io/o/x@sha256:0"}),
    ],
)
def test_names_of_images(mode: str, prefix: str, location: str, options: dict[str, str]) -> None:
    chosen = artifacts.source(given(BUILD_MODE=mode, IMAGE_PREFIX=prefix), "/", "linux/amd64")
    node = artifacts.node(chosen, "arm64", ["arm64", "riscv64"], lane="runtime", profile="p", out="out")
    assert (node.name, node.arch, node.kind, node.location, node.options) == ("artifact-arm64", "arm64", "root", location, options)
    assert node.platform == ("linux/amd64" if mode == "cross" else "linux/arm64")
    assert node.record == "out/images/p/runtime/artifact-arm64/root.json"
