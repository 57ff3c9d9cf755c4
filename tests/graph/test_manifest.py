"""The manifest: what it holds, when it is made again, when it is refused, --force and --repair."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from pathlib import Path

import pytest

from stagegraph import artifact, oci

from .lanes import ARCHES, GRAPH, RUNTIME, Lanes
from .test_running import finish, wait_until
from .test_signals import wait_until_gone

SAVES = {f"save:app-{arch}" for arch in ARCHES}


def whole(lanes: Lanes) -> dict[str, bytes]:
    """Every file of the manifest's layout."""
    found = (path for path in lanes.manifest.rglob("*") if path.is_file())
    return {str(path.relative_to(lanes.manifest)): path.read_bytes() for path in found}


def leftovers(lanes: Lanes) -> set[str]:
    """What lies beside the layout and is not a part of it."""
    return {path.name for path in lanes.manifest.parent.iterdir()} - {"latest"}


BESIDE = {".latest.json", "latest.env", ".latest.lock"}


# What it is --------------------------------------------------------------------------------------------------------


def test_the_layout_holds_one_index_over_all_members(lanes: Lanes) -> None:
    entry, index = lanes.entry(), lanes.index()
    assert entry["mediaType"] == oci.INDEX == index["mediaType"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "latest"}
    assert set(index) == {"schemaVersion", "mediaType", "manifests"}
    assert [one["platform"] for one in index["manifests"]] == [{"os": "linux", "architecture": a} for a in ARCHES]
    assert {one["mediaType"] for one in index["manifests"]} == {oci.MANIFEST}
    assert lanes.images_in_manifest() == {arch: lanes.image(f"app-{arch}") for arch in ARCHES}
    assert oci.problem(str(lanes.manifest)) == ""
    assert {path.name for path in lanes.manifest.iterdir()} == {"blobs", "index.json", "oci-layout"}
    assert leftovers(lanes) == BESIDE


def test_blobs_that_members_share_are_stored_once(lanes: Lanes) -> None:
    layers = []
    for entry in lanes.index()["manifests"]:
        layers += [layer["digest"] for layer in lanes.blob(lanes.manifest, entry["digest"])["layers"]]
    assert len(set(layers)) < len(layers), "the two have a layer in common"
    names = oci.blob_names(str(lanes.manifest))
    assert len(names) == len(set(layers)) + 2 + 2 + 1, "layers, configs, manifests and the index"


def test_the_digest_is_said_at_the_end_and_recorded(lanes: Lanes) -> None:
    digest = lanes.entry()["digest"]
    line = f"manifest out/manifest/latest is {digest}\n"
    assert line in lanes.good("manifest").stdout
    lanes.replace("Dockerfile.app", "run /mnt/app.sh", "run /mnt/app.sh x")
    text = lanes.good("manifest").stdout
    new = lanes.entry()["digest"]
    assert new != digest and text.endswith(f"manifest out/manifest/latest is {new}\n")
    assert "assembled  out/manifest/latest in " in text
    assert "2 built, 1 assembled, 14 up to date in " in text
    assert "manifest " not in lanes.good("app").stdout.replace("scons: ", "")

    record = lanes.manifest_record()
    assert (record["how"], record["extra"]["digest"], record["extra"]["forced"]) == ("assembled", new, [])
    for arch, member in zip(ARCHES, record["extra"]["members"], strict=True):
        app = lanes.record(f"app-{arch}")
        listed = next(e["digest"] for e in lanes.index()["manifests"] if e["platform"]["architecture"] == arch)
        assert member == {
            "arch": arch, "node": f"app-{arch}", "image_id": app["image_id"], "content_id": app["content_id"],
            "manifest": listed,
        }  # fmt: skip
    for arch, gate in zip(ARCHES, record["extra"]["gates"], strict=True):
        package = lanes.record(f"package-{arch}")
        assert gate == {
            "gate": f"package-{arch}:smoke", "member": f"app-{arch}", "judged": f"package-{arch}",
            "content_id": package["content_id"], "image_id": package["image_id"], "problem": "",
        }  # fmt: skip


def test_the_report_for_people(lanes: Lanes) -> None:
    said = artifact.read(str(lanes.manifest.parent / "latest.env"))
    assert said["IMAGE"] == "localhost/image:latest"
    assert said["INDEX_DIGEST"] == lanes.entry()["digest"]
    assert said["PLATFORMS"] == "linux/arm64 linux/riscv64"
    assert said["GATES"] == "package-arm64:smoke package-riscv64:smoke"
    assert said["IMAGE_ID_ARM64"] == lanes.image("app-arm64")
    assert said["CONTENT_ID_RISCV64"] == lanes.record("app-riscv64")["content_id"]
    assert said["NODE_ARM64"] == "app-arm64"
    assert said["MANIFEST_ARM64"] == lanes.index()["manifests"][0]["digest"]
    assert "FORCED" not in said


