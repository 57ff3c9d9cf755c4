"""Questions: -n, -q, --why, --status, --plan, --list-targets, --refresh. They touch nothing and tell the truth."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from .project import EVERYTHING, EXPORTS, PER_ARCH, ROOT, SHARED, Project

QUESTIONS = ("-n", "-q", "--why", "--status", "--plan", "--list-targets", "-n -j3", "-n --verify", "-c -n")


def commands(text: str) -> dict[str, list[str]]:
    """Node → the command that a dry run printed for it."""
    found = {}
    for line in text.splitlines():
        if line.startswith("fake-engine build"):
            argv = shlex.split(line)
            (node,) = [word.split("=", 1)[1] for word in argv if word.startswith("stagegraph.node=")]
            found[node] = argv
    return found


def without_paths(argv: list[str]) -> list[str]:
    """A command without what belongs to one run: the place of the transport settings, the file of the image id."""
    words = [re.sub(r"^(id=transport,src=).*", r"\1", word) for word in argv]
    if "--iidfile" in words:
        place = words.index("--iidfile")
        del words[place : place + 2]
    return words


# Nothing is touched --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", QUESTIONS)
def test_question_touches_nothing_in_a_fresh_checkout(project: Project, question: str) -> None:
    before = project.snapshot()
    result = project.scons(*question.split())
    assert result.rc in (0, 1), result.text
    assert "Traceback" not in result.text
    assert project.snapshot() == before
    assert list((project.scratch / "run").iterdir()) == []
    assert {line["op"] for line in project.engine.journal()} <= {"images", "inspect"}


@pytest.mark.parametrize("question", QUESTIONS)
def test_question_touches_nothing_in_a_stale_checkout(built: Project, question: str) -> None:
    built.write("scripts/check.sh", "other\n")
    shutil.rmtree(built.export() / "rootfs")
    built.record_path("sdk:sources").write_text("{")
    before, images = built.snapshot(), built.engine.images()
    built.scons(*question.split())
    assert built.snapshot() == before
    assert built.engine.images() == images


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("state", ["fresh", "built", "stale"])
def test_question_needs_no_engine(built: Project, question: str, state: str) -> None:
    if state == "fresh":
        shutil.rmtree(built.path / "out")
    elif state == "stale":
        built.write("scripts/check.sh", "other\n")
    built.engine.switch("down", "")
    result = built.scons(*question.split())
    assert result.rc == (1 if question == "-q" and state != "built" else 0), result.text
    assert "Traceback" not in result.text
    if question.startswith("-n"):
        shown = set(commands(result.stdout))
        assert shown == {"fresh": EVERYTHING - EXPORTS - ROOT, "built": set(), "stale": shown}[state]
        assert ("compiler" in shown) == (state != "built")
    if question == "-n" and state == "fresh":
        assert "note: no engine was asked what its store holds: the fake engine is down" in result.stderr


def test_engine_that_is_down_is_an_error_when_it_is_needed(built: Project) -> None:
    built.engine.switch("down", "")
    built.good()
    built.write("scripts/check.sh", "other\n")
    built.fails(code="engine-failed")


def test_no_op_asks_the_engine_at_most_once(built: Project) -> None:
    built.good()
    assert built.engine.journal() == []
    built.good("sdk-arm64")
    # Twice here: a real engine's proof that it works is the list itself, the fake one's is a question of its own.
    assert [line["op"] for line in built.engine.journal()] == ["images", "images"]


# -n ------------------------------------------------------------------------------------------------------------


def test_printed_commands_are_those_that_run(built: Project) -> None:
    built.write("scripts/check.sh", "other\n")
    printed = commands(built.good("-n", "compiler").stdout)
    assert list(printed) == ["compiler"]
    built.good("compiler")
    run = {str(line["node"]): line["argv"] for line in built.engine.journal("build")}
    assert {node: without_paths(argv) for node, argv in printed.items()} == {
        node: without_paths(argv) for node, argv in run.items()
    }


def test_printed_commands_of_a_cold_build(project: Project) -> None:
    """Only the root is certain; what follows is shown with placeholders in the place of ids."""
    text = project.good("-n").stdout
    ready, waiting = text.split("# the following wait for images above")
    assert "# bootstrap-amd64: never built" in ready
    assert not commands(ready)
    printed = commands(waiting)
    assert set(printed) == EVERYTHING - EXPORTS - ROOT
    assert "BASE_IMAGE=<image of bootstrap-amd64>" in printed["base"]
    assert "sources=docker-image://<image of sdk:sources>" in printed["sdk-arm64:glslang"]
    assert "stagegraph.signature=<signature of compiler>" in printed["compiler"]
    assert "conditional" not in text
    assert "# out/linux-sdk/arm64: exports the root file system of sdk-arm64 to out/linux-sdk/arm64" in text


def test_followers_are_marked_conditional(built: Project) -> None:
    built.write("scripts/check.sh", "other\n")
    text = built.good("-n").stdout
    ready, waiting = text.split("# the following wait for images above")
    assert "# compiler: scripts/check.sh changed" in ready
    for node in ("sdk:sources", *PER_ARCH):
        assert f"# {node}: conditional, only if a parent changes: stands on" in waiting
    assert "# out/linux-sdk/arm64: conditional" in waiting
    assert "BASE_IMAGE=<image of compiler>" in commands(waiting)["sdk:sources"]


def test_stale_follower_is_not_conditional(built: Project) -> None:
    built.write("scripts/check.sh", "other\n")
    built.write("scripts/build.sh", "other\n")
    waiting = built.good("-n").stdout.split("# the following wait for images above")[1]
    assert "# sdk-arm64:glslang: scripts/build.sh changed\n" in waiting
    assert "# sdk-arm64:spirv: conditional" in waiting


def test_dry_run_of_a_clone_names_the_images_it_would_adopt(built: Project, place: Path) -> None:
    clone = built.clone(place / "clone")
    clone.write("scripts/build.sh", "other\n")
    text = clone.good("-n").stdout
    ready = text.split("# the following wait")[0]
    argv = commands(ready)["sdk-arm64:glslang"]
    assert f"BASE_IMAGE={built.image('compiler')}" in argv
    assert f"sources=docker-image://{built.image('sdk:sources')}" in argv


def test_dry_run_quotes_for_a_shell(project: Project) -> None:
    project.replace(
        "SConstruct", "parent=compiler, ", 'parent=compiler, values={"SPIRV_VERSION": "a b\'$(x)"}, '
    )
    argv = commands(project.good("-n", "sdk-arm64:spirv").stdout)["sdk-arm64:spirv"]
    assert "SPIRV_VERSION=a b'$(x)" in argv


# -q ------------------------------------------------------------------------------------------------------------


def test_question_mode(built: Project, place: Path) -> None:
    assert built.scons("-q").rc == 0
    assert built.scons("-q", "out/linux-sdk/arm64").rc == 0
    built.write("scripts/build.sh", "other\n")
    assert built.scons("-q").rc == 1
    assert built.scons("-q", "compiler").rc == 0
    assert built.scons("-q", "sdk-riscv64:glslang").rc == 1
    assert built.scons("-q", "sdk-riscv64:spirv").rc == 0
    assert built.clone(place / "clone").scons("-q", "base").rc == 1  # it has to be adopted
    assert built.scons("-q", "nothing").rc == 2


# --why ---------------------------------------------------------------------------------------------------------


def test_why_shows_old_and_new_values(built: Project) -> None:
    for name in ("versions.env", "Dockerfile.compiler"):
        built.replace(name, "LLVM_RELEASE=22", "LLVM_RELEASE=23")
    built.replace("Dockerfile.sdk", "RUN finish", "RUN end")
    text = built.good("--why").stdout
    assert (
        "compiler:clang: has to be built\n"
        "    LLVM_RELEASE 22 → 23\n"
        "        old: 22\n"
        "        new: 23\n"
        "    drags along, if its content changes: compiler, sdk:sources, sdk-arm64:glslang" in text
    )
    assert (
        "sdk-arm64: has to be built\n"
        "    the Dockerfile's RUN instruction changed\n"
        "        old: RUN finish\n"
        "        new: RUN end\n" in text
    )
    assert "sdk-arm64:spirv: " not in text


def test_why_names_files(built: Project) -> None:
    os.chmod(built.path / "scripts/base.sh", 0o755)
    built.write("patches/a.patch", "other\n")
    built.write("patches/new", "n\n")
    (built.path / "patches/deep/b.patch").unlink()
    text = built.good("--why", "compiler").stdout
    assert "scripts/base.sh mode 644 → 755" in text
    assert "patches/a.patch changed" in text
    assert "patches/new is new" in text
    assert "patches/deep/b.patch was removed" in text


def test_why_of_what_is_up_to_date(built: Project) -> None:
    assert "sdk-arm64: up to date, nothing to explain" in built.good("--why", "sdk-arm64").stdout


def test_reasons_are_recorded_and_logged(built: Project) -> None:
    built.write("scripts/base.sh", "other\n")
    result = built.good()
    assert "build      base: scripts/base.sh changed" in result.stdout
    assert built.record("base")["reasons"] == ["scripts/base.sh changed"]
    assert built.record("compiler:gcc")["reasons"] == ["parent base changed"]
    log = next(path for path in built.logs() if path.name == "base.log" and "changed" in path.read_text())
    assert log.read_text().startswith("# base: scripts/base.sh changed\n")


def test_every_rebuild_has_a_reason(built: Project) -> None:
    """The second law: in every run, each node that is worked on prints why."""
    for edit in ("scripts/base.sh", "patches/a.patch"):
        built.write(edit, f"{edit} other\n")
        text = built.good().stdout
        for node in built.engine.built():
            assert re.search(rf"build +{re.escape(node)}: \S+", text), (node, text)


# --status, --plan, --list-targets --------------------------------------------------------------------------------


def states(text: str) -> dict[str, str]:
    """Node → state, from the table of --status."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"(\S+) +(up to date|stale|missing|never built|conditional|adoptable) ", line)
        if match:
            found[match[1]] = match[2]
    return found


