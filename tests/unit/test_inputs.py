"""What a step takes from the context. The expectations on modes and links were measured with buildah 1.28."""

import hashlib
import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stagegraph import ignore, inputs, statcache
from stagegraph.errors import UserError
from stagegraph.model import Source


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make(root: Path, *paths: str) -> None:
    """Make files (mode 644, holding their own path), or directories (mode 755) for names that end in a slash."""
    for path in paths:
        target = root / path
        (target if path.endswith("/") else target.parent).mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            target.write_text(path)
            target.chmod(0o644)
    for directory in (path for path in root.rglob("*") if path.is_dir() and not path.is_symlink()):
        directory.chmod(0o755)


def take(root: Path, *patterns: str, mount: bool = False, ignored: str = "") -> dict[str, str]:
    judged = ignore.Ignore("Dockerfile", ".dockerignore", ignored)
    stats = statcache.StatCache(str(root.parent / f"{root.name}-files.json"))
    return inputs.snapshot(str(root), [Source(pattern, 7, mount) for pattern in patterns], judged, stats)


def error(root: Path, pattern: str, **options: object) -> UserError:
    with pytest.raises(UserError) as caught:
        take(root, pattern, **options)  # type: ignore[arg-type]
    assert (caught.value.file, caught.value.line) == ("Dockerfile", 7)
    return caught.value


def f(path: str, mode: str = "644") -> str:
    return f"f{mode}:{sha(path)}"


def test_a_file_is_its_mode_and_bytes(tmp_path: Path) -> None:
    make(tmp_path, "a")
    (tmp_path / "a").chmod(0o4755)
    assert take(tmp_path, "a") == {"a": f("a", "4755")}


def test_a_directory_is_what_is_in_it(tmp_path: Path) -> None:
    make(tmp_path, "d/a", "d/sub/b", "d/empty/", "other")
    (tmp_path / "d").chmod(0o700)
    (tmp_path / "d/sub").chmod(0o711)
    (tmp_path / "d/link").symlink_to("a")
    (tmp_path / "d/dangling").symlink_to("/nowhere")
    assert take(tmp_path, "d") == {
        "d": "d",
        "d/a": f("d/a"),
        "d/dangling": "l:/nowhere",
        "d/empty": "d755",
        "d/link": "l:a",
        "d/sub": "d711",
        "d/sub/b": f("d/sub/b"),
    }


def test_a_mounted_directory_shows_its_own_mode_and_hidden_files(tmp_path: Path) -> None:
    make(tmp_path, "d/a", "d/b")
    (tmp_path / "d").chmod(0o750)
    taken = take(tmp_path, "d", mount=True, ignored="d/b\n")
    assert taken == {"d": "d750", "d/a": f("d/a"), "d/b": f("d/b")}


def test_a_mount_takes_no_pattern(tmp_path: Path) -> None:
    make(tmp_path, "[ab]*", "a")
    assert take(tmp_path, "[ab]*", mount=True) == {"[ab]*": f("[ab]*")}


def test_a_link_as_the_source_is_followed(tmp_path: Path) -> None:
    make(tmp_path, "d/a", "d/sub/b")
    (tmp_path / "file").symlink_to("d/a")
    (tmp_path / "directory").symlink_to("d")
    (tmp_path / "d/sub/up").symlink_to("../../file")
    assert take(tmp_path, "file") == {"file": f("d/a")}
    assert take(tmp_path, "directory/sub/b") == {"directory/sub/b": f("d/sub/b")}
    assert take(tmp_path, "d/sub/up") == {"d/sub/up": f("d/a")}
    assert take(tmp_path, "directory") == {
        "directory": "d",
        "directory/a": f("d/a"),
        "directory/sub": "d755",
        "directory/sub/b": f("d/sub/b"),
        "directory/sub/up": "l:../../file",
    }


