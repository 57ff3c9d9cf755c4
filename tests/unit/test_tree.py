"""The canonical listing: its text, its file, and what differs between two of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagegraph import tree
from stagegraph.errors import UserError
from stagegraph.tree import Entry


def small() -> dict[bytes, Entry]:
    shared = Entry("file", 0o644, 1, 2, 3, size=4, sha256="ab")
    return {
        b"": Entry("dir", 0o755, 0, 0, 0),
        b"z": shared,
        b"a b\n\xff\\": shared,
        b"link": Entry("symlink", 0o777, 0, 0, 0, target=b"/x y"),
        b"null": Entry("char", 0o666, 0, 0, 0, device=(1, 3)),
        b"file": Entry("file", 0o4755, 0, 0, -1, sha256="cd", xattrs={"user.b": b"\0", "user.a": b""}),
    }


def test_listing_text() -> None:
    assert tree.render(small()).splitlines() == [
        ". type=dir mode=0755 uid=0 gid=0 mtime=0",
        (
            "./a\\040b\\012\\377\\134 type=file mode=0644 uid=1 gid=2 mtime=3 size=4 sha256=ab "
            "hardlink=./a\\040b\\012\\377\\134"
        ),
        "./file type=file mode=4755 uid=0 gid=0 mtime=-1 size=0 sha256=cd xattr.user.a= xattr.user.b=00",
        "./link type=symlink mode=0777 uid=0 gid=0 mtime=0 link=/x\\040y",
        "./null type=char mode=0666 uid=0 gid=0 mtime=0 device=1,3",
        "./z type=file mode=0644 uid=1 gid=2 mtime=3 size=4 sha256=ab hardlink=./a\\040b\\012\\377\\134",
    ]


def test_order_of_insertion_does_not_count() -> None:
    entries = small()
    backwards = dict(reversed(entries.items()))
    assert tree.render(entries) == tree.render(backwards)


def test_a_broken_hard_link_is_a_difference() -> None:
    entries = small()
    joined = tree.render(entries)
    entries[b"z"] = Entry("file", 0o644, 1, 2, 3, size=4, sha256="ab")
    found = tree.differences(joined, tree.render(entries))
    assert len(found) == 2
    assert found[1] == "./z: hardlink ./a\\040b\\012\\377\\134 → none"


def test_saved_listing_comes_back(tmp_path: Path) -> None:
    text = tree.render(small())
    path = str(tmp_path / "list.gz")
    tree.save(path, text)
    assert tree.load(path) == text
    assert [item.name for item in tmp_path.iterdir()] == ["list.gz"]


@pytest.mark.parametrize("cut", [0, 5, 40])
def test_damaged_listing_is_an_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "list.gz"
    tree.save(str(path), tree.render(small()))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(OSError, match=r"list\.gz"):
        tree.load(str(path))


def test_missing_tree_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read") as caught:
        tree.from_disk(str(tmp_path / "nothing"))
    assert caught.value.code == "rootfs-unreadable"