NAMES = {name.replace("export:sdk-", "out/linux-sdk/") for name in EVERYTHING}


def test_status(built: Project, place: Path) -> None:
    assert states(built.good("--status").stdout) == dict.fromkeys(NAMES, "up to date")
    assert re.search(
        r"^base +up to date +\d+ min +\d+ \S?B +[\d.]+ s$", built.good("--status").stdout, re.MULTILINE
    )
    assert set(states(built.good("--status", "compiler").stdout)) == ROOT | {"base"} | SHARED - {
        "sdk:sources"
    }
    clone = built.clone(place / "clone")
    assert states(clone.good("--status").stdout)["base"] == "adoptable"
    built.remove_image("bootstrap-amd64")
    built.write("scripts/check.sh", "other\n")
    (built.record_path("sdk-arm64:spirv")).unlink()
    found = states(built.good("--status").stdout)
    assert found["bootstrap-amd64"] == "missing"
    assert found["base"] == "up to date"
    assert found["compiler"] == "stale"
    assert found["sdk:sources"] == "conditional"
    assert found["sdk-arm64:spirv"] == "never built"


def test_plan(built: Project) -> None:
    assert "nothing to do" in built.good("--plan").stdout
    path = built.record_path("compiler")
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "seconds": 3600}))
    built.write("scripts/check.sh", "other\n")
    text = built.good("--plan", "-j2").stdout
    assert re.search(r"^build +compiler +1 h 0 min$", text, re.MULTILINE)
    assert re.search(r"^conditional +sdk-arm64:spirv", text, re.MULTILINE)
    assert re.search(r"nodes.*: 1 h 0 min of work, about 1 h 0 min at -j2", text), text


