"""The manifest: when it is refused, --force, --repair, and kills."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from pathlib import Path

import pytest

from stagegraph import artifact

from .lanes import ARCHES, BESIDE, GRAPH, SAVES, Lanes
from .runner import finish, wait_until
from .test_signals import is_waiting, wait_until_gone

# Refusals ----------------------------------------------------------------------------------------------------------


def test_an_arch_without_a_member(lanes: Lanes) -> None:
    graph = GRAPH.replace("members[arch] = app", 'members.update({arch: app} if arch != "arm64" else {})')
    lanes.write("SConstruct", lanes.sconstruct(graph))
    text = lanes.fails("-n", "manifest", code="manifest-incomplete").text
    assert "out/manifest/latest has no member for arm64, the target arches are arm64, riscv64" in text
    lanes.fails("--force", "manifest", code="manifest-incomplete")
    graph = GRAPH.replace("env.Manifest(", 'members["amd64"] = tools\nenv.Manifest(')
    lanes.write("SConstruct", lanes.sconstruct(graph))
    assert "has a member for amd64" in lanes.fails("-n", code="manifest-incomplete").text


def test_a_member_for_another_platform(lanes: Lanes) -> None:
    lanes.write("SConstruct", lanes.sconstruct(GRAPH.replace("members[arch] = app", "members[arch] = artifact")))
    text = lanes.fails("-n", code="parent-platform").text
    assert "the member arm64 of out/manifest/latest is artifact-arm64, an image for linux/amd64" in text


def test_what_is_no_image_is_no_member(lanes: Lanes) -> None:
    graph = GRAPH.replace("members[arch] = app", 'members[arch] = env.Layout("x", arch, image=app)')
    lanes.write("SConstruct", lanes.sconstruct(graph))
    lanes.fails("-n", code="parent-unknown")


def test_a_gate_of_something_else(lanes: Lanes) -> None:
    graph = GRAPH.replace("env.Manifest(", 'gates.append(env.Gate(artifact, "final"))\nenv.Manifest(')
    lanes.write("SConstruct", lanes.sconstruct(graph))
    # artifact is below the member, but what it stands on is the shared tools image: it judges that
    lanes.good("-n", "manifest")
    graph = GRAPH.replace("gates=gates)", 'gates=[env.Gate(root, "root")])')
    lanes.write("SConstruct", lanes.sconstruct(graph))
    text = lanes.fails("-n", code="manifest-gate").text
    assert "gate bootstrap-amd64 judges no image that a member of out/manifest/latest is or stands on" in text


def mix(lanes: Lanes) -> None:
    """Build one arch anew on another shared parent, so that the two do not go together."""
    lanes.write("scripts/tools.sh", "#!/bin/sh\nother\n")
    lanes.good("app-arm64", "package-arm64:smoke")


def test_members_on_different_contents_of_a_shared_parent(lanes: Lanes) -> None:
    before = lanes.whole()
    mix(lanes)
    for words in (["--repair", "manifest"], ["-n", "--repair", "manifest"]):
        text = lanes.fails(*words, code="manifest-mixed").text
        assert "out/manifest/latest is not made: of tools stand app-arm64 on " in text
        assert lanes.engine.journal("save") == []
    assert lanes.whole() == before
    built = lanes.builds("manifest")
    assert "app-riscv64" in built and built >= SAVES
    lanes.good("--repair", "manifest")


def test_a_mixed_manifest_by_force(lanes: Lanes) -> None:
    mix(lanes)
    result = lanes.good("--force", "--repair", "manifest")
    reason = lanes.manifest_record()["extra"]["forced"][0]
    assert reason.startswith("of tools stand app-arm64 on ")
    assert f"warning: out/manifest/latest is made all the same (--force): {reason}\n" in result.stderr
    assert f"  forced: {reason}\n" in result.stdout
    assert lanes.index()["annotations"] == {"stagegraph.forced": reason}
    assert artifact.read(str(lanes.manifest.parent / "latest.env"))["FORCED"] == reason
    assert lanes.images_in_manifest() == {arch: lanes.image(f"app-{arch}") for arch in ARCHES}

    assert lanes.scons("-q", "manifest").rc == 1, "what was forced does not stand for a manifest"
    lanes.good("manifest")
    assert "annotations" not in lanes.index()
    lanes.is_quiet("manifest")


def test_a_gate_that_judged_another_image(lanes: Lanes) -> None:
    """The package was built again, and the app on it, but the gate was not asked."""
    lanes.replace("Dockerfile.package", "RUN wire", "RUN wire better")
    lanes.good("app")
    text = lanes.fails("--repair", "manifest", code="manifest-gate").text
    judged = lanes.record("package-arm64:smoke")["ledger"]["parents"]["package"][7:19]
    stands = lanes.record("package-arm64")["content_id"][7:19]
    assert f"gate package-arm64:smoke judged {judged} of package-arm64, but app-arm64 stands on {stands}" in text
    result = lanes.good("--force", "--repair", "manifest")
    assert "warning: out/manifest/latest is made all the same (--force): gate package-arm64:smoke judged" in result.stderr
    gate = lanes.manifest_record()["extra"]["gates"][0]
    assert gate["image_id"] == "" and gate["problem"]


def test_a_gate_that_fails_by_force(place: Path) -> None:
    lanes = Lanes(place)
    lanes.engine.switch("fail", "package-arm64:smoke", "no")
    result = lanes.good("--force", "manifest")
    assert "package-arm64:smoke" not in lanes.engine.built(), "it is not waited for"
    reason = "gate package-arm64:smoke has not passed; gate package-riscv64:smoke has not passed"
    assert lanes.index()["annotations"] == {"stagegraph.forced": reason}
    assert result.stderr.count("warning: out/manifest/latest is made all the same (--force): gate ") == 2
    assert "GATES=\n" in (lanes.manifest.parent / "latest.env").read_text()
    assert lanes.scons("manifest").rc == 2
    lanes.engine.unset("fail", "package-arm64:smoke")
    assert "force 1 → (unset)" in lanes.good("--why", "manifest").stdout
    lanes.good("manifest")
    assert "annotations" not in lanes.index()
    assert lanes.manifest_record()["extra"]["forced"] == []
    lanes.is_quiet("manifest")


def test_force_overrides_nothing_where_nothing_is_wrong(lanes: Lanes) -> None:
    before = lanes.index()
    result = lanes.good("--force", "manifest")
    assert result.stderr == "" and lanes.index() == before


def test_force_is_about_manifests_alone(place: Path) -> None:
    lanes = Lanes(place)
    lanes.engine.switch("fail", "package-arm64:smoke", "no")
    assert lanes.scons("--force", "out/linux-runtime/arm64").rc == 2
    assert not (lanes.path / "out/linux-runtime/arm64").exists()


# --repair ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--repair", "--manifest-only"])
def test_repair_takes_the_images_that_are_there(lanes: Lanes, option: str) -> None:
    before = lanes.whole()
    shutil.rmtree(lanes.manifest.parent)
    lanes.write("scripts/tools.sh", "#!/bin/sh\nedited since\n")
    dry = lanes.good("-n", option, "manifest").stdout
    assert "# out/manifest/latest: --repair was given\n# out/manifest/latest: puts together the index" in dry
    assert "tools" not in dry and not lanes.manifest.exists()
    text = lanes.good(option, "manifest").stdout
    assert lanes.done() == SAVES
    assert "1 assembled in " in text
    assert lanes.whole() == before
    assert lanes.scons("-q", "manifest").rc == 1, "the edit is still to be built"
    lanes.write("scripts/tools.sh", "#!/bin/sh\nwork tools\n")
    lanes.is_quiet("manifest")


def test_repair_says_what_is_missing(lanes: Lanes) -> None:
    before = lanes.whole()
    image = lanes.image("app-riscv64")
    lanes.remove_image("app-riscv64")
    lanes.record_path("app-arm64").unlink()
    lanes.record_path("package-arm64:smoke").write_text("{")
    for words in (["--repair", "manifest"], ["-n", "--repair", "manifest"]):
        text = lanes.fails(*words, code="manifest-missing").text
        assert (
            "out/manifest/latest cannot be put together: app-arm64 was never built here; "
            f"image {image[7:19]} of app-riscv64 is not in the engine's store; gate package-arm64:smoke has not passed"
        ) in text
    assert "gate" not in lanes.fails("--force", "--repair", "manifest", code="manifest-missing").text
    assert lanes.whole() == before
    lanes.good("manifest", "app")
    lanes.good("--repair", "manifest")


def test_repair_adopts_nothing(lanes: Lanes, place: Path) -> None:
    clone = lanes.clone(place / "clone")
    clone.fails("--repair", "manifest", code="manifest-missing")


def test_repair_when_a_record_in_between_is_lost(lanes: Lanes) -> None:
    """Which tools image the arm64 artifact was built from is not known any more."""
    lanes.record_path("artifact-arm64").unlink()
    text = lanes.fails("--repair", "manifest", code="manifest-mixed").text
    assert " of artifact-arm64, which has no record" in text
    lanes.record_path("tools").unlink()
    lanes.good("manifest")
    lanes.good("--repair", "manifest")


def test_repair_when_an_image_in_between_was_built_since(lanes: Lanes) -> None:
    lanes.write("scripts/artifact.sh", "#!/bin/sh\nother\n")
    lanes.good("artifact-arm64")
    text = lanes.fails("--repair", "manifest", code="manifest-mixed").text
    assert " of artifact-arm64, which was built again since, as " in text


def test_repair_with_a_failed_engine_call(lanes: Lanes) -> None:
    before = lanes.whole()
    lanes.engine.switch("fail", "save:app-riscv64", "disk on fire")
    result = lanes.scons("--repair", "manifest")
    assert result.rc == 2
    assert "FAILED     out/manifest/latest" in result.stdout and "disk on fire" in result.stdout
    assert "Traceback" not in result.text
    assert lanes.whole() == before and lanes.beside() == BESIDE


@pytest.mark.parametrize(
    "words",
    [["app"], [], ["manifest", "app"], ["gc"], ["-q", "manifest"], ["--why", "manifest"], ["--status", "manifest"],
     ["--plan", "manifest"], ["-c", "manifest"], ["--check-reproducible", "manifest"], ["--refresh=app-arm64", "manifest"]],
)  # fmt: skip
def test_repair_stands_with_a_manifest_alone(lanes: Lanes, words: list[str]) -> None:
    before = lanes.snapshot()
    lanes.fails("--repair", *words, code="command-words")
    assert lanes.snapshot() == before


def test_repair_during_a_build_is_refused(lanes: Lanes) -> None:
    lanes.write("scripts/tools.sh", "other\n")
    lanes.engine.switch("hold", "tools")
    process = lanes.start("tools")
    wait_until(lambda: "tools" in lanes.engine.built(), process)
    lanes.fails("--repair", "manifest", code="tree-locked")
    lanes.engine.unset("hold", "tools")
    finish(process)
    lanes.good("--repair", "manifest")


# Kills -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["manifest"], ["--repair", "manifest"]], ids=" ".join)
def test_kill_while_a_member_is_saved(lanes: Lanes, words: list[str]) -> None:
    before = lanes.whole()
    (lanes.manifest / "oci-layout").unlink()
    lanes.engine.switch("hold", "save:app-riscv64")
    process = lanes.start(*words)
    wait_until(lambda: is_waiting(lanes, "save:app-riscv64"), process)
    process.kill()
    finish(process)
    wait_until_gone(lanes)
    lanes.engine.unset("hold", "save:app-riscv64")
    assert lanes.scons("-q", "manifest").rc == 1
    assert lanes.beside() - BESIDE, "what the next run removes"
    assert lanes.builds("manifest") == SAVES
    assert lanes.whole() == before and lanes.beside() == BESIDE
    lanes.is_quiet("--verify", "manifest")


@pytest.mark.parametrize("words", [["manifest"], ["--repair", "manifest"]], ids=" ".join)
def test_stop_while_a_member_is_saved(lanes: Lanes, words: list[str]) -> None:
    (lanes.manifest / "oci-layout").unlink()
    lanes.engine.switch("hold", "save:app-arm64")
    process = lanes.start(*words)
    wait_until(lambda: is_waiting(lanes, "save:app-arm64"), process)
    process.terminate()
    finish(process)
    assert process.returncode != 0
    wait_until_gone(lanes)
    lanes.engine.unset("hold", "save:app-arm64")
    assert lanes.builds("manifest") == SAVES
    assert lanes.beside() == BESIDE


@pytest.mark.parametrize("seed", range(6))
def test_kill_at_any_moment(lanes: Lanes, seed: int) -> None:
    """Whenever it is killed, the manifest is the old one, the new one, or known not to be there."""
    dice = random.Random(seed)
    lanes.replace("Dockerfile.app", "run /mnt/app.sh", "run /mnt/app.sh x")
    lanes.good("app")
    process = lanes.start("manifest")
    wait_until(lambda: bool(lanes.engine.journal("save")) or process.poll() is not None, process)
    time.sleep(dice.random() / 30)
    process.kill()
    finish(process)
    wait_until_gone(lanes)
    was_done = lanes.scons("-q", "--verify", "manifest").rc == 0
    assert lanes.builds("manifest") == (set() if was_done else SAVES)
    assert lanes.beside() == BESIDE
    lanes.is_quiet("--verify", "manifest")
    assert lanes.images_in_manifest() == {arch: lanes.image(f"app-{arch}") for arch in ARCHES}


def test_a_run_beside_another(lanes: Lanes, place: Path) -> None:
    """Two checkouts with one store: each has its own manifest, and the records do not mix."""
    clone = lanes.clone(place / "clone")
    one, two = lanes.start("--refresh=out/manifest/latest", "manifest"), clone.start("manifest")
    for process in (one, two):
        text = finish(process)
        assert process.returncode == 0, text
    assert lanes.whole() == clone.whole()
    assert json.loads((clone.manifest.parent / ".latest.json").read_text())["how"] == "assembled"
    assert not os.path.exists(clone.manifest.parent / "latest.new")
