"""What the disk holds and whether it has room, through scons: --status --disk, and the refusal before a build."""

from __future__ import annotations

import json
import re
from pathlib import Path

from stagegraph.report import size

from .project import Project

#: More than any disk has.
ABSURD = 10**18


def set_record(path: Path, **fields: object) -> None:
    record = json.loads(path.read_text("utf-8"))
    record["extra"].update({key: value for key, value in fields.items() if key == "own"})
    record.update({key: value for key, value in fields.items() if key != "own"})
    path.write_text(json.dumps(record), "utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """Row → its cells, from the table in a run's output."""
    lines = text[text.index("stage ") :].splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines[1:] if " free for " not in line}


def test_the_table_says_what_each_stage_holds(built: Project) -> None:
    result = built.good("--status", "--disk")
    table = rows(result.stdout)
    assert list(table) == [
        "bootstrap-amd64", "base", "compiler", "sdk", "sdk-arm64", "sdk-riscv64", "total",
    ]  # fmt: skip
    assert table["compiler"][0] == "3"
    assert table["sdk"][0] == "1"
    assert table["sdk-arm64"][0] == "3"
    assert table["total"][0] == "12"
    export = json.loads((built.export() / ".export.json").read_text("utf-8"))["size"]
    assert size(export) in " ".join(table["sdk-arm64"])
    assert f"are free for images, '{built.store}/root'" in result.stdout
    assert f"are free for exports, '{built.path}/out'" in result.stdout
    # No image is looked at, and a store that is named is not even asked where it lies.
    assert {line["op"] for line in built.engine.journal()} == {"images"}


def test_the_table_of_one_target(built: Project) -> None:
    assert list(rows(built.good("--status", "--disk", "compiler").stdout)) == ["bootstrap-amd64", "base", "compiler", "total"]


def test_own_bytes_add_up_to_an_image(built: Project) -> None:
    chain = ["bootstrap-amd64", "base", "sdk-arm64:glslang", "sdk-arm64"]
    between = ["compiler"]
    own = sum(built.record(node)["extra"]["own"] for node in chain + between)
    assert own == built.record("sdk-arm64")["size"]


def test_an_image_that_was_removed_holds_nothing(built: Project) -> None:
    built.remove_image("sdk-arm64:spirv")
    assert rows(built.good("--status", "--disk").stdout)["sdk-arm64"][0] == "2"


def test_a_project_that_was_never_built_holds_nothing(project: Project) -> None:
    result = project.good("--status", "--disk")
    assert rows(result.stdout)["total"] == []
    assert not (project.path / "out").exists()


def test_disk_alone_is_no_question(built: Project) -> None:
    built.fails("--disk", code="command-words")
    built.fails("--disk", "--why", code="command-words")
    assert built.done() == set()


def test_a_build_without_room_is_not_begun(built: Project) -> None:
    before, logs = built.record("compiler:gcc"), built.logs()
    set_record(built.record_path("compiler:gcc"), own=ABSURD)
    built.replace("patches/a.patch", "a", "b")
    result = built.fails("sdk-arm64", code="disk-low")
    assert f"compiler:gcc needs {size(int(ABSURD * 4 * 1.1))} on the file system of" in result.stdout
    assert "scons gc" in result.stdout
    assert built.done() == set()
    assert [line for line in built.engine.journal() if line["op"] in ("load", "pull", "tag")] == []
    assert built.record("compiler:gcc")["signature"] == before["signature"]
    assert built.logs() == logs
    set_record(built.record_path("compiler:gcc"), own=1)
    assert "compiler:gcc" in built.builds("sdk-arm64")
    built.is_quiet("sdk-arm64")


def test_the_same_step_of_another_arch_says_how_much(built: Project) -> None:
    set_record(built.record_path("sdk-riscv64:spirv"), own=ABSURD)
    built.remove_image("sdk-arm64:spirv")
    built.record_path("sdk-arm64:spirv").unlink()
    built.fails("TARGET_ARCH=arm64", "sdk-arm64:spirv", code="disk-low")
    assert built.done() == set()


def test_an_export_without_room_is_not_begun(built: Project) -> None:
    directory = built.export()
    set_record(directory / ".export.json", size=ABSURD)
    (directory / "rootfs" / "added").write_text("x")
    result = built.fails("out/linux-sdk/arm64", code="disk-low")
    assert f"out/linux-sdk/arm64 needs {size(int(ABSURD * 1.1))}" in result.stdout
    assert (directory / "rootfs" / "added").exists()
    assert built.done() == set()


def test_what_is_not_built_asks_for_no_room(built: Project) -> None:
    for node in ("compiler:gcc", "compiler", "sdk-arm64"):
        set_record(built.record_path(node), own=ABSURD)
    built.is_quiet()
    other = built.clone(built.path.parent / "clone")
    other.good("compiler")  # adopts all it needs
    assert other.done() == set()
    built.good("--refresh=base", "base")


def test_what_is_built_beside_asks_too(built: Project) -> None:
    set_record(built.record_path("compiler:gcc"), own=ABSURD)
    built.fails("--check-reproducible", "compiler:gcc", code="disk-low")
    assert built.done() == set()


ABSENT = """\
root = env.Root("bootstrap", "amd64")
base = env.Stage("base", parent=root)
"""


def test_a_component_that_is_absent_says_so(project: Project) -> None:
    project.write("SConstruct", project.sconstruct(ABSENT))
    project.replace("Dockerfile.base", "RUN", "ARG OPENCV_PROVIDER=source\nARG OPENCV_VERSION=5\nRUN")
    with open(project.path / "versions.env", "a", encoding="utf-8") as stream:
        stream.write("OPENCV_PROVIDER=source\nOPENCV_VERSION=5\n")
    with open(project.path / "profiles/plain.env", "a", encoding="utf-8") as stream:
        stream.write("OPENCV_PROVIDER=absent\n")

    def state(*words: str) -> str:
        lines = project.good("--status", *words).stdout.splitlines()
        table = [line for line in lines if line.startswith(("node ", "bootstrap", "base"))]
        assert len({len(line) for line in table}) == 1, "the columns stand under one another"
        (found,) = [re.match(r"base +(.*?)  ", line) for line in table if line.startswith("base ")]
        assert found is not None
        return found[1]

    assert state() == "never built (absent)"
    project.good("base")
    assert state("base") == "up to date (absent)"
    assert state("--refresh=base", "base") == "stale (absent)"
    assert state("OPENCV=source", "base") == "stale"