def test_plan_of_a_fresh_checkout(project: Project) -> None:
    text = project.good("--plan").stdout
    assert f"{len(EVERYTHING)} nodes, {len(EVERYTHING)} of them never timed" in text


def test_list_targets(project: Project) -> None:
    words = {
        line.split()[0] for line in project.good("--list-targets").stdout.splitlines() if "scons" not in line
    }
    nodes = EVERYTHING - EXPORTS
    exports = {"out/linux-sdk/arm64", "out/linux-sdk/riscv64"}
    assert words == nodes | {"bootstrap", "sdk"} | exports
    for word in sorted(words):
        assert project.scons("-n", word).rc == 0, word


# --refresh -----------------------------------------------------------------------------------------------------


def test_refresh_builds_one_node_again(built: Project) -> None:
    result = built.good("--refresh=compiler:clang")
    assert built.done() == {"compiler:clang"}
    assert "build      compiler:clang: --refresh was given for it" in result.stdout
    built.is_quiet()


def test_refresh_of_a_stage_word(built: Project) -> None:
    assert built.builds("--refresh=sdk") == {"sdk-arm64", "sdk-riscv64"}


def test_refresh_of_several(built: Project) -> None:
    assert built.builds("--refresh=base", "--refresh=sdk-arm64:spirv") == {"base", "sdk-arm64:spirv"}


