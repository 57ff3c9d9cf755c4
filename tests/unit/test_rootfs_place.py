"""The place of an export: what is not ours there, and what is mounted in it, is left alone."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stagegraph import rootfs
from stagegraph.errors import UserError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners can only be set, and things mounted, by root")


def packed(directory: Path) -> bytes:
    return subprocess.run(["tar", "-C", str(directory), "-c", "."], check=True, stdout=subprocess.PIPE).stdout


def export(data: bytes, place: Path) -> None:
    destination = str(place / "rootfs")
    with rootfs.alone(destination):
        rootfs.export(contextlib.nullcontext(io.BytesIO(data)), destination, listing=str(place / "list.gz"))


def test_sweep_leaves_what_is_not_ours(tmp_path: Path) -> None:
    others = {"rootfs.old-mine", "rootfs.new-", "rootfs.new-1-0123abcd.txt", "other.old-1-0123abcd"}
    for name in others:
        (tmp_path / name).mkdir()
    rootfs.sweep(str(tmp_path / "rootfs"))
    assert {path.name for path in tmp_path.iterdir()} == others


@needs_root
def test_a_tree_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs" / "theirs").touch()
    (tmp_path / "source").mkdir()
    for _ in range(2):  # the refusal leaves nothing behind that would make the place ours
        with pytest.raises(UserError) as caught:
            export(packed(tmp_path / "source"), tmp_path)
        assert caught.value.code == "tree-foreign"
    assert [path.name for path in (tmp_path / "rootfs").iterdir()] == ["theirs"]
    (tmp_path / "rootfs" / "theirs").unlink()
    export(packed(tmp_path / "source"), tmp_path)


MOUNTED = """
import contextlib, io, subprocess, sys
from stagegraph import exports, rootfs
from stagegraph.errors import UserError
place = sys.argv[1]
open(f"{place}/it/artifact.env", "w").close()
subprocess.run(["mount", "--bind", f"{place}/home", f"{place}/it/rootfs/a b"], check=True)
calls = {
    "export": lambda: rootfs.export(
        contextlib.nullcontext(io.BytesIO(open(f"{place}/new.tar", "rb").read())),
        f"{place}/it/rootfs", listing=f"{place}/it/list.gz"),
    "remove": lambda: exports.remove(f"{place}/it"),
}
try:
    calls[sys.argv[2]]()
except UserError as problem:
    print(problem)
"""


@needs_root
@pytest.mark.parametrize("what", ["export", "remove"])
def test_what_is_mounted_in_a_tree_is_never_emptied(tmp_path: Path, what: str) -> None:
    for folder in ("home", "source/a b", "it"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "home" / "letters").write_text("mine")
    (tmp_path / "new.tar").write_bytes(packed(tmp_path / "source"))
    export((tmp_path / "new.tar").read_bytes(), tmp_path / "it")
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", MOUNTED, str(tmp_path), what]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    assert f"'{tmp_path}/it/rootfs/a b' is mounted there" in done.stdout
    assert "[tree-mounted]" in done.stdout
    assert (tmp_path / "home" / "letters").read_text() == "mine"
    assert (tmp_path / "it" / "rootfs" / "a b").is_dir()