def test_the_same_images_give_the_same_bytes(lanes: Lanes) -> None:
    before = whole(lanes)
    for how in (["--refresh=out/manifest/latest", "manifest"], ["--repair", "manifest"]):
        lanes.good(*how)
        assert lanes.engine.journal("save")
        assert whole(lanes) == before
    shutil.rmtree(lanes.manifest)
    lanes.good("-j3", "manifest")
    assert whole(lanes) == before


def test_two_checkouts_make_the_same(place: Path, lanes: Lanes) -> None:
    other = Lanes(place / "other")
    other.good("-j3", "manifest")
    assert whole(other) == whole(lanes)


def test_the_order_of_declaration_says_nothing(lanes: Lanes) -> None:
    lanes.good("manifest", "TARGET_ARCHES=riscv64,arm64")
    assert lanes.done() == set()


def test_image_names_the_reference(lanes: Lanes) -> None:
    digest = lanes.entry()["digest"]
    given = "IMAGE=ghcr.io/owner/name:v1"
    why = lanes.good("--why", "manifest", given).stdout
    assert "reference localhost/image:latest → ghcr.io/owner/name:v1" in why
    assert lanes.builds("manifest", given) == SAVES
    entry = lanes.entry()
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "v1"}
    assert entry["digest"] == digest, "the name is no part of the index"
    assert artifact.read(str(lanes.manifest.parent / "latest.env"))["IMAGE"] == "ghcr.io/owner/name:v1"
    assert lanes.builds("manifest", env={"IMAGE": "ghcr.io/owner/name:v1"}) == set()
    assert "reference ghcr.io/owner/name:v1 → ghcr.io/me/x:latest" in lanes.good("--why", "manifest", "IMAGE_REPO=ghcr.io/me/x").stdout
    for wrong in ("name", "ghcr.io:5000/owner/name", "ghcr.io/owner/name@sha256:" + "0" * 64, "Name:tag", "name:-"):
        lanes.fails("manifest", f"IMAGE={wrong}", code="image-name")


def test_the_reference_of_the_declaration(lanes: Lanes) -> None:
    lanes.write("SConstruct", lanes.sconstruct(GRAPH.replace("gates=gates)", 'gates=gates, reference="here/x:y")')))
    lanes.good("manifest")
    assert artifact.read(str(lanes.manifest.parent / "latest.env"))["IMAGE"] == "localhost/here/x:y"


# When it is made again ---------------------------------------------------------------------------------------------


def test_a_change_of_one_member_is_that_member_and_the_manifest(lanes: Lanes) -> None:
    other = lanes.index()["manifests"][1]
    lanes.write("versions.env", "CROSS_DEFAULT_ARCHES=arm64,riscv64\nGCC_VERSION=14\nGCC_VERSION_ARM64=15\n")
    assert "# out/manifest/latest: conditional" in lanes.good("-n", "manifest").stdout
    built = lanes.builds("manifest")
    assert built == {name.format("arm64") for name in ("artifact-{}", *RUNTIME[1:])} | SAVES
    assert lanes.index()["manifests"][1] == other
    assert lanes.images_in_manifest()["arm64"] == lanes.image("app-arm64")
    lanes.is_quiet("manifest")


def test_a_member_of_the_same_content_leaves_it_as_it_is(lanes: Lanes) -> None:
    """Only the label differs, so the manifest stays; that it holds the image of before is said."""
    before, held = whole(lanes), lanes.image("app-arm64")
    lanes.write("scripts/app.sh", "#!/bin/sh\n# only a comment\nwork app\n")
    text = lanes.good("manifest").stdout
    assert lanes.done() == {f"app-{arch}" for arch in ARCHES}
    now = lanes.image("app-arm64")
    assert now != held
    assert whole(lanes) == before
    line = f"  holds image {held[7:19]} of app-arm64; {now[7:19]}, built since, has the same content\n"
    assert line in text and line in lanes.good("manifest").stdout
    lanes.is_quiet("manifest")
    lanes.good("--repair", "manifest")
    assert lanes.images_in_manifest() == {arch: lanes.image(f"app-{arch}") for arch in ARCHES}
    assert "holds" not in lanes.good("manifest").stdout
    lanes.is_quiet("manifest")


def test_a_fresh_clone_adopts_and_makes_the_same(lanes: Lanes, place: Path) -> None:
    clone = lanes.clone(place / "clone")
    assert clone.builds("manifest") == SAVES
    assert whole(clone) == whole(lanes)


