"""Exports of root file systems."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from fake_engine import write_layout
from stagegraph.engines.base import Engine

from .support import (
    containers,
    files,
)


@pytest.fixture
def odd_layout(tmp_path: Path) -> tuple[str, dict[str, tarfile.TarInfo]]:
    """A layout whose files have all that an export must keep, with its entries."""
    entries = []

    def add(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **more: object) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.mtime, info.mode = kind, len(data), 12345, 0o644
        for key, value in more.items():
            setattr(info, key, value)
        entries.append((info, data))

    # A file capability as the kernel keeps it: revision 2, cap_net_raw permitted and effective.
    capability = b"\x01\x00\x00\x02\x00\x20\x00\x00" + b"\x00" * 12
    xattrs = {
        "SCHILY.xattr.security.capability": capability.decode("utf-8"),
        "SCHILY.xattr.user.note": "kept",
    }
    add("./", tarfile.DIRTYPE, mode=0o755)
    add("./dir", tarfile.DIRTYPE, mode=0o1777, uid=7, gid=8)
    add("./dir/file", data=b"text\n", mode=0o640, uid=1000, gid=1001)
    add("./empty", tarfile.DIRTYPE, mode=0o2755)
    add("./hard", tarfile.LNKTYPE, linkname="./dir/file", mode=0o640, uid=1000, gid=1001)
    add("./link", tarfile.SYMTYPE, linkname="../over/there", mode=0o777)
    add("./setuid", data=b"#!x\n", mode=0o4755)
    add("./xattr", data=b"y", pax_headers=xattrs)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    layout = tmp_path / "odd"
    write_layout(str(layout), [out.getvalue()])
    return str(layout), {os.path.normpath(info.name): info for info, _ in entries}


def _linked(found: dict[str, tarfile.TarInfo]) -> frozenset[str]:
    """The names of the one hard-linked file, whichever of them the stream calls the link."""
    return frozenset(
        name
        for info in found.values()
        if info.islnk()
        for name in map(os.path.normpath, (info.name, info.linkname))
    )


def test_an_export_keeps_all_there_is(
    engine: Engine, odd_layout: tuple[str, dict[str, tarfile.TarInfo]]
) -> None:
    layout, wanted = odd_layout
    image_id = engine.load(layout)
    before = sorted((image.id, image.names) for image in engine.images())
    found = files(engine, image_id)
    assert set(found) == set(wanted)
    assert _linked(found) == _linked(wanted) == {"hard", "dir/file"}
    for name, want in wanted.items():
        have = found[name]
        assert (have.mode, have.uid, have.gid) == (want.mode, want.uid, want.gid), name
        if name != ".":
            assert int(have.mtime) == want.mtime, name
        if name not in ("hard", "dir/file"):
            assert (have.type, have.linkname) == (want.type, want.linkname), name
        xattrs = {key: value for key, value in have.pax_headers.items() if key.startswith("SCHILY.xattr")}
        assert xattrs == {k: v for k, v in want.pax_headers.items() if k.startswith("SCHILY.xattr")}, name
    assert sorted((image.id, image.names) for image in engine.images()) == before
    assert containers(engine) == []


def test_two_exports_are_the_same_stream(
    engine: Engine, odd_layout: tuple[str, dict[str, tarfile.TarInfo]]
) -> None:
    image_id = engine.load(odd_layout[0])
    digests = []
    for run in ("20261123T035800Z-1a2b", "20261123T035800Z-ffff"):
        with engine.rootfs(image_id, run) as stream:
            digests.append(hashlib.sha256(stream.read()).hexdigest())
    assert digests[0] == digests[1]


def test_an_export_that_is_given_up_leaves_nothing(engine: Engine, base: str) -> None:
    with pytest.raises(ZeroDivisionError), engine.rootfs(base, "r") as stream:
        assert stream.read(512)
        raise ZeroDivisionError
    assert containers(engine) == []
