"""Export of root file systems: what goes in comes out, and a kill or failure leaves one whole tree."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stagegraph import rootfs, tree
from stagegraph.errors import UserError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices can only be set by root")


def packed(directory: str | Path, *options: str) -> bytes:
    """The tree as GNU tar writes it."""
    command = ["tar", "--create", "--file=-", f"--directory={directory}", "--numeric-owner", "--sort=name"]
    command += options or ("--format=posix", "--sparse", "--xattrs", "--xattrs-include=*")
    return subprocess.run([*command, "."], check=True, stdout=subprocess.PIPE).stdout


def export_from(source: contextlib.AbstractContextManager[IO[bytes]], place: Path) -> rootfs.Summary:
    destination = str(place / "rootfs")
    with rootfs.alone(destination):
        return rootfs.export(source, destination, listing=str(place / "list.gz"))


def export(data: bytes, place: Path) -> rootfs.Summary:
    return export_from(contextlib.nullcontext(io.BytesIO(data)), place)


# --- random trees ---------------------------------------------------------------------------------------------------

names = st.one_of(
    st.sampled_from(
        [
            "-rf",
            " ",
            "a b",
            "new\nline",
            "*",
            "ü",
            "…",
            ".hidden",
            "'quoted'",
            "back\\slash",
            "x" * 120,
            "y" * 250,
        ]
    ),
    st.text(st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=12),
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255)
modes = st.sampled_from([0o644, 0o755, 0o4755, 0o2750, 0o1777, 0o000, 0o600])
things = st.tuples(
    st.sampled_from(
        ["file", "file", "dir", "dir", "symlink", "hardlink", "sparse", "fifo", "device", "empty"]
    ),
    names,
    modes,
    st.integers(0, 3_000_000),
    st.integers(0, 4_000_000_000),
    st.binary(max_size=3000),
    st.integers(0, 7),
)


def make_tree(root: str, parts: list[tuple[str, str, int, int, int, bytes, int]]) -> None:
    directories = [os.fsencode(root)]
    files: list[bytes] = []
    for kind, name, mode, owner, seconds, data, pick in parts:
        path = os.path.join(directories[pick % len(directories)], os.fsencode(name))
        if os.path.lexists(path) or len(path) > 3000:
            continue
        if kind == "dir":
            os.mkdir(path)
            directories.append(path)
        elif kind == "symlink":
            os.symlink(data.replace(b"\0", b"0")[:200] or b"/etc/passwd", path)
        elif kind == "hardlink":
            if not files:
                continue
            os.link(files[pick % len(files)], path, follow_symlinks=False)
            continue
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "device":
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(pick, owner % 200))
        else:
            with open(path, "wb") as stream:
                if kind == "sparse":
                    stream.seek(pick * 70_000)
                    stream.write(data)
                    stream.truncate(pick * 150_000 + len(data))
                elif kind == "file":
                    stream.write(data)
        if kind not in ("dir", "fifo", "device"):  # GNU tar writes hard links of these as files of their own
            files.append(path)
        os.chown(path, owner, owner // 2, follow_symlinks=False)
        if kind != "symlink":
            os.chmod(path, mode)
        if kind in ("file", "dir", "sparse") and pick % 2:
            os.setxattr(path, "user.note", data[:100])
        if kind == "file" and pick % 3 == 0:
            os.setxattr(path, "security.capability", bytes.fromhex("0100000200040000" + "00" * 12))
        if kind == "dir" and pick % 3 == 0:
            acl = [(1, 7, -1), (2, 5, 4242), (4, 5, -1), (16, 7, -1), (32, 0, -1)]
            packed_acl = b"".join(struct.pack("<HHi", *line) for line in acl)
            os.setxattr(path, "system.posix_acl_default", struct.pack("<I", 2) + packed_acl)
            os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + packed_acl)
        os.utime(path, (seconds, seconds), follow_symlinks=False)


FORMATS = [
    ("--format=posix", "--sparse", "--xattrs", "--xattrs-include=*"),
    ("--format=posix", "--sparse", "--xattrs", "--xattrs-include=*", "--acls"),
    ("--format=posix", "--xattrs", "--xattrs-include=*", "--pax-option=delete=atime,delete=ctime"),
]


@needs_root
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(things, max_size=25), st.sampled_from(FORMATS))
def test_any_tree_comes_out_as_it_went_in(
    parts: list[tuple[str, str, int, int, int, bytes, int]], options: tuple[str, ...]
) -> None:
    with tempfile.TemporaryDirectory() as place:  # tmp_path is one for all examples
        source = os.path.join(place, "source")
        os.mkdir(source)
        make_tree(source, parts)
        wanted = tree.from_disk(source)
        data = packed(source, *options)
        assert tree.from_tar(io.BytesIO(data)) == wanted
        summary = export(data, Path(place))
        found = tree.from_disk(os.path.join(place, "rootfs"))
        assert tree.differences(wanted, found) == []
        assert summary.sha256 == tree.digest(found)
        assert summary.files == len(found.splitlines()) - 1
        assert rootfs.verify(os.path.join(place, "rootfs"), os.path.join(place, "list.gz")) == []
        assert sorted(os.listdir(place)) == [".rootfs.lock", "list.gz", "rootfs", "source"]


@needs_root
@pytest.mark.parametrize("layout", ["gnu", "ustar", "posix"])
def test_other_formats(tmp_path: Path, layout: str) -> None:
    """Long names, sparse files with many runs and old headers, without what only pax can hold."""
    source = tmp_path / "source"
    deep = source / ("d" * 90) / ("e" * 60)
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"deep")
    (source / "link").symlink_to("/" + "t" * 90)
    options = [f"--format={layout}", "--mtime=@1700000000"]
    if layout != "ustar":
        (deep / ("n" * 200)).write_bytes(b"long")
        (source / "longlink").symlink_to("u" * 180)
        with open(source / "sparse", "wb") as stream:
            for run in range(40):
                stream.seek(run * 1_000_000)
                stream.write(b"%d" % run * 3000)
            stream.truncate(50_000_000)
        options.append("--sparse")
    data = packed(source, *options)
    assert len(data) < 3_000_000, "the sparse file was packed with its holes"
    export(data, tmp_path)
    found = tree.from_disk(str(tmp_path / "rootfs"))
    assert tree.from_tar(io.BytesIO(data)) == found
    assert all("mtime" in line for line in tree.differences(tree.from_disk(str(source)), found))
    if layout != "ustar":
        status = (tmp_path / "rootfs" / "sparse").stat()
        assert status.st_blocks * 512 < status.st_size / 2, "the holes were filled"


# --- failures -------------------------------------------------------------------------------------------------------


@needs_root
def test_truncated_stream(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(100_000))
    data = packed(source)
    for length in (0, 100, 512, 5000, 50_000, 100_000):
        with pytest.raises(UserError) as caught:
            export(data[:length], tmp_path)
        assert caught.value.code == "rootfs-truncated"
        assert not (tmp_path / "rootfs").exists()


@needs_root
def test_the_producers_error_wins_over_the_truncated_stream(tmp_path: Path) -> None:
    @contextlib.contextmanager
    def dying() -> Iterator[IO[bytes]]:
        yield io.BytesIO(b"")
        raise RuntimeError("the engine failed")

    with pytest.raises(RuntimeError, match="the engine failed"):
        export_from(dying(), tmp_path)
    assert not (tmp_path / "rootfs").exists()


@needs_root
def test_a_whole_stream_of_a_failed_producer_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    data = packed(tmp_path / "source")

    @contextlib.contextmanager
    def dying() -> Iterator[IO[bytes]]:
        yield io.BytesIO(data)
        raise RuntimeError("too late")

    with pytest.raises(RuntimeError, match="too late"):
        export_from(dying(), tmp_path)
    assert not (tmp_path / "rootfs").exists()


@needs_root
def test_full_disk(tmp_path: Path) -> None:
    source, disk = tmp_path / "source", tmp_path / "disk"
    source.mkdir()
    disk.mkdir()
    (source / "file").write_bytes(os.urandom(6_000_000))
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)], check=False)
    if mount.returncode != 0:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        with pytest.raises(UserError) as caught:
            export(packed(source), disk)
        assert caught.value.code == "disk-full"
        assert "MiB were free" in caught.value.message
        assert [path.name for path in disk.iterdir()] == [".rootfs.lock"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_without_the_right_to_set_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chown(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", chown)
    with pytest.raises(UserError) as caught:
        export(b"", tmp_path)
    assert caught.value.code == "rootfs-owners"
    assert [path.name for path in tmp_path.iterdir()] == [".rootfs.lock"]


KILLED = """
import contextlib, io, os, sys
from stagegraph import rootfs
place, name = sys.argv[1:]
module, _, function = name.rpartition(".")
def die(*_, **__):
    os.kill(os.getpid(), 9)
