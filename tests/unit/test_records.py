"""Image records: written whole or not at all, read strictly."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from stagegraph import records
from stagegraph.records import Record, Unreadable

RECORD = Record(
    node="base",
    signature="ab",
    content_id="sha256:1",
    image_id="sha256:2",
    ledger={"node": {"abi": "1"}},
    how="built",
    when="2026-01-01T00:00:00Z",
    seconds=1.5,
    size=3,
    engine="buildah",
    log="out/logs/x/base.log",
    reasons=("never built",),
    extra={"top": ["etc"]},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a" / "base.json"
    records.write(str(path), RECORD)
    assert records.read(str(path)) == RECORD
    assert os.listdir(path.parent) == ["base.json"]


@pytest.mark.parametrize("path", ["none.json", "file/none.json"])
def test_no_record_is_none(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    assert records.read(str(tmp_path / path)) is None


def test_every_cut_of_a_record_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    records.write(str(path), RECORD)
    whole = path.read_bytes()
    for length in range(len(whole) - 2):
        path.write_bytes(whole[:length])
        with pytest.raises(Unreadable):
            records.read(str(path))


# Only what exports add may be missing.
@pytest.mark.parametrize("key", sorted({*RECORD.__dict__, "schema"} - {"extra"}))
def test_record_without_a_key_is_unreadable(tmp_path: Path, key: str) -> None:
    path = tmp_path / "base.json"
    records.write(str(path), RECORD)
    value = json.loads(path.read_text())
    del value[key]
    path.write_text(json.dumps(value))
    with pytest.raises(Unreadable):
        records.read(str(path))


def test_failed_write_leaves_the_old_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "base.json"
    records.write(str(path), RECORD)

    def refuse(source: str, destination: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space") as caught:
        records.write_atomically(str(path), b"half")
    assert caught.value.filename == str(path)
    assert records.read(str(path)) == RECORD
    assert os.listdir(tmp_path) == ["base.json"]
