"""Images and their names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stagegraph.engines import detect
from stagegraph.engines.base import Engine
from stagegraph.errors import UserError

from .support import (
    Project,
)

UNKNOWN = "sha256:" + "0" * 64


def test_version_is_a_version(engine: Engine) -> None:
    assert re.match(r"\d+\.\d+", engine.version())
    detect.check_version(engine)


def test_load_gives_the_id_of_the_layout_and_no_name(engine: Engine, root_layout: str) -> None:
    image_id = engine.load(root_layout)
    manifest = json.loads((Path(root_layout) / "index.json").read_text())["manifests"][0]["digest"]
    config = json.loads((Path(root_layout) / "blobs/sha256" / manifest[7:]).read_text())["config"]["digest"]
    assert image_id == config
    assert {image.id: image.names for image in engine.images()}[image_id] == ()


def test_names_move_and_go_and_the_images_stay(engine: Engine, project: Project, base: str) -> None:
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nCOPY Dockerfile /x\n")
    one, two = project.build("one", base, signature="n1"), project.build("one", base, signature="n2")
    assert one != two
    engine.tag(one, ["localhost/stagegraph/a/b:1", "localhost/stagegraph/a/b:2"])
    engine.tag(two, ["localhost/stagegraph/a/b:2"])
    names = {image.id: image.names for image in engine.images()}
    assert (names[one], names[two]) == (("localhost/stagegraph/a/b:1",), ("localhost/stagegraph/a/b:2",))
    engine.untag(["localhost/stagegraph/a/b:1", "localhost/stagegraph/never/was:1"])
    names = {image.id: image.names for image in engine.images()}
    assert (names[one], names[two]) == ((), ("localhost/stagegraph/a/b:2",))


def test_remove_takes_the_image_with_all_names_and_no_other(
    engine: Engine, project: Project, base: str
) -> None:
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nCOPY Dockerfile /x\n")
    parent = project.build("one", base, signature="r1")
    child = project.build("one", parent, signature="r2")
    engine.tag(child, ["localhost/stagegraph/c:1", "localhost/stagegraph/c:2"])
    engine.remove([child])
    left = {image.id for image in engine.images()}
    assert child not in left
    assert {parent, base} <= left


def test_inspect_of_an_unknown_image(engine: Engine) -> None:
    with pytest.raises(UserError) as error:
        engine.inspect(UNKNOWN)
    assert error.value.code == "image-unknown"
    with pytest.raises(UserError) as error, engine.rootfs(UNKNOWN, "r"):
        pass
    assert error.value.code == "image-unknown"