owner = {"os": os, "rootfs": rootfs, "tree": rootfs.tree}[module]
setattr(owner, function, die)
@contextlib.contextmanager
def source():
    with open(place + "/new.tar", "rb") as stream:
        yield stream
with rootfs.alone(place + "/rootfs"):
    rootfs.export(source(), place + "/rootfs", listing=place + "/list.gz", retire=[place + "/artifact.env"])
"""


@needs_root
@pytest.mark.parametrize(
    "moment",
    ["rootfs._unpack", "rootfs._finish_root", "tree.save", "os.unlink", "rootfs.exchange", "os.replace"],
)
def test_killed_at_any_moment(moment: str, tmp_path: Path) -> None:
    """One of the two trees stands whole, and artifact.env never stands beside a tree it does not describe."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
        (tmp_path / f"{name}.tar").write_bytes(packed(tmp_path / name))
    export((tmp_path / "old.tar").read_bytes(), tmp_path)
    (tmp_path / "artifact.env").write_text("OLD=1\n")
    listings = {name: tree.from_disk(str(tmp_path / name)) for name in ("old", "new")}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(tmp_path), moment]
    done = subprocess.run(command, env=environment, check=False)
    assert done.returncode == -9
    found = tree.from_disk(str(tmp_path / "rootfs"))
    assert found in listings.values()
    if (tmp_path / "artifact.env").exists():
        assert found == listings["old"]
    export((tmp_path / "new.tar").read_bytes(), tmp_path)
    assert not [path.name for path in tmp_path.iterdir() if ".new-" in path.name or ".old-" in path.name]
    assert tree.from_disk(str(tmp_path / "rootfs")) == listings["new"]


