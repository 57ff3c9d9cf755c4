"""The copy of a build context: exactly what was signed, and nothing else."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagegraph import context, ignore, inputs, removal, statcache
from stagegraph.errors import UserError
from stagegraph.model import Source

TIME = 1_700_000_000


def snapshot(root: Path, *sources: Source) -> dict[str, str]:
    stats = statcache.StatCache(str(root.parent / f"{root.name}-files.json"))
    return inputs.snapshot(str(root), sources, ignore.Ignore("Dockerfile"), stats)


def copy(root: Path, files: dict[str, str], target: Path, **engine_files: bytes | None) -> Path:
    context.write(str(root), files, dict(engine_files), str(target), TIME)
    return target


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    top = tmp_path / "checkout"
    (top / "d/sub").mkdir(parents=True)
    (top / "d/empty").mkdir(mode=0o711)
    (top / "d/a").write_text("a")
    (top / "d/sub/b").write_text("b")
    (top / "d/sub/b").chmod(0o4750)
    (top / "d/loose").symlink_to("nowhere")
    (top / "other").write_text("other")
    (top / "way").symlink_to("d/sub")
    (top / "named").symlink_to("way/b")
    return top


def test_what_is_not_taken_does_not_come_along(root: Path, tmp_path: Path) -> None:
    made = copy(root, snapshot(root, Source("d/sub/b", 1, mount=True)), tmp_path / "copy")
    assert everything(made) == {"d", "d/sub", "d/sub/b"}


def test_links_on_the_way_come_along(root: Path, tmp_path: Path) -> None:
    files = snapshot(root, Source("named", 1))
    made = copy(root, files, tmp_path / "copy")
    assert everything(made) == {"named", "way", "d", "d/sub", "d/sub/b"}
    assert snapshot(made, Source("named", 1)) == files


def test_a_link_in_a_directory_is_only_a_link(root: Path, tmp_path: Path) -> None:
    (root / "d/out").symlink_to("../other")
    files = snapshot(root, Source("d", 1))
    made = copy(root, files, tmp_path / "copy")
    assert everything(made) == {"d", "d/a", "d/sub", "d/sub/b", "d/empty", "d/loose", "d/out"}
    assert snapshot(made, Source("d", 1)) == files


def test_a_link_that_is_kept_and_followed(root: Path, tmp_path: Path) -> None:
    (root / "d/out").symlink_to("../other")
    sources = (Source("d", 1), Source("d/out", 2))
    files = snapshot(root, *sources)
    assert " + " in files["d/out"]
    assert snapshot(copy(root, files, tmp_path / "copy"), *sources) == files


def test_hard_links_and_attributes_are_left_behind(root: Path, tmp_path: Path) -> None:
    os.link(root / "d/a", root / "d/again")
    os.setxattr(root / "d/a", "user.note", b"x")
    made = copy(root, snapshot(root, Source("d", 1)), tmp_path / "copy")
    assert (made / "d/a").stat().st_nlink == 1
    assert os.listxattr(made / "d/a") == []


def test_times_are_those_of_the_image(root: Path, tmp_path: Path) -> None:
    made = copy(root, snapshot(root, Source("d", 1)), tmp_path / "copy", Dockerfile=b"FROM scratch\n")
    assert {path.lstat().st_mtime for path in [made, *made.rglob("*")]} == {TIME}


def test_the_dockerfile_is_the_one_that_was_read(root: Path, tmp_path: Path) -> None:
    (root / "Dockerfile").write_text("edited since\n")
    made = copy(root, {}, tmp_path / "copy", Dockerfile=b"FROM scratch\n", absent=None)
    assert (made / "Dockerfile").read_bytes() == b"FROM scratch\n"
    assert everything(made) == {"Dockerfile"}


def test_a_dockerfile_that_the_step_takes_too_has_to_be_the_one_that_was_read(root: Path, tmp_path: Path) -> None:
    (root / "Dockerfile").write_text("FROM scratch\n")
    files = snapshot(root, Source("Dockerfile", 1))
    copy(root, files, tmp_path / "one", Dockerfile=b"FROM scratch\n")
    with pytest.raises(UserError, match="Dockerfile was edited"):
        copy(root, files, tmp_path / "two", Dockerfile=b"FROM another\n")


def test_a_full_disk_is_no_edit(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is told that a file was edited runs the command again, for ever."""
    files = snapshot(root, Source("d", 1))

    def refuse(descriptor: int, mode: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(OSError, match="No space left"):
        copy(root, files, tmp_path / "copy")


EDITS = {
    "bytes": lambda root: (root / "d/a").write_text("A"),
    "mode": lambda root: (root / "d/a").chmod(0o600),
    "removed": lambda root: (root / "d/a").unlink(),
    "link": lambda root: ((root / "d/loose").unlink(), (root / "d/loose").symlink_to("elsewhere")),
    "mode of a directory": lambda root: (root / "d/empty").chmod(0o700),
    "file for a directory": lambda root: ((root / "d/empty").rmdir(), (root / "d/empty").write_text("")),
    "FIFO for a file": lambda root: ((root / "d/a").unlink(), os.mkfifo(root / "d/a")),
    "link out for a file": lambda root: ((root / "d/a").unlink(), (root / "d/a").symlink_to("../../x")),
    "loop for a file": lambda root: ((root / "d/a").unlink(), (root / "d/a").symlink_to("a")),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_since_the_signing_is_found(root: Path, tmp_path: Path, name: str) -> None:
    files = snapshot(root, Source("d", 1))
    EDITS[name](root)
    with pytest.raises(UserError) as caught:
        copy(root, files, tmp_path / "copy")
    assert caught.value.code == "inputs-changed"


def test_a_closed_directory_is_removed_again(root: Path, tmp_path: Path) -> None:
    (root / "d/empty").chmod(0o555)
    made = copy(root, snapshot(root, Source("d", 1)), tmp_path / "copy")
    assert stat.S_IMODE((made / "d/empty").stat().st_mode) == 0o555
    removal.remove_tree(str(made))
    assert not made.exists()


NAMES = st.sampled_from(["a", "b b", "ü", "-c", "d'"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
OBJECTS = st.one_of(
    st.tuples(st.just("file"), st.binary(max_size=20), st.sampled_from([0o644, 0o755, 0o600])),
    st.tuples(st.just("directory"), st.just(b""), st.sampled_from([0o755, 0o700])),
    st.tuples(st.just("link"), st.one_of(NAMES, PATHS, st.just("nowhere")).map(str.encode), st.just(0)),
)


@settings(max_examples=150, deadline=None)
@given(tree=st.dictionaries(PATHS, OBJECTS, min_size=1, max_size=8), taken=st.lists(PATHS, min_size=1, max_size=3))
def test_a_copy_is_read_as_its_original(tmp_path_factory: pytest.TempPathFactory, tree: dict, taken: list[str]) -> None:
    """Oracle: ``inputs.snapshot`` of the copy, which finds what COPY and bind mounts take, is that of the original."""
    place = tmp_path_factory.mktemp("trees")
    root = place / "checkout"
    root.mkdir()
    for path, (kind, data, mode) in tree.items():
        target = root / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(target):
                continue
            if kind == "link":
                target.symlink_to(data.decode())
            elif kind == "directory":
                target.mkdir()
                target.chmod(mode)
            else:
                target.write_bytes(data)
                target.chmod(mode)
        except (FileExistsError, NotADirectoryError, FileNotFoundError, OSError):
            continue
    for mount in (False, True):
        sources = [Source(path, 1, mount) for path in taken]
        try:
            files = snapshot(root, *sources)
        except UserError:
            continue
        made = copy(root, files, place / f"copy-{mount}")
        assert snapshot(made, *sources) == files
