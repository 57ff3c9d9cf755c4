"""What members stand on and what gates judged, by records alone."""

from __future__ import annotations

from stagegraph import ancestry
from stagegraph.graph import Graph
from stagegraph.model import Node, Parent
from stagegraph.records import Record, Unreadable

MEMBERS = ("app-a", "app-b")


def node(name: str, *parents: str, arch: str = "") -> Node:
    """A node that calls its parents as they are named."""
    edges = tuple(Parent(parent, parent, by_variable=False) for parent in parents)
    return Node(name, name, arch, "final", "step", "linux/amd64", f"{name}.json", edges)


def small() -> Graph:
    """base → tools → artifact-x → app-x for two arches, a gate on each artifact."""
    graph = Graph()
    for one in (node("base"), node("tools", "base")):
        graph.add(one)
    for arch in "ab":
        graph.add(node(f"artifact-{arch}", "tools", arch=arch))
        graph.add(node(f"app-{arch}", f"artifact-{arch}", arch=arch))
        graph.add(node(f"gate-{arch}", f"artifact-{arch}", arch=arch))
    return graph


class Books:
    """The records of a graph in which each node has the content ``<name>:1`` until ``build`` makes it another."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.contents = {name: f"sha256:{name}:1" for name in graph.nodes}
        self.records: dict[str, Record] = {}
        for name in graph.nodes:
            self.build(name, 1)

    def build(self, name: str, number: int) -> None:
        """A node is built on its parents as they are now."""
        self.contents[name] = f"sha256:{name}:{number}"
        parents = {parent.ref: self.contents[parent.node] for parent in self.graph.nodes[name].parents}
        self.records[name] = Record(
            name, "s", self.contents[name], f"image of {self.contents[name]}", {"parents": parents},
            "built", "", 0, 0, "fake", "",
        )  # fmt: skip

    def mixed(self) -> list[str]:
        return ancestry.mixed(self.graph, MEMBERS, self.records.get)

    def verdicts(self, *gates: str) -> list[ancestry.Verdict]:
        return ancestry.verdicts(self.graph, MEMBERS, gates, self.records.get)


def test_members_of_one_generation() -> None:
    assert Books(small()).mixed() == []


def test_a_shared_parent_that_one_member_has_another_content_of() -> None:
    books = Books(small())
    for name in ("tools", "artifact-a", "app-a"):
        books.build(name, 2)
    assert books.mixed() == ["of tools stand app-a on tools:2; app-b on tools:1"]


def test_a_shared_parent_that_was_built_again_for_nobody_yet() -> None:
    """Both stand on what it was: they go together, whatever lies below it by now."""
    books = Books(small())
    for name in ("base", "tools"):
        books.build(name, 2)
    assert books.mixed() == []


def test_below_a_shared_parent_of_the_same_content_nothing_counts() -> None:
    books = Books(small())
    books.build("base", 2)
    books.build("tools", 1)
    assert books.mixed() == []


def test_a_parent_of_one_member_that_was_built_since() -> None:
    """What the old one stood on is not recorded any more."""
    books = Books(small())
    books.build("artifact-a", 2)
    assert books.mixed() == ["app-a stands on artifact-a:1 of artifact-a, which was built again since, as artifact-a:2"]
    del books.records["artifact-a"]
    assert books.mixed() == ["app-a stands on artifact-a:1 of artifact-a, which has no record"]


def test_a_record_that_does_not_name_a_parent() -> None:
    books = Books(small())
    books.records["app-a"].ledger["parents"].clear()
    assert books.mixed() == ["the record of app-a does not say which artifact-a it was built from"]


def test_what_no_two_members_share_is_not_compared() -> None:
    graph = Graph()
    for arch in "ab":
        graph.add(node(f"root-{arch}", arch=arch))
        graph.add(node(f"app-{arch}", f"root-{arch}", arch=arch))
    books = Books(graph)
    del books.records["root-a"]
    books.build("root-b", 2)
    assert books.mixed() == []


def test_one_member_that_took_two_contents_of_one_parent() -> None:
    graph = Graph()
    graph.add(node("base"))
    for one in (node("x", "base"), node("app-a", "base", "x"), node("app-b", "base")):
        graph.add(one)
    books = Books(graph)
    books.build("base", 2)
    books.build("app-a", 2)
    books.build("app-b", 2)
    assert books.mixed() == ["of base stand app-a on base:1; app-a, app-b on base:2"]


def test_gates_that_passed() -> None:
    found = Books(small()).verdicts("gate-a", "gate-b")
    assert [(v.gate, v.member, v.judged, v.content_id, v.image_id, v.problem) for v in found] == [
        ("gate-a", "app-a", "artifact-a", "sha256:artifact-a:1", "image of sha256:artifact-a:1", ""),
        ("gate-b", "app-b", "artifact-b", "sha256:artifact-b:1", "image of sha256:artifact-b:1", ""),
    ]


def test_a_gate_that_has_no_record() -> None:
    books = Books(small())
    del books.records["gate-a"]
    assert [v.problem for v in books.verdicts("gate-a", "gate-b")] == ["gate gate-a has not passed", ""]


def test_a_gate_that_judged_another_content() -> None:
    books = Books(small())
    books.build("artifact-a", 2)
    books.build("gate-a", 2)
    (verdict,) = books.verdicts("gate-a")
    assert verdict.problem == "gate gate-a judged artifact-a:2 of artifact-a, but app-a stands on artifact-a:1"
    books.build("app-a", 2)
    assert books.verdicts("gate-a")[0].problem == ""


def test_a_gate_of_the_member_itself() -> None:
    graph = small()
    graph.add(node("smoke-a", "app-a", arch="a"))
    books = Books(graph)
    assert [(v.member, v.judged, v.problem) for v in books.verdicts("smoke-a")] == [("app-a", "app-a", "")]
    books.build("app-a", 2)
    (verdict,) = books.verdicts("smoke-a")
    assert verdict.problem.startswith("gate smoke-a judged ") and "but app-a is " in verdict.problem
    assert verdict.image_id == "", "the image it judged is not the one that the store has now"


def test_what_a_gate_judges_is_the_nearest() -> None:
    """A gate that also mounts a tool which everything stands on judges the image, not the tool."""
    graph = small()
    graph.add(node("wide-a", "tools", "artifact-a", arch="a"))
    graph.add(node("shared-gate", "tools"))
    assert [parent.node for parent in ancestry.judged(graph, "wide-a", "app-a")] == ["artifact-a"]
    assert ancestry.judged(graph, "wide-a", "app-b") == []
    books = Books(graph)
    assert [(v.member, v.judged) for v in books.verdicts("shared-gate")] == [("app-a", "tools"), ("app-b", "tools")]


def test_a_record_is_read_once_and_one_that_cannot_be_read_is_none() -> None:
    asked = []

    def read(one: Node) -> Record | None:
        asked.append(one.name)
        raise Unreadable("cut short")

    record_of = ancestry.reader(read, small())
    assert record_of("base") is record_of("base") is None
    assert asked == ["base"]
