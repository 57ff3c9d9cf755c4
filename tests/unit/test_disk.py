"""What stages hold on disk, by their records, and the room that a node asks for before it is begun."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagegraph import disk, process, records, room
from stagegraph.errors import UserError
from stagegraph.graph import Graph, export_node
from stagegraph.model import Node, Parent
from stagegraph.plan import UP_TO_DATE, Decision
from stagegraph.records import Record

GB = 10**9


def step(name: str, parent: str = "", instruction: str = "FROM ${BASE_IMAGE} AS final", arch: str = "") -> Node:
    """A step whose parent is called BASE_IMAGE."""
    place, _, own = name.partition(":")
    return Node(
        name=name, stage=place.removesuffix(f"-{arch}"), arch=arch, step=own or "final", kind="step",
        platform="linux/amd64", record=f"out/images/p/cross/{place}/{own or 'final'}.json",
        parents=(Parent("BASE_IMAGE", parent, by_variable=True),) if parent else (), instructions=(instruction,),
    )  # fmt: skip


def record(node: Node, size: int, own: int | None = None) -> Record:
    return Record(
        node.name, "s" * 64, "sha256:c", f"sha256:{node.name}", {}, "built", "2026-01-01T00:00:00Z", 1.0, size,
        "fake", "", extra={} if own is None else {"own": own},
    )  # fmt: skip


class Place:
    """A project with a store, a scratch directory and records, on file systems that the test makes up."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.graph = Graph()
        #: Directory → device and free bytes; the longest one that a path lies in counts.
        self.volumes = {"/": (1, 100 * GB)}
        engine = SimpleNamespace(store=lambda: str(path / "store"))
        self.space: Any = SimpleNamespace(
            path=lambda relative: os.path.join(str(path), relative),
            record=lambda node: records.read(os.path.join(str(path), node.record)),
            engine=lambda: engine,
        )
        self.room = room.Room(self.space, self.graph, str(path / "scratch"))
        monkeypatch.setattr(disk, "look", self.look)

    def look(self, path: str) -> disk.Volume:
        assert os.path.isabs(path)
        place = max((each for each in self.volumes if path.startswith(each)), key=len)
        return disk.Volume(*self.volumes[place], 1000 * GB)

    def add(self, node: Node, size: int | None = None, own: int | None = None) -> Node:
        self.graph.add(node)
        if size is not None:
            records.write(self.space.path(node.record), record(node, size, own))
        return node

    def refused(self, node: Node) -> UserError:
        with pytest.raises(UserError) as error, self.room.taken(node):
            pass
        assert error.value.code == "disk-low"
        return error.value


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


# The table ---------------------------------------------------------------------------------------------------------


def held(graph: Graph, sizes: dict[str, tuple[int, int | None]], gone: str = "") -> dict[str, disk.Held]:
    decisions = {
        name: Decision(node, UP_TO_DATE, record=record(node, *sizes[name]) if name in sizes else None)
        for name, node in graph.nodes.items()
    }
    store: Any = SimpleNamespace(has=lambda image: image != f"sha256:{gone}")
    return disk.held(graph, decisions, store)


def chain() -> Graph:
    graph = Graph()
    base = graph.add(step("base"))
    graph.add(step("sdk:sources", base.name))
    sdk = graph.add(step("sdk-arm64", base.name, arch="arm64"))
    graph.add(export_node("out/linux-sdk/arm64", "arm64", sdk, "out/linux-sdk/arm64", {}))
    return graph


def test_each_stage_holds_what_its_parents_do_not_hold() -> None:
    sizes = {"base": (100, None), "sdk:sources": (130, None), "sdk-arm64": (250, None), "out/linux-sdk/arm64": (240, None)}
    assert held(chain(), sizes) == {
        "base": disk.Held(1, 100, 0),
        "sdk": disk.Held(1, 30, 0),
        "sdk-arm64": disk.Held(1, 150, 240),
    }


def test_an_image_that_is_gone_holds_nothing() -> None:
    rows = held(chain(), {"base": (100, None), "sdk-arm64": (250, None)}, gone="sdk-arm64")
    assert rows["sdk-arm64"] == disk.Held()
    assert rows["base"] == disk.Held(1, 100, 0)