def test_a_link_taken_in_two_ways_is_two_inputs(tmp_path: Path) -> None:
    make(tmp_path, "d/a")
    (tmp_path / "d/link").symlink_to("a")
    assert take(tmp_path, "d", "d/*")["d/link"] == f"{f('d/a')} + l:a"
    assert take(tmp_path, "d/*", "d") == take(tmp_path, "d", "d/*")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", {".hidden", "a.txt", "b.txt", "d", "d/c.txt", "d/e", "d/e/f.txt"}),
        ("*.txt", {"a.txt", "b.txt"}),
        ("?.txt", {"a.txt", "b.txt"}),
        ("[b-z].txt", {"b.txt"}),
        ("[^a].txt", {"b.txt"}),
        ("[ab].t[x]t", {"a.txt", "b.txt"}),
        ("*/c.txt", {"d/c.txt"}),
        ("d/*", {"d/c.txt", "d/e", "d/e/f.txt"}),
        ("*/*/*.txt", {"d/e/f.txt"}),
        (".", {".", ".hidden", "a.txt", "b.txt", "d", "d/c.txt", "d/e", "d/e/f.txt"}),
    ],
)
def test_patterns_are_those_of_go(tmp_path: Path, pattern: str, found: set[str]) -> None:
    make(tmp_path, "a.txt", "b.txt", "d/c.txt", "d/e/f.txt", ".hidden")
    assert set(take(tmp_path, pattern)) == found


def test_the_ignore_file_decides_what_is_taken(tmp_path: Path) -> None:
    make(tmp_path, "d/a", "d/b", "d/deep/c", "d/deep/x", "d/gone/y", "e/z")
    assert set(take(tmp_path, "d", ignored="*\n!d/a\n!d/deep/c\n")) == {"d", "d/a", "d/deep", "d/deep/c"}
    assert set(take(tmp_path, ".", ignored="d\n")) == {".", "e", "e/z"}
    assert set(take(tmp_path, "d/*", ignored="d/b\nd/deep\nd/gone/y\n")) == {"d/a", "d/gone"}


def test_an_emptied_directory_is_still_taken(tmp_path: Path) -> None:
    make(tmp_path, "d/a")
    assert take(tmp_path, "d", ignored="d/*\n") == {"d": "d"}


def test_order_of_sources_is_no_difference(tmp_path: Path) -> None:
    make(tmp_path, "a", "b", "d/c")
    assert list(take(tmp_path, "d", "b", "a").items()) == list(take(tmp_path, "a", "b", "d").items())


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "d/a").write_text("changed"),
        lambda root: (root / "d/a").chmod(0o600),
        lambda root: (root / "d/a").rename(root / "d/z"),
        lambda root: (root / "d/new").mkdir(),
        lambda root: (root / "d/empty").rmdir(),
        lambda root: (root / "d/empty").chmod(0o700),
        lambda root: ((root / "d/link").unlink(), (root / "d/link").symlink_to("b")),
        lambda root: ((root / "d/link").unlink(), (root / "d/link").write_text("a")),
        lambda root: ((root / "d/empty").rmdir(), (root / "d/empty").write_text("")),
    ],
)
def test_every_visible_change_is_seen(tmp_path: Path, change: object) -> None:
    make(tmp_path, "d/a", "d/b", "d/empty/")
    (tmp_path / "d/link").symlink_to("a")
    before = take(tmp_path, "d")
    change(tmp_path)  # type: ignore[operator]
    assert take(tmp_path, "d") != before


def test_times_and_a_moved_checkout_are_no_change(tmp_path: Path) -> None:
    make(tmp_path / "one", "d/a")
    before = take(tmp_path / "one", "d")
    os.utime(tmp_path / "one/d/a", (1, 1))
    assert take(tmp_path / "one", "d") == before
    (tmp_path / "one").rename(tmp_path / "two")
    assert take(tmp_path / "two", "d") == before


def test_links_that_lead_out_or_nowhere(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make(root, "d/a")
    for name, target in (("out", "../x"), ("absolute", "/etc"), ("dangling", "nowhere"), ("loop", "loop")):
        (root / name).symlink_to(target)
    assert error(root, "out").code == "source-outside"
    assert error(root, "absolute").code == "source-outside"
    assert error(root, "dangling").code == "source-missing"
    assert "leads to itself" in error(root, "loop").message
    assert error(root, "d/a/b").code == "source-missing"


def test_a_link_to_a_hidden_file_is_hidden(tmp_path: Path) -> None:
    make(tmp_path, "d/a")
    (tmp_path / "link").symlink_to("d/a")
    assert error(tmp_path, "link", ignored="d\n").code == "source-ignored"
    assert error(tmp_path, "link", ignored="link\n").code == "source-ignored"


def test_special_files_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "d/a")
    os.mkfifo(tmp_path / "d/fifo")
    assert "d/fifo is a FIFO" in error(tmp_path, "d").message
    assert set(take(tmp_path, "d", ignored="d/fifo\n")) == {"d", "d/a"}
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket"))
        assert error(tmp_path, "socket").code == "source-type"


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    make(tmp_path, "d/a")
    with open(os.path.join(os.fsencode(tmp_path), b"d/caf\xe9"), "wb"):
        pass
    found = error(tmp_path, "d")
    assert (found.code, found.message) == ("source-name", "the name d/caf\\xe9 is not UTF-8")


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "d/a")

    def refuse(*_: object) -> str:
        raise PermissionError(13, "Permission denied")  # root may read everything, so it is made up

    monkeypatch.setattr(statcache.StatCache, "digest", refuse)
    found = error(tmp_path, "d")
    assert (found.code, found.message) == ("source-unreadable", "cannot read d/a: Permission denied")


