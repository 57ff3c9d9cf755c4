"""Root file systems: given layouts, the sources of packages, emulation. The real mmdebstrap is run in tests/e2e."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fake_engine import FakeEngine, write_layout
from fake_engine import filesystem as fs
from stagegraph import oci, root, root_sources, runs
from stagegraph.errors import UserError
from stagegraph.model import LABEL_NODE, LABEL_SIGNATURE, Node

LABELS = {LABEL_NODE: "bootstrap-amd64", LABEL_SIGNATURE: "f" * 64}


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    return FakeEngine(str(tmp_path / "store"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> runs.Run:
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    return runs.open_run()


def node(options: dict[str, str], location: str = "", arch: str = "amd64") -> Node:
    return Node(
        name=f"bootstrap-{arch}", stage="bootstrap", arch="", step="root", kind="root", platform=f"linux/{arch}",
        record="", options=options, location=location,
    )  # fmt: skip


def layout(tmp_path: Path, arch: str = "amd64") -> tuple[str, str]:
    """A layout and the digest of its entry."""
    path = tmp_path / f"layout-{arch}"
    write_layout(str(path), [fs.pack({"etc": fs.directory(), "etc/x": fs.regular(b"x")})], architecture=arch)
    return str(path), json.loads((path / "index.json").read_text())["manifests"][0]["digest"]


def make(engine: FakeEngine, run: runs.Run, given: Node, tmp_path: Path) -> str:
    with open(tmp_path / "log", "wb") as log:
        return root.make(engine, given, LABELS, 7, run, {}, log)


def test_a_given_layout_gets_our_labels_and_the_epoch(
    engine: FakeEngine, run: runs.Run, tmp_path: Path
) -> None:
    path, digest = layout(tmp_path)
    image_id = make(engine, run, node({"layout": digest}, path), tmp_path)
    image = engine.inspect(image_id)
    assert image.config["Labels"] == LABELS
    assert image.config["Env"] == ["SOURCE_DATE_EPOCH=7"]
    assert engine.tree(image_id)["etc/x"].data == b"x"
    assert os.listdir(run.scratch) == ["lock"]


def test_a_pinned_image_is_pulled(engine: FakeEngine, run: runs.Run, tmp_path: Path) -> None:
    path, digest = layout(tmp_path)
    name = f"example/root@{digest}"
    (tmp_path / "store/registry" / f"example%2Froot%40sha256%3A{digest[7:]}").symlink_to(path)
    image = engine.inspect(make(engine, run, node({"image": name}), tmp_path))
    assert image.config["Labels"] == LABELS


def test_a_layout_of_two_platforms(engine: FakeEngine, run: runs.Run, tmp_path: Path) -> None:
    entries = []
    both = tmp_path / "both"
    (both / "blobs/sha256").mkdir(parents=True)
    for arch in ("amd64", "arm64"):
        path, _ = layout(tmp_path, arch)
        entry = json.loads(Path(path, "index.json").read_text())["manifests"][0]
        entries.append({**entry, "platform": {"os": "linux", "architecture": arch}})
        for blob in Path(path, "blobs/sha256").iterdir():
            (both / "blobs/sha256" / blob.name).write_bytes(blob.read_bytes())
    inner = oci.put(str(both), {"schemaVersion": 2, "manifests": entries}, oci.INDEX)
    oci.write_index(str(both), inner)
    given = node({"layout": str(inner["digest"])}, str(both), "arm64")
    assert engine.inspect(make(engine, run, given, tmp_path)).architecture == "arm64"
    given = node({"layout": str(inner["digest"])}, str(both), "riscv64")
    with pytest.raises(UserError) as error:
        make(engine, run, given, tmp_path)
    assert error.value.code == "layout-platform"


def test_wrong_layouts(engine: FakeEngine, run: runs.Run, tmp_path: Path) -> None:
    path, digest = layout(tmp_path)
    for given, code in (
        (node({"layout": digest}, path, "arm64"), "layout-platform"),
        (node({"layout": "sha256:" + "0" * 64}, path), "layout-changed"),
        (node({"layout": digest}, str(tmp_path / "nowhere")), "layout-broken"),
    ):
        with pytest.raises(UserError) as error:
            make(engine, run, given, tmp_path)
        assert error.value.code == code
    biggest = max(Path(path, "blobs/sha256").iterdir(), key=lambda blob: blob.stat().st_size)
    biggest.write_bytes(biggest.read_bytes() + b"\0")
    with pytest.raises(UserError) as error:
        make(engine, run, node({"layout": digest}, path), tmp_path)
    assert error.value.code == "layout-broken"
    biggest.unlink()
    with pytest.raises(UserError) as error:
        make(engine, run, node({"layout": digest}, path), tmp_path)
    assert error.value.code == "layout-broken"
    assert "lacks" in error.value.message


SOURCES = """\
# a comment
deb http://default.invalid/debian stable main
deb http://default.invalid/debian stable-updates main
deb [signed-by="/usr/share/keyrings/x.gpg"] http://default.invalid/security stable-security main
"""


def hook(path: Path, mirror: str) -> None:
    env = {"STAGEGRAPH_SUITE": "stable", "STAGEGRAPH_MIRROR": mirror}
    subprocess.run([sys.executable, root_sources.__file__, str(path)], env=env, check=True)


@pytest.mark.parametrize("options", ["", '[signed-by="/usr/share/keyrings/x.gpg"] '])
def test_a_mirror_is_used_and_leaves_no_trace(tmp_path: Path, options: str) -> None:
    left = []
    for number, mirror in enumerate(("", "http://me:word@mirror.invalid/d")):
        tree = tmp_path / str(number)
        (tree / "etc/apt").mkdir(parents=True)
        sources = tree / "etc/apt/sources.list"
        sources.write_text(SOURCES.replace("deb http", f"deb {options}http", 1))
        for name in ("hostname", "resolv.conf"):
            (tree / "etc" / name).write_text("of the host\n")
        hook(tree, mirror)
        used = mirror or "http://default.invalid/debian"
        assert sources.read_text() == f"deb {options}{used} stable main\n"
        hook(tree, mirror)
        left.append({str(f.relative_to(tree)): f.read_text() for f in tree.rglob("*") if f.is_file()})
    assert left[0] == left[1] == {"etc/apt/sources.list": "deb http://default.invalid/debian stable main\n"}


def test_the_hook_can_be_executed() -> None:
    assert os.access(root_sources.__file__, os.X_OK), "mmdebstrap runs it directly"


def test_emulation_is_asked_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "h", "6", "v", "x86_64")))
    monkeypatch.setattr(root, "_BINFMT", str(tmp_path))
    root.check_emulation("amd64")
    with pytest.raises(UserError) as error:
        root.check_emulation("arm64")
    assert "mount -t binfmt_misc" in error.value.hint
    (tmp_path / "status").write_text("enabled\n")
    with pytest.raises(UserError) as error:
        root.check_emulation("arm64")
    assert "qemu-user-static" in error.value.hint
    (tmp_path / "qemu-aarch64").write_text("disabled\n")
    with pytest.raises(UserError):
        root.check_emulation("arm64")
    (tmp_path / "qemu-aarch64").write_text("enabled\ninterpreter /usr/bin/qemu-aarch64-static\n")
    root.check_emulation("arm64")
    with pytest.raises(UserError) as error:
        root.check_emulation("sparc")
    assert error.value.code == "root-emulation"
