"""linux/scripts/03-media/apply_patches.py: all patches of a set or none, and never twice."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PROGRAM = TOP / "linux" / "scripts" / "03-media" / "apply_patches.py"

LINES = [f"line {number}\n" for number in range(1, 31)]
FILES = {"src/a.c": "".join(LINES), "src/b.c": "".join(LINES), "other": "untouched\n"}


def edited(text: str, changes: Mapping[str, str]) -> str:
    """The text with whole lines replaced; an empty replacement removes the line."""
    for old, new in changes.items():
        assert f"{old}\n" in text
        text = text.replace(f"{old}\n", f"{new}\n" if new else "")
    return text


class Source:
    """An unpacked source and a set of patches for it."""

    def __init__(self, place: Path) -> None:
        self.path, self.patches = place / "source", place / "patches"
        self.patches.mkdir(parents=True)
        #: The files as they are with all patches of the set applied.
        self.wanted = dict(FILES)
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def patch(self, patch: str, name: str, changes: Mapping[str, str]) -> None:
        """Add a patch to the set, on top of those that are there."""
        old = self.wanted[name]
        self.wanted[name] = edited(old, changes)
        lines = (text.splitlines(keepends=True) for text in (old, self.wanted[name]))
        diff = "".join(difflib.unified_diff(*lines, f"a/{name}", f"b/{name}", n=2))
        path = self.patches / patch
        path.write_text((path.read_text() if path.exists() else "Why it is so.\n\n") + diff)

    def run(self, **env: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-B", str(PROGRAM), str(self.path), str(self.patches)]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **env})

    def good(self) -> list[str]:
        """Run it to a good end; what it said of each patch."""
        done = self.run()
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert self.files() == self.wanted
        return done.stdout.splitlines()

    def refused(self, **env: str) -> str:
        """Run it to an error, with every file as it was before; the error."""
        before, states = self.files(), self.states()
        done = self.run(**env)
        assert (done.returncode, done.stdout) == (1, ""), done.stdout
        assert (self.files(), self.states()) == (before, states)
        error, hint = done.stderr.splitlines()
        assert error.startswith("error: ") and hint.startswith("hint: ")
        return error

    def files(self) -> dict[str, str]:
        """Path → text of everything in the source, litter included."""
        found = [path for path in sorted(self.path.rglob("*")) if not path.is_dir()]
        return {str(path.relative_to(self.path)): path.read_text() for path in found}

    def states(self) -> dict[str, tuple[int, int, int]]:
        paths = {name: (self.path / name).stat() for name in self.files()}
        return {name: (state.st_ino, state.st_mode, state.st_mtime_ns) for name, state in paths.items()}


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Two patches, each for a file of its own."""
    made = Source(tmp_path)
    made.patch("0001-a.patch", "src/a.c", {"line 4": "LINE 4", "line 20": ""})
    made.patch("0002-b.patch", "src/b.c", {"line 9": "line 9\nline 9 and a half"})
    return made


def test_applied_once_and_then_said_to_be(source: Source) -> None:
    assert source.good() == ["applied: 0001-a.patch", "applied: 0002-b.patch"]
    states = source.states()
    assert source.good() == ["already applied: 0001-a.patch", "already applied: 0002-b.patch"]
    assert source.states() == states


def test_order_is_that_of_the_names(source: Source) -> None:
    source.patch("0003.patch", "src/a.c", {"LINE 4": "LINE FOUR"})
    source.patch("0010.patch", "src/a.c", {"LINE FOUR": "IV"})
    assert [line.rpartition(": ")[2] for line in source.good()] == [
        "0001-a.patch", "0002-b.patch", "0003.patch", "0010.patch",
    ]  # fmt: skip
    # The first can no longer be taken back by itself: a later one changed its lines.
    assert [line.partition(":")[0] for line in source.good()] == ["already applied"] * 4


def test_drift_names_patch_and_file_and_changes_nothing(source: Source) -> None:
    """The first patch would apply; the second has lost its lines."""
    source.write("src/b.c", edited(FILES["src/b.c"], {"line 9": "line nine"}))
    error = source.refused()
    assert "0002-b.patch" in error and "src/b.c" in error and "0001" not in error


def test_context_has_to_match_line_by_line(source: Source) -> None:
    source.write("src/a.c", edited(FILES["src/a.c"], {"line 2": "line two"}))
    assert "0001-a.patch" in source.refused()