def test_another_set_of_arches(lanes: Lanes) -> None:
    lanes.good("manifest", "TARGET_ARCH=riscv64")
    assert lanes.done() == {"save:app-riscv64"}
    assert list(lanes.images_in_manifest()) == ["riscv64"]
    assert "parent app-arm64 is new" in lanes.good("--why", "manifest").stdout
    assert lanes.builds("manifest") == SAVES


def test_a_missing_member_is_built_again_when_the_manifest_needs_it(lanes: Lanes) -> None:
    lanes.remove_image("app-riscv64")
    assert lanes.builds("manifest") == set(), "the layout holds it"
    lanes.write("versions.env", "CROSS_DEFAULT_ARCHES=arm64,riscv64\nGCC_VERSION=14\nGCC_VERSION_ARM64=15\n")
    assert lanes.builds("manifest") >= {"app-riscv64", *SAVES}
    lanes.is_quiet("manifest")


def damage_directory(lanes: Lanes) -> None:
    shutil.rmtree(lanes.manifest)


def damage_index(lanes: Lanes) -> None:
    path = lanes.manifest / "index.json"
    path.write_text(path.read_text() + "\n")


def damage_marker(lanes: Lanes) -> None:
    (lanes.manifest / "oci-layout").unlink()


def damage_blob(lanes: Lanes) -> None:
    next((lanes.manifest / "blobs/sha256").iterdir()).unlink()


def damage_report(lanes: Lanes) -> None:
    (lanes.manifest.parent / "latest.env").write_text("IMAGE=other\n")


