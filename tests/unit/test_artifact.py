"""artifact.env: any shell reads what was written, and nothing else is read back."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagegraph import artifact
from stagegraph.errors import UserError

values = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=40)
keys = st.from_regex(r"[A-Z][A-Z0-9_]{0,12}", fullmatch=True).filter(
    lambda key: key not in ("PATH", "IFS", "PWD")
)
awkward = st.sampled_from(
    ["", "'", "a b", "$(touch x)", "`x`", 'a"b', "line\nline", "'\"'\"'", "\\", "*", "~", "é", "#"]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(keys, values | awkward, max_size=8))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, content: dict[str, str]) -> None:
    path = str(tmp_path_factory.mktemp("artifact") / "artifact.env")
    artifact.write(path, content)
    assert artifact.read(path) == content
    assert list(artifact.read(path)) == list(content)


@settings(max_examples=30, deadline=None)
@given(values | awkward)
def test_a_shell_reads_the_same(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    directory = tmp_path_factory.mktemp("shell")
    path = directory / "artifact.env"
    artifact.write(str(path), {"VALUE": value})
    script = '. "$1"; printf %s "$VALUE"'
    shown = subprocess.run(
        ["sh", "-euc", script, "sh", str(path)], cwd=directory, check=True, stdout=subprocess.PIPE
    )
    assert shown.stdout == value.encode()
    assert os.listdir(directory) == ["artifact.env"]


def test_plain_values_stay_plain(tmp_path: Path) -> None:
    path = tmp_path / "artifact.env"
    artifact.write(
        str(path), {"SOURCE_IMAGE": "localhost/sdk:latest-cross-arm64", "EMPTY": "", "SPACED": "a b"}
    )
    assert path.read_text() == "SOURCE_IMAGE=localhost/sdk:latest-cross-arm64\nEMPTY=\nSPACED='a b'\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A=1", 1),
        ("A=1\n\nB=2\n", 2),
        ("A=1\nA=2\n", 2),
        ("# note\n", 1),
        ("A\n", 1),
        ("export A=1\n", 1),
        ("1A=1\n", 1),
        ("A=$(id)\n", 1),
        ("A='x\n", 1),
        ("A='1'\n", 1),
        ("A=a b\n", 1),
        ("A='a\nb'\nB =1\n", 3),
    ],
)
def test_nothing_else_is_read(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "artifact.env"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        artifact.read(str(path))
    assert (caught.value.code, caught.value.line) == ("artifact-malformed", line)


@pytest.mark.parametrize("content", [{"A B": ""}, {"": ""}, {"1": ""}, {"A": "x\0"}])
def test_what_a_shell_cannot_hold_is_not_written(tmp_path: Path, content: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        artifact.write(str(tmp_path / "artifact.env"), content)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "artifact.env"
    artifact.write(str(path), {"A": "1"})

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        artifact.write(str(path), {"A": "2"})
    monkeypatch.undo()
    assert artifact.read(str(path)) == {"A": "1"}
    assert [item.name for item in tmp_path.iterdir()] == ["artifact.env"]
