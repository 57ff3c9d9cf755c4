"""Artifacts brought into the store by each engine: a layout with more labels, a directory tree, an image by its name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from stagegraph import artifact_tree, root, runs
from stagegraph.engines.base import Engine
from stagegraph.image import content_id
from stagegraph.model import LABEL_NODE, LABEL_SIGNATURE, Node
from stagegraph.statcache import StatCache

from .support import Project, files

LABELS = {LABEL_NODE: "artifact-arm64", LABEL_SIGNATURE: "f" * 64}


def make(engine: Engine, options: dict[str, str], location: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The image of an artifact node."""
    node = Node(
        "artifact-arm64", "artifact", "arm64", "root", "root", "linux/amd64", "", options=options, location=location
    )
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        (place / name).mkdir(exist_ok=True)
        monkeypatch.setenv(name, str(place / name))
    with runs.open_run() as run, open(place / "log", "wb") as log:
        return root.make(engine, node, LABELS, 86400, run, {}, log)


def stage(project: Project, base: str) -> str:
    """An image like a stage's, with the variable that all our images have."""
    project.write("data/file", "content\n")
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nCOPY data /data\nENV SOURCE_DATE_EPOCH=86400\n")
    return project.build("one", base, node="android-arm64")


def test_a_layout_comes_back_with_the_content_it_had(
    engine: Engine, project: Project, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = engine.inspect(stage(project, base))
    engine.save(saved.id, str(tmp_path / "layout"))
    (entry,) = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    image_id = make(engine, {"layout": entry["digest"]}, str(tmp_path / "layout"), tmp_path, monkeypatch)
    image = engine.inspect(image_id)
    assert image.id != saved.id
    assert image.diff_ids == saved.diff_ids
    assert {key: image.config["Labels"][key] for key in LABELS} == LABELS
    assert content_id(image) == content_id(saved)
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS two\nRUN cat /data/file > /copy\n")
    assert "copy" in files(engine, project.build("two", image_id))


def test_a_tree_is_an_image_of_one_layer(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/tool").write_text("tool")
    (tree / "bin").symlink_to("usr/bin")
    os.link(tree / "usr/bin/tool", tree / "usr/bin/same")
    if os.geteuid() == 0:
        os.chown(tree / "usr/bin/tool", 12, 34)
    (tree / "usr/bin/tool").chmod(0o4755)  # after the owner, whose change takes it away
    options = {"tree": artifact_tree.digest(str(tree), StatCache(str(tmp_path / "trees.json")))}
    first = make(engine, options, str(tree), tmp_path, monkeypatch)
    os.utime(tree / "bin", follow_symlinks=False)
    assert make(engine, options, str(tree), tmp_path, monkeypatch) == first
    image = engine.inspect(first)
    assert (image.os, image.architecture, len(image.diff_ids)) == ("linux", "amd64", 1)
    assert image.config["Labels"] == LABELS
    found = files(engine, first)
    assert found["usr/bin/tool"].mode & 0o7777 == 0o4755
    if os.geteuid() == 0:
        assert (found["usr/bin/tool"].uid, found["usr/bin/tool"].gid) == (12, 34)
    assert {found[f"usr/bin/{name}"].mtime for name in ("tool", "same")} == {86400}
    assert found["bin"].linkname == "usr/bin"


def test_an_image_is_found_by_its_name(
    engine: Engine, project: Project, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = stage(project, base)
    engine.tag(image_id, ["localhost/x:cross-android-arm64"])
    options = {"stored": content_id(engine.inspect(image_id))}
    image = engine.inspect(make(engine, options, "localhost/x:cross-android-arm64", tmp_path, monkeypatch))
    assert {key: image.config["Labels"][key] for key in LABELS} == LABELS
    assert "data/file" in files(engine, image.id)