def test_refresh_with_new_content_drags_followers_along(built: Project) -> None:
    built.engine.switch("constant", "compiler", "newer packages")
    assert built.builds("--refresh=compiler") == {"compiler", "sdk:sources"} | PER_ARCH | EXPORTS
    built.is_quiet()


def test_refresh_of_an_unknown_node(built: Project) -> None:
    result = built.fails("--refresh=compilr", code="target-unknown")
    assert "did you mean compiler" in result.stderr


def test_refresh_of_a_node_outside_the_targets(built: Project) -> None:
    """Nothing of that name would be built, so the user is told instead of believing it was."""
    built.fails("--refresh=sdk-riscv64", "sdk-arm64", code="refresh-outside")


def test_refresh_is_shown_by_questions(built: Project) -> None:
    assert built.scons("-q", "--refresh=base").rc == 1
    assert (
        "base: has to be built\n    --refresh was given for it"
        in built.good("--why", "--refresh=base").stdout
    )
    assert set(commands(built.good("-n", "--refresh=base", "base").stdout)) == {"base"}


def test_refresh_of_an_export(built: Project) -> None:
    assert built.builds("--refresh=out/linux-sdk/arm64") == {"export:sdk-arm64"}


def test_failed_refresh_is_not_forgotten_silently(built: Project) -> None:
    """The old image stands after a failed refresh: it is right, so nothing is stale."""
    built.engine.switch("fail", "base", "no such package")
    assert built.scons("--refresh=base").rc == 2
    built.is_quiet()


def test_refresh_builds_what_could_be_adopted(built: Project, place: Path) -> None:
    clone = built.clone(place / "clone")
    assert clone.builds("--refresh=base", "base") == {"base"}


@pytest.mark.parametrize("question", [("-n",), ("-q",), ("--why",), ("--status",), ("--plan",), ("-n", "gc")])
def test_question_about_a_store_that_is_not_there_makes_none(
    project: Project, place: Path, question: tuple[str, ...]
) -> None:
    before = project.snapshot()
    result = project.scons(*question, f"--store={place}/none")
    assert result.rc in (0, 1) and "Traceback" not in result.stderr, result.text
    # To show its commands -n makes the engine's object, by which the fake one, unlike real ones, makes directories.
    assert not (place / "none").exists() or (question == ("-n",) and not (place / "none" / "root" / "journal").exists())
    assert project.snapshot() == before


def test_help_opens_no_run(project: Project) -> None:
    before = project.snapshot()
    assert "--check-reproducible" in project.good("-h").stdout
    assert project.snapshot() == before
    assert project.engine.journal() == []


@pytest.mark.parametrize("question", ["--why", "--status", "--plan"])
def test_question_and_cleaning_do_not_go_together(built: Project, question: str) -> None:
    built.fails("-c", question, "out/linux-sdk/arm64", code="command-words")
    assert (built.export() / "artifact.env").exists()


def test_plan_knows_how_long_adopted_images_took(built: Project, place: Path) -> None:
    clone = built.clone(place / "clone")
    clone.good("compiler")
    clone.write("patches/a.patch", "other\n")
    (line,) = [line for line in clone.good("--plan", "compiler").stdout.splitlines() if "compiler:gcc" in line]
    assert "not known yet" not in line


def test_dry_run_shows_how_a_root_is_made(project: Project) -> None:
    text = project.good("-n", "bootstrap", env={"ROOT_IMAGE": ""}).stdout
    (line,) = [line for line in text.splitlines() if not line.startswith(("#", "scons:"))]
    assert line.startswith("env SOURCE_DATE_EPOCH=") and " mmdebstrap --architectures=amd64 " in line
    assert line.endswith(" stable root.tar")


def test_log_dir_keeps_what_another_run_wrote(project: Project) -> None:
    project.good("LOG_DIR=logs", "base")
    project.good("LOG_DIR=logs", "--refresh=base", "base")
    text = (project.path / "logs" / "base.log").read_text()
    assert "# base: never built" in text and "# base: --refresh was given for it" in text
