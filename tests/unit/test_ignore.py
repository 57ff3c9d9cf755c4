"""Ignore files: which one counts, and moby's published matching cases as the oracle."""

from pathlib import Path

import pytest

from stagegraph import ignore
from stagegraph.errors import UserError
from stagegraph.parsecache import ParseCache

# From the documentation of .dockerignore and the behaviour of moby's patternmatcher: patterns, path, excluded.
CASES = [
    (["**"], "file", True),
    (["**/"], "dir/file", True),
    (["**/*"], "dir/dir/file", True),
    (["dir/**"], "dir/file", True),
    (["dir/**"], "dir/dir2/file", True),
    (["dir/**"], "file", False),
    (["**/dir2/*"], "dir/dir2/file", True),
    (["**/dir2/**"], "dir/dir2/dir3/file", True),
    (["**file"], "dir/dir/file", True),
    (["**/file"], "file", True),
    (["**/file*txt"], "dir/dir/file.txt", True),
    (["**/**/*.txt"], "dir/dir/file.txt", True),
    (["**/**/*.txt2"], "dir/dir/file.txt", False),
    (["a**/*.txt"], "a/file.txt", True),
    (["a**/*.txt"], "a/dir/file.txt", True),
    (["a/*.txt"], "a/dir/file.txt", False),
    (["a/*.txt"], "a/file.txt", True),
    (["a/*.txt**"], "a/file.txt", True),
    (["a[b-d]e"], "ace", True),
    (["a[b-d]e"], "aze", False),
    (["a[^b-d]e"], "aze", True),
    (["a\\*b"], "a*b", True),
    (["a\\*b"], "axb", False),
    (["*"], "a/b", True),
    (["*.log"], "a.log", True),
    (["*.log"], "a/b.log", False),
    (["foo"], "a/foo", False),
    (["foo"], "foo/deep/file", True),
    (["/foo"], "foo", True),
    (["foo/"], "foo/a", True),
    (["./foo/../bar"], "bar", True),
    (["  foo  "], "foo", True),
    (["# foo"], "# foo", False),
    (["", "  "], "foo", False),
    (["foo?bar"], "foo/bar", False),
    (["abc.def"], "abcxdef", False),
    (["**/foo/bar"], "foo/bar", True),
    (["a(b)c"], "a(b)c", True),
    (["a.|)$(}+{bc"], "a.|)$(}+{bc", True),
    (["*", "!a"], "a", False),
    (["*", "!a"], "a/b", False),
    (["*", "!a/b"], "a/b", False),
    (["*", "!a/b"], "a/c", True),
    (["*", "!a", "a/c"], "a/c", True),
    (["!a", "*"], "a", True),
    (["a", "!a/b/*.txt"], "a/b/c.txt", False),
    (["a", "!a/b/*.txt"], "a/b/c.bin", True),
    (["**/*.md", "!README.md"], "README.md", False),
    (["**/*.md", "!README.md"], "docs/README.md", True),
    (["*.md", "!README*.md", "README-secret.md"], "README-secret.md", True),
]


@pytest.mark.parametrize(("patterns", "path", "excluded"), CASES)
def test_matches_as_moby_does(patterns: list[str], path: str, excluded: bool) -> None:
    judged = ignore.Ignore("Dockerfile", ".dockerignore", "\n".join(patterns) + "\n")
    assert judged.excluded(path) is excluded


@pytest.mark.parametrize(
    ("patterns", "path"),
    [(["a/*", "!a"], "a/b"), (["**/b", "!a"], "a/b/c"), (["**/*.t", "a/b/", "!a"], "a/b")],
)
def test_a_path_that_engines_judge_differently_is_refused(patterns: list[str], path: str) -> None:
    """Seen with buildah 1.28, which copies these paths; BuildKit does not."""
    judged = ignore.Ignore("Dockerfile", ".dockerignore", "\n".join(patterns))
    for ask in (judged.excluded, judged.hides_all_of):
        with pytest.raises(UserError, match="engines disagree") as caught:
            ask(path)
        assert (caught.value.code, caught.value.file) == ("ignore-file", ".dockerignore")


def test_line_ends_and_byte_order_mark_do_not_count() -> None:
    judged = ignore.Ignore("Dockerfile", ".dockerignore", "\ufefffoo\r\nbar\r\n")
    assert [judged.excluded(path) for path in ("foo", "bar", "baz")] == [True, True, False]


def test_a_directory_is_passed_over_only_if_nothing_below_comes_back() -> None:
    judged = ignore.Ignore("Dockerfile", ".dockerignore", "*\n!linux/scripts/a.sh\n")
    assert not judged.hides_all_of("linux")
    assert not judged.hides_all_of("linux/scripts")
    assert judged.hides_all_of("linux/patches")
    assert judged.hides_all_of("out")
    assert not judged.hides_all_of(".")


def test_own_file_beats_the_one_at_the_root(tmp_path: Path) -> None:
    (tmp_path / "linux").mkdir()
    (tmp_path / ".dockerignore").write_text("a\n")
    assert ignore.load(str(tmp_path), "linux/Dockerfile.x").path == ".dockerignore"
    (tmp_path / "linux" / "Dockerfile.x.dockerignore").write_text("b\n")
    judged = ignore.load(str(tmp_path), "linux/Dockerfile.x")
    assert judged.path == "linux/Dockerfile.x.dockerignore"
    assert (judged.excluded("a"), judged.excluded("b")) == (False, True)


def test_no_file_hides_nothing(tmp_path: Path) -> None:
    judged = ignore.load(str(tmp_path), "Dockerfile")
    assert (judged.path, judged.excluded("a"), judged.hides_all_of("a")) == ("", False, False)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match="not UTF-8") as caught:
        ignore.load(str(tmp_path), "Dockerfile")
    assert caught.value.code == "ignore-file"


def test_judgements_are_remembered_for_the_same_patterns_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".dockerignore").write_text("*\n!a\n")
    path = str(tmp_path / "cache.json")
    cache = ParseCache(path)
    first = ignore.load(str(tmp_path), "Dockerfile", cache)
    asked = [first.excluded("a"), first.excluded("b"), first.hides_all_of("c")]
    assert asked == [False, True, False] or asked == [False, True, True]
    cache.save()

    loads: list[int] = []
    real = ignore.Ignore._load
    monkeypatch.setattr(ignore.Ignore, "_load", lambda self: loads.append(1) or real(self))
    again = ignore.load(str(tmp_path), "Dockerfile", ParseCache(path))
    assert [again.excluded("a"), again.excluded("b"), again.hides_all_of("c")] == asked
    assert loads == []

    (tmp_path / ".dockerignore").write_text("a\n")
    changed = ignore.load(str(tmp_path), "Dockerfile", ParseCache(path))
    assert [changed.excluded("a"), changed.excluded("b")] == [True, False]
    assert loads
