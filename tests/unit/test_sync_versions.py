"""docs/scripts/sync_versions.py: the README's table of versions follows versions.env and the profiles."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def sync() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sync_versions", ROOT / "docs" / "scripts" / "sync_versions.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(sync: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "linux/profiles").mkdir(parents=True)
    (tmp_path / "versions.env").write_text("# noforward\nIMAGE_REPO=x\nGCC_VERSION=16.1.0\nGCC_PROVIDER=source\n")
    (tmp_path / "linux/profiles/prebuilt.env").write_text("GCC_VERSION=14.2.0\nGCC_PROVIDER=distro\n")
    (tmp_path / "linux/profiles/source.env").write_text("GCC_PROVIDER=source\n")
    (tmp_path / "README.md").write_text(f"# A\n\n{sync.BEGIN}{sync.END}\nrest\n")
    monkeypatch.setattr(sync, "ROOT", tmp_path)
    return tmp_path


def call(sync: ModuleType, monkeypatch: pytest.MonkeyPatch, word: str) -> int:
    monkeypatch.setattr("sys.argv", ["sync_versions.py", word])
    return int(sync.main())


def test_the_table_of_this_repository_is_right(sync: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(sync, monkeypatch, "--check") == 0


def test_write_makes_the_check_green(
    sync: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(sync, monkeypatch, "--check") == 1
    assert "hint: run python3 docs/scripts/sync_versions.py --write" in capsys.readouterr().err
    assert call(sync, monkeypatch, "--write") == 0
    text = (root / "README.md").read_text()
    assert "| `GCC_VERSION` | 16.1.0 | 14.2.0 | 16.1.0 |\n" in text
    assert "IMAGE_REPO" not in text and text.startswith("# A\n") and text.endswith("\nrest\n")
    assert call(sync, monkeypatch, "--check") == 0
    (root / "versions.env").write_text("GCC_VERSION=16.2.0\nGCC_PROVIDER=source\n")
    assert call(sync, monkeypatch, "--check") == 1
    assert "+| `GCC_VERSION` | 16.2.0 |" in capsys.readouterr().out


@pytest.mark.parametrize("marks", ["", "{end}{begin}", "{begin}", "{begin}{end}{begin}{end}"])
def test_a_readme_without_its_marks_is_left_alone(
    sync: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, marks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"# A\n{marks.format(begin=sync.BEGIN, end=sync.END)}"
    (root / "README.md").write_text(text)
    assert call(sync, monkeypatch, "--write") == 1
    assert "error: README.md has not" in capsys.readouterr().err
    assert (root / "README.md").read_text() == text


def test_a_malformed_versions_file_is_one_error(
    sync: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "versions.env").write_text("GCC_VERSION = 1\n")
    assert call(sync, monkeypatch, "--check") == 1
    assert "error: versions.env:1: " in capsys.readouterr().err