# ── remembered digests ──


def settled(path: Path) -> os.stat_result:
    """The state of ``path`` as it will be when its change is long past (ctime cannot be set)."""
    state = os.stat(path)
    fields = list(state)
    values = {name: getattr(state, name) for name in ("st_mtime_ns", "st_ctime_ns", "st_ino", "st_size")}
    assert stat.S_ISREG(fields[0])
    return type("State", (), values)()  # type: ignore[return-value]


def test_a_settled_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a")
    monkeypatch.setattr(statcache, "_SETTLED", 0)
    path = str(tmp_path / "cache/files.json")
    cache = statcache.StatCache(path)
    state = os.lstat(tmp_path / "a")
    assert cache.digest(str(tmp_path), "a", state) == sha("a")
    assert not os.path.exists(path)
    cache.save()
    assert statcache.StatCache(path).digest("/nonexistent", "a", state) == sha("a")


def test_a_file_changed_just_now_is_not_remembered(tmp_path: Path) -> None:
    make(tmp_path, "a")
    cache = statcache.StatCache(str(tmp_path / "files.json"))
    state = os.lstat(tmp_path / "a")
    cache.digest(str(tmp_path), "a", state)
    with pytest.raises(FileNotFoundError):
        cache.digest("/nonexistent", "a", state)


@pytest.mark.parametrize("field", ["st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"])
def test_any_other_state_is_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    make(tmp_path, "a")
    monkeypatch.setattr(statcache, "_SETTLED", 0)
    cache = statcache.StatCache(str(tmp_path / "files.json"))
    cache.digest(str(tmp_path), "a", os.lstat(tmp_path / "a"))
    state = settled(tmp_path / "a")
    setattr(state, field, getattr(state, field) + 1)
    with pytest.raises(FileNotFoundError):
        cache.digest("/nonexistent", "a", state)


def test_a_file_that_keeps_changing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a")
    real = os.fstat
    calls = iter(range(100))

    def moving(descriptor: int) -> os.stat_result:
        os.utime(tmp_path / "a", ns=(0, next(calls)))
        return real(descriptor)

    monkeypatch.setattr(statcache.os, "fstat", moving)
    with pytest.raises(UserError) as caught:
        statcache.StatCache(str(tmp_path / "files.json")).digest(str(tmp_path), "a", os.lstat(tmp_path / "a"))
    assert caught.value.code == "source-changing"


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"a": 1}', '{"a": [1, 2]}', '{"a": null}'])
def test_a_broken_file_of_digests_is_an_empty_one(tmp_path: Path, broken: str) -> None:
    make(tmp_path, "a")
    (tmp_path / "files.json").write_text(broken)
    cache = statcache.StatCache(str(tmp_path / "files.json"))
    assert cache.digest(str(tmp_path), "a", os.lstat(tmp_path / "a")) == sha("a")


def test_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"f{number}" for number in range(200)]
    make(tmp_path, *names)
    monkeypatch.setattr(statcache, "_SETTLED", 0)
    path = str(tmp_path / "files.json")
    cache = statcache.StatCache(path)

    def work(name: str) -> str:
        digest = cache.digest(str(tmp_path), name, os.lstat(tmp_path / name))
        cache.save()
        return digest

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, names * 3)) == [sha(name) for name in names * 3]
    again = statcache.StatCache(path)
    assert [again.digest("/nonexistent", name, os.lstat(tmp_path / name)) for name in names] == [
        sha(name) for name in names
    ]
