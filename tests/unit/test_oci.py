"""The form of OCI layouts, and what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_engine import filesystem as fs
from fake_engine import write_layout
from stagegraph import layouts, oci, rootfs
from stagegraph.errors import UserError
from stagegraph.records import Record


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    path = tmp_path / "layout"
    layers = [fs.pack({"etc": fs.directory(), f"etc/{name}": fs.regular(name.encode())}) for name in "xy"]
    write_layout(str(path), layers, architecture="arm64")
    return path


def image_of(layout: Path) -> str:
    return str(oci.image_manifest(str(layout))["config"]["digest"])


def rewrite(layout: Path, **more: object) -> None:
    """Give the manifest more keys, as engines do."""
    manifest = {**oci.image_manifest(str(layout)), **more}
    entry = oci.put(str(layout), manifest, oci.MANIFEST)
    oci.write_index(str(layout), {**entry, "annotations": {"org.opencontainers.image.ref.name": "localhost/x:1"}})


def files(layout: Path) -> dict[str, bytes]:
    return {str(path.relative_to(layout)): path.read_bytes() for path in layout.rglob("*") if path.is_file()}


def test_what_engines_add_is_taken_away(layout: Path) -> None:
    image = image_of(layout)
    oci.normalise(str(layout), image)
    plain = files(layout)
    assert oci.problem(str(layout)) == ""
    rewrite(layout, annotations={"org.opencontainers.image.base.digest": "sha256:" + "1" * 64})
    assert files(layout) != plain
    oci.normalise(str(layout), image)
    assert files(layout) == plain, "the manifest of before is gone too"


def test_another_image_than_the_one_asked_for(layout: Path) -> None:
    with pytest.raises(UserError) as error:
        oci.normalise(str(layout), "sha256:" + "0" * 64)
    assert error.value.code == "image-unexpected"


def test_a_layout_of_two_images(layout: Path) -> None:
    path = layout / "index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "manifests": index["manifests"] * 2}))
    with pytest.raises(UserError) as error:
        oci.normalise(str(layout), "")
    assert error.value.code == "layout-broken" and "2 images" in error.value.message


def test_problems(layout: Path) -> None:
    image = image_of(layout)
    oci.normalise(str(layout), image)
    assert oci.problem(str(layout)) == ""
    whole = files(layout)

    def restore() -> None:
        for path in layout.rglob("*"):
            if path.is_file():
                path.unlink()
        for name, data in whole.items():
            (layout / name).write_bytes(data)

    for name in sorted(whole):
        if name == "oci-layout":
            continue
        (layout / name).write_bytes(whole[name][:-1])
        assert oci.problem(str(layout)), name
        (layout / name).unlink()
        assert oci.problem(str(layout)), name
        restore()
    (layout / "blobs/sha256" / ("0" * 64)).write_bytes(b"")
    assert oci.problem(str(layout)) == f"the blob sha256:{'0' * 64} belongs to no image"
    restore()
    index = json.loads(whole["index.json"])
    for wrong in ({}, [], {"manifests": [{}]}, {"manifests": None}):
        (layout / "index.json").write_text(json.dumps(wrong))
        assert oci.problem(str(layout)), wrong
    index["manifests"][0]["size"] += 1
    (layout / "index.json").write_text(json.dumps(index))
    assert "bytes long" in oci.problem(str(layout))


def test_the_platform_of_an_image(layout: Path) -> None:
    manifest = oci.image_manifest(str(layout))
    assert oci.platform(str(layout), manifest) == {"os": "linux", "architecture": "arm64"}
    config = json.loads(Path(oci.blob_path(str(layout), manifest["config"]["digest"])).read_text())
    other = oci.put(str(layout), {**config, "variant": "v8"}, oci.CONFIG)
    assert oci.platform(str(layout), {"config": other})["variant"] == "v8"


@pytest.mark.parametrize("record", ["out/x/.arm64.json", ".a.json", "/abs/dir name/.b.c.json"])
def test_a_record_lies_beside_its_layout(record: str) -> None:
    assert layouts.record_of(layouts.directory_of(record)) == record


def test_put_in_place_takes_the_old_description_away_first(layout: Path, tmp_path: Path) -> None:
    """The order that makes a kill harmless: no record of the old layout beside the new one."""
    record, report = tmp_path / ".place.json", tmp_path / "place.env"
    for number in range(2):
        oci.normalise(str(layout), image_of(layout))
        kept = files(layout)
        with layouts.place(str(record), str(report)):
            fresh = rootfs.beside(str(tmp_path / "place"), "new")
            layout.rename(fresh)
            size, extra = layouts.put_in_place(fresh, str(record), str(report))
        assert files(tmp_path / "place") == kept
        assert not record.exists() and not report.exists()
        assert size == sum(len(data) for name, data in kept.items() if name.startswith("blobs/"))
        assert layouts.damage(str(record), a_record(extra), deep=True) == ""
        for path in (record, report):
            path.write_text("old")
        if number == 0:
            write_layout(str(layout), [fs.pack({"new": fs.regular(b"")})])
    with layouts.place(str(record)):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {".place.json", ".place.lock", "place", "place.env"}


def a_record(extra: dict[str, object]) -> Record:
    return Record("n", "s", "c", "i", {}, "saved", "", 0, 0, "fake", "", extra=extra)
