"""Runs that build: order, parallel work, failures, logs, what is shown."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from stagegraph.records import read

from .project import EVERYTHING, EXPORTS, Project
from .runner import finish, wait_until

# Failures --------------------------------------------------------------------------------------------------------


def test_failure_shows_all_that_is_needed(project: Project) -> None:
    project.engine.switch("fail", "compiler:clang", "E: no such package")
    result = project.scons()
    assert result.rc == 2
    log = next(path for path in project.logs() if path.name == "compiler.clang.log")
    text = result.stdout
    assert "FAILED     compiler:clang" in text
    assert (
        "  | Error: E: no such package\n" in text.replace("\n  | ", "\n  | ") or "E: no such package" in text
    )
    assert f"  log: {log.relative_to(project.path)}\n" in text
    assert "the command was: fake-engine build" in text
    assert "compiler:clang: never built" in text
    assert "E: no such package" in log.read_text()
    assert re.search(r"^\d+ built, .*1 failed, \d+ not tried in", text, re.MULTILINE), text
    assert "\n  failed    compiler:clang\n" in text
    assert "\n  not tried sdk-arm64\n" in text


def test_fix_continues_where_it_failed(project: Project) -> None:
    project.engine.switch("fail", "compiler:clang", "no")
    project.scons()
    first = project.done() - {"compiler:clang"}
    assert "compiler:gcc" in first
    project.engine.unset("fail", "compiler:clang")
    assert project.builds() == EVERYTHING - first
    project.is_quiet()


def test_keep_going(project: Project) -> None:
    project.engine.switch("fail", "sdk-arm64:glslang", "no")
    result = project.scons("-k")
    assert result.rc == 2
    assert project.done() == EVERYTHING - {"sdk-arm64", "export:sdk-arm64"}
    assert "10 built, 1 exported, 1 failed, 2 not tried" in result.stdout, result.text
    assert "  not tried out/linux-sdk/arm64\n" in result.stdout
    assert project.scons("-q").rc == 1
    project.engine.unset("fail", "sdk-arm64:glslang")
    assert project.builds() == {"sdk-arm64:glslang", "sdk-arm64", "export:sdk-arm64"}


@pytest.mark.parametrize("jobs", ["-j1", "-j3"])
def test_failed_rebuild_keeps_the_old_record_stale(built: Project, jobs: str) -> None:
    before = built.record("compiler")
    built.write("scripts/check.sh", "broken\n")
    built.engine.switch("fail", "compiler", "no")
    assert built.scons(jobs).rc == 2
    assert built.record("compiler") == before
    assert built.scons("-q").rc == 1
    built.write("scripts/check.sh", (built.path / "scripts/base.sh").read_text().replace("base", "check"))
    built.is_quiet()


def test_failure_of_a_restored_parent(built: Project) -> None:
    built.remove_image("compiler")
    built.write("scripts/build.sh", "other\n")
    built.engine.switch("fail", "compiler", "no")
    result = built.scons("sdk-arm64:glslang")
    assert result.rc == 2
    assert "FAILED     compiler" in result.stdout
    built.engine.unset("fail", "compiler")
    assert built.builds("sdk-arm64:glslang") == {"compiler", "sdk-arm64:glslang"}


def test_failing_export(built: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(engine: object, image_id: str, run: str) -> None:
        raise OSError(5, "Input/output error", "/dev/disk")

    monkeypatch.setattr(type(built.engine), "rootfs", broken)
    (built.export() / "artifact.env").unlink()
    (built.export() / "rootfs").rename(built.export() / "gone")
    result = built.fails(code="file-failed")
    assert "'/dev/disk': Input/output error" in result.stdout
    assert "13 up to date, 1 failed in" in result.stdout, result.text


def test_fault_of_the_tool_is_an_error_with_a_right_table(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = type(project.engine).build

    def build(engine: object, request: object, log: object) -> str:
        if request.target == "clang":
            raise ZeroDivisionError("a fault")
        return real(engine, request, log)

    monkeypatch.setattr(type(project.engine), "build", build)
    result = project.scons("-k")
    assert result.rc == 2
    assert "FAILED     compiler:clang\n" in result.stdout
    assert "ZeroDivisionError('a fault')" in result.stdout
    assert "3 built, 1 failed, 10 not tried" in result.stdout, result.text
    monkeypatch.undo()
    project.good()
    project.is_quiet()


def test_ignoring_errors_does_not_hide_them(project: Project) -> None:
    """``scons -i`` goes on after errors; what stands on a failed node is not built on its old image."""
    for stale in (False, True):
        if stale:
            project.replace("Dockerfile.compiler", "build-clang", "build-clang-2")
        project.engine.switch("fail", "compiler:clang", "no")
        result = project.scons("-i")
        assert "FAILED     compiler:clang" in result.stdout
        assert "compiler stands on compiler:clang, which failed [parent-failed]" in result.stdout
        assert "Traceback" not in result.text
        assert "compiler" not in project.done()
        assert project.scons("-q").rc == 1
        project.engine.unset("fail", "compiler:clang")
        project.good()
        project.is_quiet()


# Parallel --------------------------------------------------------------------------------------------------------


def test_parallel_builds_everything_once(project: Project) -> None:
    assert project.builds("-j3") == EVERYTHING
    project.is_quiet("-j3")


def test_parallel_and_serial_give_the_same(project: Project, built: Project) -> None:
    project.good("-j4")
    assert project.contents() == built.contents()


def test_independent_nodes_run_at_once(project: Project) -> None:
    """Both wait for a file that goes only when both have begun."""
    project.good("base")
    for node in ("compiler:gcc", "compiler:clang"):
        project.engine.switch("hold", node)
    process = project.start("-j2")
    wait_until(lambda: set(project.engine.built()) == {"compiler:gcc", "compiler:clang"}, process)
    for node in ("compiler:gcc", "compiler:clang"):
        project.engine.unset("hold", node)
    text = finish(process)
    assert process.returncode == 0, text
    project.is_quiet()


def test_lost_parent_of_two_is_built_once(built: Project) -> None:
    built.remove_image("compiler")
    built.write("scripts/build.sh", "other\n")
    assert "compiler" in built.builds("-j4")  # builds() refuses a node that was built twice
    built.is_quiet()


def test_build_that_starts_alone_gets_all_cpus(project: Project) -> None:
    project.replace("Dockerfile.base", "run /mnt/base.sh", "cp /run/transport /transport")
    project.good("-j3", "base", "http_proxy=http://proxy.test/")
    told = dict(
        line.split("=", 1)
        for line in project.engine.tree(project.image("base"))["transport"].data.decode().split()
    )
    assert int(told["JOBS"]) == len(os.sched_getaffinity(0))
    assert int(told["MEMORY_MB"]) >= 256
    assert told["http_proxy"] == "http://proxy.test/"


def test_transport_is_in_no_record_log_or_output(project: Project) -> None:
    secret = "http://user:hush@proxy.test/"
    result = project.good(f"http_proxy={secret}", "-j2")
    assert "hush" not in result.text
    for path in (project.path / "out").rglob("*"):
        assert not path.is_file() or b"hush" not in path.read_bytes(), path
    assert list((project.scratch / "run" / f"stagegraph-{os.getuid()}").glob("2*")) == []
    project.is_quiet()


# Two runs --------------------------------------------------------------------------------------------------------


def test_second_run_in_one_tree_is_refused(built: Project) -> None:
    built.write("scripts/check.sh", "other\n")
    built.engine.switch("hold", "compiler")
    first = built.start()
    wait_until(lambda: "compiler" in built.engine.built(), first)
    second = built.scons()
    assert second.rc == 2
    assert "[tree-locked]" in second.stderr
    assert f"another run (process {first.pid}) builds into" in second.stderr
    for question in ("-q", "-n", "--why", "--status"):
        assert built.scons(question).rc in (0, 1)
    built.engine.unset("hold", "compiler")
    assert first.wait(60) == 0, finish(first)
    finish(first)
    built.is_quiet()


def test_a_no_op_needs_no_lock(built: Project) -> None:
    built.write("scripts/build.sh", "other\n")
    built.engine.switch("hold", "sdk-arm64:glslang")
    first = built.start()
    wait_until(lambda: "sdk-arm64:glslang" in built.engine.built(), first)
    assert built.scons("compiler").rc == 0
    built.engine.unset("hold", "sdk-arm64:glslang")
    finish(first)


def test_two_checkouts_build_into_one_store(built: Project, place: Path) -> None:
    clone = built.clone(place / "clone")
    built.write("scripts/check.sh", "one\n")
    clone.write("scripts/check.sh", "two\n")
    built.engine.switch("hold", "compiler")
    first, second = built.start(), clone.start()
    wait_until(lambda: built.engine.built().count("compiler") == 2, first)
    built.engine.unset("hold", "compiler")
    assert (finish(first), first.returncode)[1] == 0
    assert (finish(second), second.returncode)[1] == 0
    built.is_quiet()
    clone.is_quiet()
    assert built.contents() != clone.contents()


# What is shown ---------------------------------------------------------------------------------------------------


def test_output_without_a_terminal_is_plain(project: Project) -> None:
    for env in ({}, {"NO_COLOR": "1"}, {"TERM": "xterm", "CLICOLOR_FORCE": "1"}):
        result = project.good("--refresh=base", "base", env=env)
        assert "\x1b" not in result.text
        assert "\r" not in result.text


def test_table_counts(project: Project, place: Path) -> None:
    assert re.search(r"^12 built, 2 exported in [\d.]+ s$", project.good().stdout, re.MULTILINE)
    assert "exported in" not in project.good().stdout
    clone = project.clone(place / "clone")
    clone.write("scripts/build.sh", "other\n")
    text = clone.good("TARGET_ARCH=arm64").stdout
    assert re.search(r"^2 built, 7 adopted, 1 exported in [\d.]+ s$", text, re.MULTILINE), text
    assert re.search(r"^2 built, .*up to date in", clone.good().stdout.replace("adopted, ", ""), re.MULTILINE)


def test_logs_have_a_time_on_each_line_of_the_engine_and_a_folder_a_run(project: Project) -> None:
    project.good("base")
    project.good("compiler")
    folders = {path.parent for path in project.logs()}
    assert len(folders) == 2
    assert all(re.fullmatch(r"\d{8}T\d{6}Z-\d+", folder.name) for folder in folders)
    assert project.record("base")["log"] in {str(path.relative_to(project.path)) for path in project.logs()}


@pytest.mark.parametrize("kind", ["relative", "absolute", "environment"])
def test_log_dir(project: Project, kind: str) -> None:
    where = str(project.path / "deep" / "logs") if kind == "absolute" else "deep/logs"
    words, env = ([], {"LOG_DIR": where}) if kind == "environment" else ([f"LOG_DIR={where}"], {})
    project.good(*words, "base", env=env)
    names = {path.name for path in (project.path / "deep" / "logs").iterdir()}
    assert names == {"bootstrap-amd64.log", "base.log"}
    assert not (project.path / "out" / "logs").exists()
    project.is_quiet("base")


def test_record_says_what_was_done(project: Project) -> None:
    project.good("compiler:gcc")
    record = read(str(project.record_path("compiler:gcc")))
    assert record is not None
    assert record.how == "built"
    assert record.ledger["variables"] == {"GCC_VERSION": "14", "GCC_PROVIDER": "distro"}
    assert set(record.ledger["files"]) == {
        "patches",
        "patches/a.patch",
        "patches/deep",
        "patches/deep/b.patch",
    }
    assert record.ledger["parents"] == {"BASE_IMAGE": project.record("base")["content_id"]}
    assert record.engine == "fake"


def test_quiet_scons(built: Project) -> None:
    built.write("scripts/build.sh", "other\n")
    text = built.good("-s").stdout
    assert "scons:" not in text
    assert built.done() >= EXPORTS