DAMAGES = {
    damage_directory: "latest/ is not there",
    damage_index: "latest/index.json is not what was written",
    damage_marker: "latest/oci-layout is not there",
    damage_blob: "the blobs of latest/ are not those that were written",
    damage_report: "latest.env is not there, or does not say what it has to",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_a_reason(lanes: Lanes, damage) -> None:
    before = whole(lanes)
    damage(lanes)
    assert lanes.scons("-q", "manifest").rc == 1
    assert f"out/manifest/latest: has to be built\n    {DAMAGES[damage]}\n" in lanes.good("--why", "manifest").stdout
    assert lanes.builds("manifest") == SAVES
    assert whole(lanes) == before
    lanes.is_quiet("manifest")


def test_verify_reads_every_blob(lanes: Lanes) -> None:
    blob = max((lanes.manifest / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(blob.read_bytes())
    data[100] ^= 1
    blob.write_bytes(data)
    assert lanes.scons("-q", "manifest").rc == 0
    assert f"the blob sha256:{blob.name} of" in lanes.good("-n", "--verify", "manifest").stdout
    assert lanes.builds("--verify", "manifest") == SAVES
    assert oci.problem(str(lanes.manifest)) == ""


# Questions, cleaning, other places ------------------------------------------------------------------------------------


def test_questions_tell_the_truth_and_touch_nothing(place: Path) -> None:
    lanes = Lanes(place)
    before = lanes.snapshot()
    text = lanes.good("-n", "manifest").stdout
    line = "# out/manifest/latest: puts together the index over the images of app-arm64, app-riscv64 in the OCI layout out/manifest/latest\n"
    assert text.endswith(line)
    assert lanes.scons("-q", "manifest").rc == 1
    assert "out/manifest/latest: has to be built\n    never built\n" in lanes.good("--why", "manifest").stdout
    assert "out/manifest/latest " in lanes.good("--plan", "manifest").stdout
    assert "never built" in lanes.good("--status", "out/manifest/latest").stdout
    listed = lanes.good("--list-targets").stdout
    assert "out/manifest/latest              manifest\n" in listed
    assert "manifest                         out/manifest/latest\n" in listed
    assert lanes.snapshot() == before


def test_clean(lanes: Lanes) -> None:
    images = lanes.engine.images()
    lanes.good("-c", "manifest")
    assert not lanes.manifest.exists()
    assert leftovers(lanes) == {".latest.lock"}
    assert lanes.engine.images() == images
    assert lanes.record_path("app-arm64").exists()
    lanes.good("-c", "manifest")
    assert lanes.builds("manifest") == SAVES


def test_clean_after_the_record_was_lost(lanes: Lanes) -> None:
    """As after a kill between the exchange and the record."""
    (lanes.manifest.parent / ".latest.json").unlink()
    (lanes.manifest.parent / "latest.env").unlink()
    lanes.good("-c", "out/manifest/latest")
    assert not lanes.manifest.exists()


def test_a_directory_of_somebody_else(place: Path) -> None:
    lanes = Lanes(place)
    lanes.manifest.mkdir(parents=True)
    (lanes.manifest / "thesis").write_text("mine")
    lanes.good("-c", "manifest")
    lanes.fails("manifest", code="tree-foreign")
    assert (lanes.manifest / "thesis").read_text() == "mine"


@pytest.mark.parametrize("word", ["manifest", "out/manifest/latest", "srv/manifest/latest", "srv"])
def test_output_root_moves_it(lanes: Lanes, word: str) -> None:
    given = "OUTPUT_ROOT=srv"
    lanes.good(word, given)
    moved = lanes.path / "srv/manifest/latest"
    assert (moved / "index.json").read_bytes() == (lanes.manifest / "index.json").read_bytes()
    assert f"manifest srv/manifest/latest is {lanes.entry()['digest']}\n" in lanes.good(word, given).stdout
    assert lanes.scons("-q", word, given).rc == 0
    lanes.good("-c", "manifest", given)
    assert not moved.exists() and lanes.manifest.exists()


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
    before = whole(lanes)
    mix(lanes)
    for words in (["--repair", "manifest"], ["-n", "--repair", "manifest"]):
        text = lanes.fails(*words, code="manifest-mixed").text
        assert "out/manifest/latest is not made: of tools stand app-arm64 on " in text
        assert lanes.engine.journal("save") == []
    assert whole(lanes) == before
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
    before = whole(lanes)
    shutil.rmtree(lanes.manifest.parent)
    lanes.write("scripts/tools.sh", "#!/bin/sh\nedited since\n")
    dry = lanes.good("-n", option, "manifest").stdout
    assert "# out/manifest/latest: --repair was given\n# out/manifest/latest: puts together the index" in dry
    assert "tools" not in dry and not lanes.manifest.exists()
    text = lanes.good(option, "manifest").stdout
    assert lanes.done() == SAVES
    assert "1 assembled in " in text
    assert whole(lanes) == before
    assert lanes.scons("-q", "manifest").rc == 1, "the edit is still to be built"
    lanes.write("scripts/tools.sh", "#!/bin/sh\nwork tools\n")
    lanes.is_quiet("manifest")


def test_repair_says_what_is_missing(lanes: Lanes) -> None:
    before = whole(lanes)
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
    assert whole(lanes) == before
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
    before = whole(lanes)
    lanes.engine.switch("fail", "save:app-riscv64", "disk on fire")
    result = lanes.scons("--repair", "manifest")
    assert result.rc == 2
    assert "FAILED     out/manifest/latest" in result.stdout and "disk on fire" in result.stdout
    assert "Traceback" not in result.text
    assert whole(lanes) == before and leftovers(lanes) == BESIDE


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
    before = whole(lanes)
    (lanes.manifest / "oci-layout").unlink()
    lanes.engine.switch("hold", "save:app-riscv64")
    process = lanes.start(*words)
    wait_until(lambda: len(lanes.engine.journal("save")) == 2, process)
    process.kill()
    finish(process)
    wait_until_gone(lanes)
    lanes.engine.unset("hold", "save:app-riscv64")
    assert lanes.scons("-q", "manifest").rc == 1
    assert leftovers(lanes) - BESIDE, "what the next run removes"
    assert lanes.builds("manifest") == SAVES
    assert whole(lanes) == before and leftovers(lanes) == BESIDE
    lanes.is_quiet("--verify", "manifest")


@pytest.mark.parametrize("words", [["manifest"], ["--repair", "manifest"]], ids=" ".join)
def test_stop_while_a_member_is_saved(lanes: Lanes, words: list[str]) -> None:
    (lanes.manifest / "oci-layout").unlink()
    lanes.engine.switch("hold", "save:app-arm64")
    process = lanes.start(*words)
    wait_until(lambda: len(lanes.engine.journal("save")) == 1, process)
    process.terminate()
    finish(process)
    assert process.returncode != 0
    wait_until_gone(lanes)
    lanes.engine.unset("hold", "save:app-arm64")
    assert lanes.builds("manifest") == SAVES
    assert leftovers(lanes) == BESIDE


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
    assert leftovers(lanes) == BESIDE
    lanes.is_quiet("--verify", "manifest")
    assert lanes.images_in_manifest() == {arch: lanes.image(f"app-{arch}") for arch in ARCHES}


def test_a_run_beside_another(lanes: Lanes, place: Path) -> None:
    """Two checkouts with one store: each has its own manifest, and the records do not mix."""
    clone = lanes.clone(place / "clone")
    one, two = lanes.start("--refresh=out/manifest/latest", "manifest"), clone.start("manifest")
    for process in (one, two):
        text = finish(process)
        assert process.returncode == 0, text
    assert whole(lanes) == whole(clone)
    assert json.loads((clone.manifest.parent / ".latest.json").read_text())["how"] == "assembled"
    assert not os.path.exists(clone.manifest.parent / "latest.new")
