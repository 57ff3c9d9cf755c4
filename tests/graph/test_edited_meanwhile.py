"""Files that change during a run: what was signed is what is built, and the end of the run says what is stale now."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .project import Project
from .runner import finish, wait_until


def edit_during(project: Project, node: str, edit: Callable[[], object], *words: str) -> tuple[int, str]:
    """Run scons and edit while ``node`` is built; exit status and output."""
    project.engine.switch("hold", node)
    process = project.start(*words)
    wait_until(lambda: node in project.engine.built(), process)
    edit()
    project.engine.unset("hold", node)
    text = finish(process)
    return process.returncode, text


@pytest.mark.parametrize(
    "name", ["scripts/check.sh", "Dockerfile.compiler", "Dockerfile.compiler.dockerignore"]
)
def test_edit_of_an_input_of_the_running_node(built: Project, name: str) -> None:
    """The engine goes on with what was signed, so its work is kept; the run's end says what is stale now."""
    built.write("scripts/check.sh", "first\n")
    before = built.record("compiler")
    path = built.path / name
    text = path.read_text() if path.exists() else ""
    rc, said = edit_during(built, "compiler", lambda: built.write(name, f"# x\n{text}"))
    assert rc == 2, said
    assert "[stale-after-run]" in said
    assert name in said
    kept = built.record("compiler")
    assert kept["signature"] != before["signature"]
    assert "compiler" in built.builds() or name != "scripts/check.sh"
    built.is_quiet()
    # What was recorded is what a quiet run makes of the first text.
    path.write_text(text) if text else path.unlink()
    built.good("--refresh=compiler", "compiler")
    assert {**built.record("compiler"), **TIMES} == {**kept, **TIMES, "reasons": built.record("compiler")["reasons"]}


@pytest.mark.parametrize("name", ["versions.env", "profiles/source.env"])
def test_edit_of_the_versions_during_a_run(built: Project, name: str) -> None:
    """No input of a node says that a variable was added, so the files themselves are looked at again."""
    built.write("scripts/check.sh", "first\n")
    built.write("profiles/source.env", "GCC_PROVIDER=distro\n")
    words = ("PROFILE=source",) if name.startswith("profiles") else ()
    path = built.path / name
    rc, said = edit_during(built, "compiler", lambda: path.write_text(f"# x\n{path.read_text()}"), *words)
    assert rc == 2, said
    assert f"{name} was edited during the run [stale-after-run]" in said
    built.is_quiet(*words)


#: What differs in two records of the same work.
TIMES: dict[str, object] = {"when": "", "seconds": 0, "log": ""}


@pytest.mark.parametrize("name", ["scripts/check.sh", "Dockerfile.compiler"])
def test_edit_of_an_input_that_is_taken_back(built: Project, name: str) -> None:
    """What the engine read was a copy, so nothing is stale and nothing has to be built again."""
    built.write("scripts/check.sh", "first\n")
    text = (built.path / name).read_text()

    def edit_and_undo() -> None:
        built.write(name, "second\n")
        built.write(name, text)

    before = built.record("compiler")
    rc, said = edit_during(built, "compiler", edit_and_undo)
    assert rc == 0, said
    assert built.record("compiler")["content_id"] != before["content_id"]
    built.is_quiet()


def test_file_that_comes_and_goes_in_a_taken_directory(built: Project) -> None:
    """An editor's swap file is in no signature, so it is in no image."""
    built.write("patches/a.patch", "other\n")
    swap = built.path / "patches" / ".a.patch.swp"
    rc, said = edit_during(built, "compiler:gcc", lambda: swap.write_text("half a thought"))
    assert rc == 2 and "patches/.a.patch.swp" in said, said
    swap.unlink()
    built.is_quiet()
    content = built.record("compiler:gcc")["content_id"]
    built.good("--refresh=compiler:gcc", "compiler:gcc")
    assert built.record("compiler:gcc")["content_id"] == content


def test_edit_of_a_node_that_was_judged_before(built: Project) -> None:
    """The run itself was right at its time; its end says that it is not any more."""
    built.write("scripts/build.sh", "other\n")
    rc, said = edit_during(built, "sdk-arm64:glslang", lambda: built.write("scripts/base.sh", "other\n"))
    assert rc == 2, said
    assert "[stale-after-run]" in said
    assert "scripts/base.sh changed" in said
    assert "base" in built.builds()
    built.is_quiet()


def test_edit_of_a_later_node(built: Project) -> None:
    """A node at its turn is signed again, so an edit before it is simply taken in."""
    built.write("scripts/check.sh", "other\n")
    rc, said = edit_during(built, "compiler", lambda: built.write("scripts/build.sh", "other\n"))
    assert rc == 0, said
    built.is_quiet()


def test_export_damaged_during_the_run(built: Project) -> None:
    built.write("scripts/build.sh", "other\n")
    edit = lambda: (built.export("riscv64") / "artifact.env").write_text("")
    rc, said = edit_during(built, "sdk-arm64:glslang", edit, "-j1")
    assert rc in (0, 2), said
    built.good()
    built.is_quiet()
