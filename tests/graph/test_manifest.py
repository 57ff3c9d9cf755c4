"""The manifest: what it holds, when it is made again, questions about it and its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stagegraph import artifact, oci

from .lanes import ARCHES, BESIDE, GRAPH, RUNTIME, SAVES, Lanes

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
    assert lanes.beside() == BESIDE


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
    before = lanes.whole()
    for how in (["--refresh=out/manifest/latest", "manifest"], ["--repair", "manifest"]):
        lanes.good(*how)
        assert lanes.engine.journal("save")
        assert lanes.whole() == before
    shutil.rmtree(lanes.manifest)
    lanes.good("-j3", "manifest")
    assert lanes.whole() == before


def test_two_checkouts_make_the_same(place: Path, lanes: Lanes) -> None:
    other = Lanes(place / "other")
    other.good("-j3", "manifest")
    assert other.whole() == lanes.whole()


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
    before, held = lanes.whole(), lanes.image("app-arm64")
    lanes.write("scripts/app.sh", "#!/bin/sh\n# only a comment\nwork app\n")
    text = lanes.good("manifest").stdout
    assert lanes.done() == {f"app-{arch}" for arch in ARCHES}
    now = lanes.image("app-arm64")
    assert now != held
    assert lanes.whole() == before
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
    assert clone.whole() == lanes.whole()


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
    before = lanes.whole()
    damage(lanes)
    assert lanes.scons("-q", "manifest").rc == 1
    assert f"out/manifest/latest: has to be built\n    {DAMAGES[damage]}\n" in lanes.good("--why", "manifest").stdout
    assert lanes.builds("manifest") == SAVES
    assert lanes.whole() == before
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
    assert lanes.beside() == {".latest.lock"}
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