def test_what_a_record_says_is_not_guessed_from_a_parent_that_was_built_again() -> None:
    assert held(chain(), {"base": (240, 240), "sdk-arm64": (250, 150)})["sdk-arm64"].own == 150
    assert held(chain(), {"base": (300, None), "sdk-arm64": (250, None)})["sdk-arm64"].own == 0


@pytest.mark.parametrize(
    ("instruction", "own"),
    [
        ("FROM ${BASE_IMAGE} AS final", 10),
        ("FROM $BASE_IMAGE AS final", 10),
        ("FROM --platform=linux/arm64 BASE_IMAGE AS final", 10),
        ("FROM scratch AS final", 110),
        ("FROM debian@sha256:0 AS final", 110),
    ],
)
def test_only_what_from_names_is_shared(instruction: str, own: int) -> None:
    graph = Graph()
    graph.add(step("base"))
    graph.add(step("app", "base", instruction))
    assert held(graph, {"base": (100, None), "app": (110, None)})["app"].own == own


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=8))
def test_a_chain_holds_what_its_last_image_is(grown: list[int]) -> None:
    graph, sizes, size = Graph(), {}, 0
    for number, more in enumerate(grown):
        graph.add(step(f"s{number}", f"s{number - 1}" if number else ""))
        size += more
        sizes[f"s{number}"] = (size, None)
    rows = held(graph, sizes)
    assert sum(row.own for row in rows.values()) == size
    assert [row.own for row in rows.values()] == grown


def test_the_table(place: Place) -> None:
    place.volumes = {"/": (1, 5 * GB)}
    out = io.StringIO()
    disk.table({"base": disk.Held(2, 3 * GB, 0), "sdk-arm64": disk.Held(1, 0, GB)}, {"images": "/s", "exports": ""}, out)
    assert out.getvalue().splitlines() == [
        "stage      images       own   exports     total",
        "base            2   3.00 GB             3.00 GB",
        "sdk-arm64       1             1.00 GB   1.00 GB",
        "total           3   3.00 GB   1.00 GB   4.00 GB",
        "5.00 GB of 1000.00 GB are free for images, '/s'",
        "what is free for exports is not known",
    ]


def test_a_place_that_is_not_made_yet_lies_where_it_would_be_made(tmp_path: Path) -> None:
    there = disk.look(str(tmp_path / "not" / "made"))
    assert there.device == os.stat(tmp_path).st_dev
    assert 0 < there.free <= there.total


# Room --------------------------------------------------------------------------------------------------------------


def test_a_build_needs_what_it_held_the_last_time(place: Place) -> None:
    place.add(step("base"), 10 * GB, 10 * GB)
    node = place.add(step("app", "base"), 13 * GB, 3 * GB)
    store, scratch = str(place.path / "store"), str(place.path / "scratch")
    bytes_there = int(3 * GB * room.STORE_COPIES * room.MARGIN)
    assert place.room.needs(node) == {store: bytes_there, scratch: bytes_there}
    place.volumes = {"/": (1, 13_200_000_000)}
    with place.room.taken(node):
        pass
    place.volumes = {"/": (1, 13_199_999_999)}
    problem = place.refused(node)
    assert f"app needs 13.20 GB on the file system of '{store}', of which 13.20 GB are free" in problem.message
    assert "scons gc" in problem.hint


def test_each_file_system_is_asked_for_its_own_share(place: Place) -> None:
    node = place.add(step("app"), 3 * GB, 3 * GB)
    place.volumes = {"/": (1, 7 * GB), str(place.path / "scratch"): (2, 7 * GB)}
    with place.room.taken(node):
        pass
    place.volumes[str(place.path / "scratch")] = (2, 6 * GB)
    assert str(place.path / "scratch") in place.refused(node).message
    place.volumes |= {"/": (1, 6 * GB), str(place.path / "scratch"): (2, 7 * GB)}
    assert str(place.path / "store") in place.refused(node).message