def test_place_may_move(source: Source) -> None:
    for files in (FILES, source.wanted):
        source.write("src/a.c", "new\n" * 50 + files["src/a.c"])
        if files is FILES:
            assert source.run().stdout.splitlines() == ["applied: 0001-a.patch", "applied: 0002-b.patch"]
    assert [line.partition(":")[0] for line in source.run().stdout.splitlines()] == ["already applied"] * 2


@pytest.mark.parametrize(("name", "said"), [("src/a.c", ["already applied", "applied"]), ("src/b.c", ["applied", "already applied"])])
def test_half_applied_set_is_completed(source: Source, name: str, said: list[str]) -> None:
    source.write(name, source.wanted[name])
    assert [line.partition(":")[0] for line in source.good()] == said


def test_half_applied_patch_is_drift(source: Source) -> None:
    source.write("src/a.c", edited(FILES["src/a.c"], {"line 4": "LINE 4"}))
    assert "0001-a.patch" in source.refused()


def test_patch_of_several_files_is_one(source: Source) -> None:
    source.patch("0002-b.patch", "other", {"untouched": "touched"})
    source.write("other", "drifted\n")
    error = source.refused()
    assert "0002-b.patch neither applies to src/b.c, other nor" in error
    source.write("other", FILES["other"])
    source.good()


def test_blanks_in_paths(tmp_path: Path) -> None:
    source = Source(tmp_path / "a folder; $(x) with 'blanks'")
    source.patch("0001 first.patch", "src/a.c", {"line 4": "LINE 4"})
    assert source.good() == ["applied: 0001 first.patch"]
    assert source.good() == ["already applied: 0001 first.patch"]


def test_mode_stays(source: Source) -> None:
    (source.path / "src/a.c").chmod(0o750)
    (source.path / "src/b.c").chmod(0o444)
    source.good()
    assert [(source.path / name).stat().st_mode & 0o7777 for name in ("src/a.c", "src/b.c")] == [0o750, 0o444]


def test_lines_that_look_like_headers(tmp_path: Path) -> None:
    source = Source(tmp_path)
    source.wanted["sql"] = "begin\n-- a/old comment\n@@ -1 +1 @@\nend\n"
    source.write("sql", source.wanted["sql"])
    source.patch("1.patch", "sql", {"-- a/old comment": "++ b/new comment"})
    assert "\n--- a/old comment\n+++ b/new comment\n" in (source.patches / "1.patch").read_text()
    assert source.good() == ["applied: 1.patch"]


def test_missing_file(source: Source) -> None:
    (source.path / "src/b.c").unlink()
    assert f"0002-b.patch changes src/b.c, which {source.path} does not have" in source.refused()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("/dev/null", "b/made", "makes, removes or renames a file"),
        ("a/src/a.c", "/dev/null", "makes, removes or renames a file"),
        ("a/src/a.c", "b/src/b.c", "makes, removes or renames a file"),
        ("a/../../out", "b/../../out", "outside the source"),
        ("a//etc/out", "b//etc/out", "outside the source"),
    ],
)
def test_refused_patches(source: Source, old: str, new: str, said: str) -> None:
    (source.patches / "0003.patch").write_text(f"--- {old}\n+++ {new}\n@@ -1 +1 @@\n-line 1\n+LINE 1\n")
    error = source.refused()
    assert "0003.patch" in error and said in error


def test_patch_without_changes(source: Source) -> None:
    (source.patches / "0003.patch").write_text("Only words.\n")
    assert "0003.patch changes no file" in source.refused()


def test_torn_patch(source: Source) -> None:
    path = source.patches / "0002-b.patch"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    assert "0002-b.patch ends in the middle of a change" in source.refused()


def test_malformed_patch(source: Source) -> None:
    path = source.patches / "0002-b.patch"
    path.write_text(path.read_text().replace("\n+line 9 and", "\n?line 9 and"))
    assert "patch cannot read 0002-b.patch: " in source.refused()


def test_no_patches(source: Source) -> None:
    for path in source.patches.iterdir():
        path.unlink()
    assert f"{source.patches} holds no *.patch" in source.refused()


def test_program_patch_is_missing(source: Source, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    assert "the program patch is not installed" in source.refused(PATH=str(tmp_path / "bin"))
