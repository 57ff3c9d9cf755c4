"""Images saved as OCI layouts."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fake_engine import FakeEngine
from stagegraph import oci
from stagegraph.engines.base import Engine
from stagegraph.errors import UserError
from stagegraph.image import content_id
from stagegraph.model import LABEL_NODE

from .support import REAL, Project, make_engine, remove_store, runs_in, wait_for

UNKNOWN = "sha256:" + "0" * 64
HERE = Path(__file__).resolve()


def files(layout: Path) -> dict[str, bytes]:
    return {str(path.relative_to(layout)): path.read_bytes() for path in layout.rglob("*") if path.is_file()}


def build(project: Project, base: str, platform: str = "linux/amd64") -> str:
    project.write("data/file", "content\n" * 1000)
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nCOPY data /data\nENV COLOUR=red\n")
    return project.build("one", base, platform=platform)


def test_a_saved_image_is_a_plain_layout(engine: Engine, project: Project, base: str, tmp_path: Path) -> None:
    image_id = build(project, base)
    engine.tag(image_id, ["localhost/some/name:tag"])
    before = engine.images()
    layout = tmp_path / "layout"
    engine.save(image_id, str(layout))
    assert engine.images() == before, "the store has no new name"

    assert {path.name for path in layout.iterdir()} == {"blobs", "index.json", "oci-layout"}
    assert json.loads((layout / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout / "index.json").read_text())
    (entry,) = index["manifests"]
    assert set(entry) == {"mediaType", "digest", "size"}, "nothing tells of the engine, the store or a name"
    manifest = json.loads((layout / "blobs/sha256" / entry["digest"][7:]).read_text())
    assert set(manifest) == {"schemaVersion", "mediaType", "config", "layers"}
    assert manifest["config"]["digest"] == image_id
    assert len(manifest["layers"]) == len(engine.inspect(image_id).diff_ids)
    wanted = {blob["digest"][7:]: blob["size"] for blob in (entry, manifest["config"], *manifest["layers"])}
    found = {path.name: path.read_bytes() for path in (layout / "blobs/sha256").iterdir()}
    assert {name: len(data) for name, data in found.items()} == wanted
    assert all(hashlib.sha256(data).hexdigest() == name for name, data in found.items())
    assert oci.problem(str(layout)) == ""


def test_saved_twice_it_is_the_same_and_loads_as_the_same(
    engine: Engine, project: Project, base: str, tmp_path: Path
) -> None:
    image_id = build(project, base)
    one, two = tmp_path / "one", tmp_path / "a path with: blanks, and:colons" / "Two:tag"
    two.parent.mkdir()
    engine.save(image_id, str(one))
    engine.tag(image_id, ["localhost/another/name:tag"])
    engine.save(image_id, str(two))
    assert files(one) == files(two)
    content = content_id(engine.inspect(image_id))
    engine.remove([image_id])
    assert engine.load(str(two)) == image_id
    assert content_id(engine.inspect(image_id)) == content


def test_the_platform_is_that_of_the_image(engine: Engine, project: Project, tmp_path: Path) -> None:
    project.write("Dockerfile", "FROM scratch AS one\nCOPY Dockerfile /x\n")
    for arch in ("arm64", "riscv64"):
        engine.save(project.build("one", platform=f"linux/{arch}"), str(tmp_path / arch))
        layout = str(tmp_path / arch)
        said = oci.platform(layout, oci.image_manifest(layout))
        assert (said["os"], said["architecture"]) == ("linux", arch)


def test_saving_an_unknown_image(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        engine.save(UNKNOWN, str(tmp_path / "layout"))
    assert error.value.code == "image-unknown"


def test_buildah_and_podman_save_alike(root_layout: str, tmp_path: Path) -> None:
    for kind in REAL:
        engine = make_engine(kind, tmp_path / f"store-{kind}")
        try:
            image_id = build(Project(engine, tmp_path / "project"), engine.load(root_layout))
            engine.save(image_id, str(tmp_path / kind))
        finally:
            remove_store(tmp_path / f"store-{kind}")
    buildah, podman = (files(tmp_path / kind) for kind in REAL)
    assert buildah == podman


SAVER = """
import sys
sys.path[:0] = {path!r}
from contract.support import make_engine
from pathlib import Path
kind, store, image, layout = sys.argv[1:]
print("begun", flush=True)
make_engine(kind, Path(store)).save(image, layout)
"""


def test_saving_dies_with_us(
    store: tuple[str, Path], engine: Engine, project: Project, base: str, tmp_path: Path
) -> None:
    """The layer is large enough that its compression takes a while."""
    (project.path / "data").mkdir()
    (project.path / "data" / "big").write_bytes(os.urandom(64 << 20 if store[0] in REAL else 8))
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nCOPY data /data\n")
    image_id = project.build("one", base, node="big")
    if isinstance(engine, FakeEngine):
        engine.switch("hold", "save:big")
    layout = tmp_path / "layout"
    argv = [sys.executable, "-c", SAVER.format(path=[str(HERE.parents[1]), *sys.path]), *store[:1], str(store[1])]
    child = subprocess.Popen([*argv, image_id, str(layout)], stdout=subprocess.PIPE, text=True)
    try:
        mark = "hold/save:big" if isinstance(engine, FakeEngine) else f"push --quiet {image_id}"
        wait_for(lambda: any(mark in line for line in runs_in(store[1])) or child.poll() is not None)
        assert child.poll() is None, "it was killed in the middle of its work"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    wait_for(lambda: runs_in(store[1]) == [])
    assert not (layout / "index.json").exists() or isinstance(engine, FakeEngine)
    if isinstance(engine, FakeEngine):
        engine.unset("hold", "save:big")
    assert LABEL_NODE in engine.inspect(image_id).config["Labels"]