def test_sweep_puts_a_tree_back_that_was_moved_aside(tmp_path: Path) -> None:
    (tmp_path / "rootfs.old-1-0123abcd").mkdir()
    (tmp_path / "rootfs.old-1-0123abcd" / "old").touch()
    (tmp_path / "rootfs.new-1-0123abcd").mkdir()
    rootfs.sweep(str(tmp_path / "rootfs"))
    assert [path.name for path in tmp_path.iterdir()] == ["rootfs"]
    assert (tmp_path / "rootfs" / "old").exists()


def test_exchange_without_renameat2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fresh", "rootfs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    monkeypatch.setattr(rootfs, "_swap", lambda *_: False)
    rootfs.exchange(str(tmp_path / "fresh"), str(tmp_path / "rootfs"))
    assert (tmp_path / "rootfs" / "fresh").exists()
    rootfs.sweep(str(tmp_path / "rootfs"))
    assert [path.name for path in tmp_path.iterdir()] == ["rootfs"]


@needs_root
def test_verify_names_what_changed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b", "c", "d"):
        (source / name).write_text(name)
    export(packed(source), tmp_path)
    place = tmp_path / "rootfs"
    before = (place / "d").stat()
    (place / "a").chmod(0o4755)
    (place / "b").unlink()
    (place / "e").write_text("e")
    (place / "d").write_text("D")
    os.utime(place / "d", ns=(before.st_atime_ns, before.st_mtime_ns))
    found = rootfs.verify(str(place), str(tmp_path / "list.gz"))
    assert "./a: mode 0644 → 4755" in found
    assert "./b is missing" in found
    assert "./e was added" in found
    assert any(line.startswith("./d: sha256 ") for line in found)
    shutil.rmtree(source)


@needs_root
@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("tar: ./a: Cannot change ownership to uid 1, gid 1: Operation not permitted", "rootfs-owners"),
        ("tar: ./a: Cannot write: No space left on device", "disk-full"),
        ("tar: ./a: Cannot open: Input/output error", "rootfs-unpack"),
    ],
)
def test_a_tar_that_reads_all_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, code: str
) -> None:
    (tmp_path / "source").mkdir()
    data = packed(tmp_path / "source")
    monkeypatch.setattr(rootfs, "TAR", ("sh", "-c", f"cat >/dev/null; echo '{said}' >&2; exit 2"))
    with pytest.raises(UserError) as caught:
        export(data, tmp_path)
    assert caught.value.code == code
    assert not (tmp_path / "rootfs").exists()
