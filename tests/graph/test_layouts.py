"""Images saved as OCI layouts: when they are made, damaged, moved, removed, killed."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

import pytest

from stagegraph import oci

from .lanes import GRAPH, Lanes
from .runner import finish, wait_until
from .test_signals import wait_until_gone

NAME = "out/local-oci/artifact/arm64"
SAVED = {"save:artifact-arm64"}
BESIDE = {"arm64", "riscv64", ".arm64.json", ".riscv64.json", ".arm64.lock", ".riscv64.lock"}


def layout(lanes: Lanes) -> Path:
    return lanes.path / NAME


def config_of(lanes: Lanes) -> str:
    """The id of the image that the layout holds."""
    return oci.image_manifest(str(layout(lanes)))["config"]["digest"]


def test_it_holds_the_image_and_nothing_else(lanes: Lanes) -> None:
    assert config_of(lanes) == lanes.image("artifact-arm64")
    assert {path.name for path in layout(lanes).iterdir()} == {"blobs", "index.json", "oci-layout"}
    assert oci.problem(str(layout(lanes))) == ""
    assert {path.name for path in layout(lanes).parent.iterdir()} == BESIDE
    record = json.loads((layout(lanes).parent / ".arm64.json").read_text())
    assert (record["how"], record["node"], record["image_id"]) == ("saved", NAME, lanes.image("artifact-arm64"))
    assert record["extra"]["index"] == oci.file_digest(str(layout(lanes) / "index.json"))
    assert record["size"] == sum(path.stat().st_size for path in (layout(lanes) / "blobs/sha256").iterdir())
    assert lanes.builds(NAME) == set()


def test_an_engine_takes_it_again(lanes: Lanes) -> None:
    image = lanes.image("artifact-arm64")
    lanes.remove_image("artifact-arm64")
    assert lanes.engine.load(str(layout(lanes))) == image


@pytest.mark.parametrize(
    "word", [NAME, f"{NAME}/", "out/local-oci", "out/local-oci/artifact/.arm64.json"]
)
def test_words_that_name_it(place: Path, word: str) -> None:
    lanes = Lanes(place)
    assert f"# {NAME}: saves the image of artifact-arm64 as the OCI layout {NAME}\n" in lanes.good("-n", word).stdout
    text = lanes.good(word).stdout
    assert f"saved      {NAME} in " in text
    assert " built, " in text and " saved in " in text
    lanes.is_quiet(word)


def test_an_edit_is_its_image_and_the_layout(lanes: Lanes) -> None:
    lanes.write("scripts/artifact.sh", "#!/bin/sh\nother\n")
    assert f"# {NAME}: conditional, only if a parent changes" in lanes.good("-n", NAME).stdout
    assert lanes.builds(NAME) == SAVED | {"artifact-arm64"}
    assert config_of(lanes) == lanes.image("artifact-arm64")
    lanes.is_quiet(NAME)


def test_the_same_content_leaves_it_as_it_is(lanes: Lanes) -> None:
    held = config_of(lanes)
    lanes.write("scripts/artifact.sh", "#!/bin/sh\n# a comment\nwork artifact\n")
    assert lanes.builds(NAME) == {"artifact-arm64"}
    assert config_of(lanes) == held != lanes.image("artifact-arm64")
    lanes.is_quiet(NAME)


def test_a_missing_image_is_made_again_for_it(lanes: Lanes) -> None:
    lanes.remove_image("artifact-arm64")
    assert lanes.builds(NAME) == set()
    shutil.rmtree(layout(lanes))
    text = lanes.good("--why", NAME).stdout
    assert "arm64/ is not there" in text and f"and {NAME} needs it" in text
    assert lanes.builds(NAME) == SAVED | {"artifact-arm64"}
    lanes.is_quiet(NAME)


def test_damage(lanes: Lanes) -> None:
    (layout(lanes) / "index.json").write_text("{}")
    assert f"{NAME}: has to be built\n    arm64/index.json is not what was written" in lanes.good("--why", NAME).stdout
    assert lanes.scons("-q", NAME).rc == 1
    assert lanes.builds(NAME) == SAVED
    blob = max((layout(lanes) / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(blob.read_bytes() + b"x")
    assert lanes.builds(NAME) == set()
    assert lanes.builds("--verify", NAME) == SAVED
    lanes.is_quiet("--verify", NAME)


def test_output_root(lanes: Lanes, place: Path) -> None:
    given = f"OUTPUT_ROOT={place}/elsewhere"
    moved = place / "elsewhere/local-oci/artifact/arm64"
    for word in (NAME, str(moved)):
        assert lanes.builds(word, given) == SAVED
        assert (moved / "index.json").read_bytes() == (layout(lanes) / "index.json").read_bytes()
        lanes.is_quiet(word, given)
        lanes.good("-c", word, given)
        assert not moved.exists() and layout(lanes).exists()
        assert {path.name for path in moved.parent.iterdir()} == {".arm64.lock"}


def test_clean(lanes: Lanes) -> None:
    lanes.good("-c", NAME)
    assert {path.name for path in layout(lanes).parent.iterdir()} == BESIDE - {"arm64", ".arm64.json"}
    assert lanes.record_path("artifact-arm64").exists()
    lanes.good("-c", NAME)
    assert lanes.builds(NAME) == SAVED


def test_a_directory_of_somebody_else(place: Path) -> None:
    lanes = Lanes(place)
    layout(lanes).mkdir(parents=True)
    (layout(lanes) / "thesis").write_text("mine")
    lanes.good("-c", NAME)
    lanes.fails(NAME, code="tree-foreign")
    assert (layout(lanes) / "thesis").read_text() == "mine"


def test_a_gate_keeps_it_back(place: Path) -> None:
    lanes = Lanes(place, GRAPH + 'for arch in env["ARCHES"]:\n    env.Layout("local-oci/app", arch, members[arch], gates=gates)\n')
    lanes.engine.switch("fail", "package-arm64:smoke", "no")
    assert lanes.scons("out/local-oci/app").rc == 2
    assert not (lanes.path / "out/local-oci/app").exists()
    lanes.engine.unset("fail", "package-arm64:smoke")
    lanes.good("out/local-oci/app")


def test_a_layout_and_an_export_of_one_name(place: Path) -> None:
    lanes = Lanes(place, GRAPH.replace('env.Layout("local-oci/artifact"', 'env.Layout("payload"'))
    lanes.fails("-n", code="node-twice")


def test_a_failure_leaves_the_old_one(lanes: Lanes) -> None:
    held = config_of(lanes)
    lanes.write("scripts/artifact.sh", "#!/bin/sh\nother\n")
    lanes.engine.switch("fail", "save:artifact-arm64", "no space in the attic")
    result = lanes.scons(NAME)
    assert result.rc == 2
    assert f"FAILED     {NAME}" in result.stdout and "no space in the attic" in result.stdout
    assert config_of(lanes) == held
    assert {path.name for path in layout(lanes).parent.iterdir()} == BESIDE
    assert lanes.scons("-q", NAME).rc == 1


@pytest.mark.parametrize("seed", range(4))
def test_kill_at_any_moment(lanes: Lanes, seed: int) -> None:
    dice = random.Random(seed)
    lanes.write("scripts/artifact.sh", "#!/bin/sh\nother\n")
    lanes.good("artifact-arm64")
    process = lanes.start(NAME)
    wait_until(lambda: bool(lanes.engine.journal("save")) or process.poll() is not None, process)
    time.sleep(dice.random() / 40)
    process.kill()
    finish(process)
    wait_until_gone(lanes)
    was_done = lanes.scons("-q", "--verify", NAME).rc == 0
    assert lanes.builds(NAME) == (set() if was_done else SAVED)
    assert {path.name for path in layout(lanes).parent.iterdir()} == BESIDE
    lanes.is_quiet("--verify", NAME)


def test_check_reproducible_of_it_is_that_of_all_below(lanes: Lanes) -> None:
    text = lanes.good("--check-reproducible", NAME).stdout
    assert "artifact-arm64: reproducible\n" in text and "tools: reproducible\n" in text
    assert f"{NAME}:" not in text