def test_a_node_that_was_never_built_goes_by_its_twins_then_by_the_floor(place: Place) -> None:
    node = place.add(step("sdk-arm64:glslang", arch="arm64"))
    store = str(place.path / "store")
    assert place.room.needs(node) == {store: room.FLOOR}
    for arch, own in (("riscv64", 2 * GB), ("amd64", 4 * GB)):
        twin = step(f"sdk-{arch}:glslang", arch=arch)
        records.write(place.space.path(twin.record), record(twin, 9 * GB, own))
    assert place.room.needs(node)[store] == int(4 * GB * room.STORE_COPIES * room.MARGIN)
    other = step("sdk-riscv64:final", arch="riscv64")
    records.write(place.space.path(other.record), record(other, 90 * GB, 90 * GB))
    assert place.room.needs(node)[store] < 10 * GB


def test_the_floor_is_asked_for(place: Place) -> None:
    node = place.add(step("base"))
    place.volumes = {"/": (1, room.FLOOR - 1)}
    assert "1.07 GB" in place.refused(node).message
    place.volumes = {"/": (1, room.FLOOR)}
    with place.room.taken(node):
        pass


def test_an_unreadable_record_says_nothing(place: Place) -> None:
    node = place.add(step("sdk-arm64", arch="arm64"))
    for path in (node.record, node.record.replace("arm64", "amd64")):
        os.makedirs(os.path.dirname(place.space.path(path)), exist_ok=True)
        Path(place.space.path(path)).write_text("{")
    assert place.room.needs(node) == {str(place.path / "store"): room.FLOOR}


def test_an_export_needs_a_whole_tree_where_it_goes(place: Place) -> None:
    image = place.add(step("sdk-arm64", arch="arm64"), 5 * GB, GB)
    node = export_node("out/linux-sdk/arm64", "arm64", image, "out/linux-sdk/arm64", {})
    place.add(node)
    (tree,) = place.room.needs(node)
    assert tree == str(place.path / "out/linux-sdk/arm64/rootfs")
    assert place.room.needs(node) == {tree: int(5 * GB * room.MARGIN)}
    records.write(place.space.path(node.record), record(node, 4 * GB))
    assert place.room.needs(node) == {tree: int(4 * GB * room.MARGIN)}
    place.volumes[str(place.path / "out")] = (2, 4 * GB)
    assert "the largest are out/linux-sdk/arm64 (4.00 GB)" in place.refused(node).hint


def test_a_manifest_needs_all_its_members(place: Place) -> None:
    names = [place.add(step(f"app-{arch}", arch=arch), 2 * GB, GB).name for arch in ("amd64", "arm64")]
    node = Node(
        "out/manifest/x", "manifest", "", "index", "manifest", "", "out/manifest/.x.json",
        parents=tuple(Parent(name[4:], name, by_variable=False) for name in names),
        members={name[4:]: name for name in names},
    )  # fmt: skip
    place.add(node)
    assert list(place.room.needs(node).values()) == [int(4 * GB * room.MARGIN)]


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_what_others_may_write_is_waited_for(place: Place) -> None:
    one = place.add(step("one"), GB, GB)
    two = place.add(step("two"), GB, GB)
    place.volumes = {"/": (1, 6 * GB)}  # enough for one of them
    order: list[str] = []

    def work() -> None:
        with place.room.taken(two):
            order.append("two begins")

    with place.room.taken(one):
        thread = in_thread(work)
        while thread.is_alive() and not place.room._changed._waiters:  # type: ignore[attr-defined]
            pass
        order.append("one ends")
    thread.join()
    assert order == ["one ends", "two begins"]


def test_a_run_that_is_stopped_does_not_wait(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    one = place.add(step("one"), GB, GB)
    two = place.add(step("two"), GB, GB)
    place.volumes = {"/": (1, 6 * GB)}
    monkeypatch.setattr(process, "_stopping", True)
    with place.room.taken(one), pytest.raises(process.Stopped), place.room.taken(two):
        pass


def test_a_failed_build_gives_its_room_back(place: Place) -> None:
    one = place.add(step("one"), GB, GB)
    place.volumes = {"/": (1, 6 * GB)}
    with pytest.raises(ValueError, match="x"), place.room.taken(one):
        raise ValueError("x")
    with place.room.taken(replace(one)):
        pass
