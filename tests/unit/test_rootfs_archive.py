"""What archives may hold: hostile ones are refused before a byte of them goes on."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagegraph import rootfs, tarstream, tree
from stagegraph.errors import UserError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices can only be set by root")


def export(data: bytes, place: Path) -> None:
    source = contextlib.nullcontext(io.BytesIO(data))
    with rootfs.alone(str(place / "rootfs")):
        rootfs.export(source, str(place / "rootfs"), listing=str(place / "list.gz"))


def directory(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info


def file(name: str, data: bytes = b"") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def typed(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    return info


def pax(name: str, **headers: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.pax_headers = {key.replace("__", "."): value for key, value in headers.items()}
    return info


HARD = tarfile.LNKTYPE
HOSTILE = {
    "absolute path": ([file("/escape")], "not a path below the root"),
    "dot-dot": ([file("../escape")], "leaves the root"),
    "dot-dot inside": ([directory("a"), file("a/../../escape")], "leaves the root"),
    "absolute pax path": ([pax("a", path="/escape")], "not a path below the root"),
    "file below a symlink": ([link("out", ".."), file("out/escape")], "which is a symlink"),
    "directory below a symlink": ([link("out", "/tmp"), directory("out/escape")], "which is a symlink"),
    "file below a file": ([file("a"), file("a/b")], "which is a file"),
    "no parent": ([file("a/b")], "not in the archive before it"),
    "symlink instead of a directory": ([directory("a"), link("a", "..")], "comes twice"),
    "directory over a symlink": ([link("a", ".."), directory("a"), file("a/escape")], "comes twice"),
    "file twice": ([file("a"), file("./a")], "comes twice"),
    "root as a symlink": ([link(".", "..")], "comes twice"),
    "absolute hard link": ([link("a", "/etc/passwd", HARD)], "not a path below the root"),
    "hard link out": ([link("a", "../escape", HARD)], "leaves the root"),
    "hard link to nothing": ([link("a", "b", HARD)], "not in the archive before it"),
    "hard link to a directory": ([directory("d"), link("a", "d", HARD)], "is a directory"),
    "hard link through a symlink": ([link("o", ".."), link("a", "o/x", HARD)], "not in the archive before it"),
    "unknown type": ([typed("a", b"V")], "unknown type"),
    "global pax header": ([typed("a", b"g")], "unknown type"),
    "file that ends like a directory": ([file("a//")], "ends like a directory"),
    "sparse in an old format": ([pax("a", GNU__sparse__size="5")], "another format than pax 1.0"),
    "ACL of names": ([pax("a", SCHILY__acl__access="user::rwx\nuser:bob:r\ngroup::r\nmask::r\nother::r")], "ACL"),
    "NUL in a pax path": ([pax("a", path="a\0b")], "not a path below the root"),
}  # fmt: skip


def archived(entries: list[tarfile.TarInfo]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info in entries:
            # tarfile strips a trailing slash of files; the header must keep it.
            data = info.tobuf(tarfile.PAX_FORMAT)
            archive.write(data)
            archive.write(bytes(-(-info.size // 512) * 512))
            tar.offset += len(data)
    return archive.getvalue()


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused(case: str, tmp_path: Path) -> None:
    entries, said = HOSTILE[case]
    data = archived(entries)
    passed: list[bytes] = []
    with pytest.raises(UserError) as caught:
        tarstream.scan(io.BytesIO(data), passed.append)
    assert caught.value.code == "rootfs-archive"
    assert said in caught.value.message
    assert passed == [], "bytes of a refused archive went on"


@needs_root
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_leave_the_old_tree(case: str, tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs" / "old").write_text("old")
    (tmp_path / ".rootfs.lock").touch()  # the place is ours
    with pytest.raises(UserError):
        export(archived(HOSTILE[case][0]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".rootfs.lock", "rootfs"]
    assert (tmp_path / "rootfs" / "old").read_text() == "old"


def test_devices_need_root() -> None:
    info = typed("null", tarfile.CHRTYPE)
    info.devmajor, info.devminor = 1, 3
    data = archived([info])
    assert tarstream.scan(io.BytesIO(data), devices=True)[b"null"].device == (1, 3)
    with pytest.raises(UserError, match="device node"):
        tarstream.scan(io.BytesIO(data), devices=False)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_headers_never_crash(data: st.DataObject) -> None:
    """Whatever a byte becomes: it is refused, or harmless; never an exception that is no UserError."""
    whole = bytearray(
        archived([directory("d"), pax("d/file", path="d/long"), link("d/l", "d/long", HARD), link("s", "d")])
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 512 * 6))] = data.draw(st.integers(0, 255))
    for start in range(0, 512 * 6, 512):  # right checksums let the damage reach the rules behind them
        block = whole[start : start + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            whole[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    with contextlib.suppress(UserError):
        for path in tarstream.scan(io.BytesIO(bytes(whole)), devices=True):
            assert not path.startswith(b"/") and b".." not in path.split(b"/") and b"\0" not in path


@needs_root
def test_podman_style_archive_without_a_root_entry(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(directory("etc"))
        tar.addfile(file("etc/motd", b"hello"), io.BytesIO(b"hello"))
    data = archive.getvalue()
    export(data, tmp_path)
    assert stat.S_IMODE((tmp_path / "rootfs").stat().st_mode) == 0o755
    assert tree.from_tar(io.BytesIO(data)) == tree.from_disk(str(tmp_path / "rootfs"))


SPARSE = {"GNU__sparse__major": "1", "GNU__sparse__minor": "0", "GNU__sparse__name": "hole"}


def sparse(content: bytes, realsize: int) -> bytes:
    """An archive with one sparse file in pax format 1.0; ``content`` is its map, padded to a block, and its data."""
    info = pax("GNUSparseFile.1/hole", **SPARSE, GNU__sparse__realsize=str(realsize))
    info.size = len(content)
    header = info.tobuf(tarfile.PAX_FORMAT)
    return header + content.ljust(-(-len(content) // 512) * 512, b"\0") + bytes(1024)


def test_holes_are_hashed_as_zeros() -> None:
    """Before, between and after the runs; GNU tar itself ends each map with an empty run, others need not."""
    content = b"2\n5\n1\n10\n2\n".ljust(512, b"\0") + b"abc"
    entry = tarstream.scan(io.BytesIO(sparse(content, 5000)))[b"hole"]
    wanted = (b"\0" * 5 + b"a" + b"\0" * 4 + b"bc").ljust(5000, b"\0")
    assert (entry.size, entry.sha256) == (5000, hashlib.sha256(wanted).hexdigest())


@pytest.mark.parametrize(
    ("table", "data", "said"),
    [
        (b"1\n5\n1\n", b"ab", "contradicts"),
        (b"2\n5\n1\n4\n1\n", b"ab", "out of order"),
        (b"1\n4999\n2\n", b"ab", "out of order"),
        (b"99999999\n", b"", "claims"),
        (b"x\n", b"", "claims"),
        (b"1\n5\nx\n", b"a", "malformed"),
        (b"9\n5\n", b"", "incomplete"),
    ],
)
def test_maps_that_contradict_are_refused(table: bytes, data: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        tarstream.scan(io.BytesIO(sparse(table.ljust(512, b"\0") + data, 5000)))
    assert caught.value.code == "rootfs-archive"
