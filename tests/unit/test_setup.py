"""sconsw and setup/install.py, with a fake Python and a fake host: no test here installs anything."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Stands in for python3: makes a "venv" that holds itself, logs what pip and SCons are asked for.
FAKE_PYTHON = r"""#!/bin/bash
printf '%s|' "$PWD" "$@" >>"$FAKE_LOG"; printf '\n' >>"$FAKE_LOG"
case "$1 ${2-} ${3-}" in
    '-m venv '*) mkdir -p "$3/bin"; : >"$3/pyvenv.cfg"; cp "$0" "$3/bin/python" ;;
    '-m pip '*) case ${FAKE_PIP-} in
        kill) kill -9 "$PPID" ;;
        fail) exit 1 ;;
        slow) sleep 0.5 ;;
        esac ;;
    *install.py*) [[ ${FAKE_SETUP-} != fail ]] ;;
esac
"""


class Project:
    """A checkout with sconsw in a path with spaces, and what the fake Python was asked for."""

    def __init__(self, place: Path) -> None:
        self.root = place / "a project"
        (self.root / "sub dir").mkdir(parents=True)
        (self.root / "bin").mkdir()
        shutil.copy2(ROOT / "sconsw", self.root / "sconsw")
        for name in ("requirements", "requirements-dev"):
            (self.root / f"{name}.txt").write_text(f"{name}==1\n")
        python = self.root / "bin" / "python3"
        python.write_text(FAKE_PYTHON)
        python.chmod(0o755)
        self.log = place / "log"

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["../sconsw", *words],
            cwd=self.root / "sub dir",
            env={"PATH": f"{self.root}/bin:/usr/bin:/bin", "FAKE_LOG": str(self.log), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, **environment: str) -> tuple[int, str]:
        process = self.start(*words, **environment)
        output, _ = process.communicate()
        return process.returncode, output

    def asked(self) -> list[str]:
        """What was asked since the last call, by its purpose."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.write_text("")
        purposes = []
        for line in lines:
            words = line.split("|")
            if "pip" in words:
                assert "--require-hashes" in words
                purposes.append(next(Path(word).stem for word in words if word.endswith(".txt")))
            elif "SCons" in words:
                purposes.append("|".join(["SCons", words[0], *words[words.index("SCons") + 1 : -1]]))
            elif any(word.endswith("install.py") for word in words):
                purposes.append("setup")
            elif "venv" in words:
                purposes.append("venv")
        return purposes


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_second_run_only_runs_scons(project: Project) -> None:
    scons = f"SCons|{project.root}/sub dir|-n|a b|$(touch x)|"
    assert project.run("-n", "a b", "$(touch x)", "")[0] == 0
    assert project.asked() == ["venv", "requirements", scons]
    assert project.run("-n", "a b", "$(touch x)", "") == (0, "")
    assert project.asked() == [scons]


def test_changed_requirements_make_it_anew(project: Project) -> None:
    project.run()
    (project.root / ".venv" / "left over").touch()
    (project.root / "requirements.txt").write_text("requirements==2\n")
    project.asked()
    assert project.run()[0] == 0
    assert project.asked()[:2] == ["venv", "requirements"]
    assert not (project.root / ".venv" / "left over").exists()


@pytest.mark.parametrize("how", ["kill", "fail"])
def test_an_install_that_ended_early_never_looks_whole(project: Project, how: str) -> None:
    status, output = project.run(FAKE_PIP=how)
    assert status != 0
    assert how == "kill" or "pip could not install" in output
    assert not any(line.startswith("SCons") for line in project.asked())
    assert project.run()[0] == 0
    assert project.asked()[:2] == ["venv", "requirements"]


def test_two_at_once_install_once(project: Project) -> None:
    started = [project.start(FAKE_PIP="slow") for _ in range(3)]
    assert [process.communicate() and process.returncode for process in started] == [0, 0, 0]
    asked = project.asked()
    assert asked.count("venv") == asked.count("requirements") == 1
    assert sum(line.startswith("SCons") for line in asked) == 3


@pytest.mark.parametrize("word", ["test", "test-all", "docs"])
def test_tests_and_pages_need_more(project: Project, word: str) -> None:
    project.run()
    project.asked()
    project.run("-j2", word)
    assert project.asked() == ["requirements-dev", f"SCons|{project.root}/sub dir|-j2|{word}"]
    project.run(word)
    assert project.asked() == [f"SCons|{project.root}/sub dir|{word}"]


def test_setup_is_the_first_word_only(project: Project) -> None:
    project.run("setup", "sdk")
    assert project.asked() == ["setup", "venv", "requirements", f"SCons|{project.root}/sub dir|sdk"]
    project.run("setup")
    assert project.asked() == ["setup"]
    project.run("sdk", "setup")
    assert project.asked() == [f"SCons|{project.root}/sub dir|sdk|setup"]


def test_a_failed_setup_ends_it(project: Project) -> None:
    assert project.run("setup", "sdk", FAKE_SETUP="fail")[0] == 1
    assert project.asked() == ["setup"]


def test_a_venv_of_somebody_else_is_left_alone(project: Project) -> None:
    (project.root / ".venv").mkdir()
    (project.root / ".venv" / "pyvenv.cfg").write_text("mine\n")
    status, output = project.run()
    assert status == 1
    assert "was not made by sconsw" in output and "hint: " in output
    assert (project.root / ".venv" / "pyvenv.cfg").read_text() == "mine\n"


def test_half_a_removal_does_not_stand_in_the_way(project: Project) -> None:
    (project.root / ".venv" / "lib").mkdir(parents=True)
    assert project.run()[0] == 0


# --- setup/install.py -----------------------------------------------------------------------------------------------


@pytest.fixture
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_install", ROOT / "setup" / "install.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["setup_install"] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


class Host:
    """A pretended machine: which packages it has, what apt-get was asked for."""

    def __init__(self, module: ModuleType, patch: pytest.MonkeyPatch, lacks: set[str]) -> None:
        self.lacks = lacks
        self.calls: list[tuple[str, ...]] = []
        self.fail_first = False
        patch.setattr(module, "is_there", lambda package: package.name not in self.lacks)
        patch.setattr(module, "fault", lambda arch, cpu: "")
        patch.setattr(module, "knows_candidates", lambda names: True)
        patch.setattr(module, "find_program", lambda name: f"/usr/bin/{name}")
        patch.setattr(module, "apt", self.apt)
        patch.setattr(os, "geteuid", lambda: 0)

    def apt(self, *words: str) -> bool:
        self.calls.append(words)
        if words[0] == "install":
            if self.fail_first:
                self.fail_first = False
                return False
            self.lacks -= set(words)
        return True


def test_a_ready_machine_is_not_changed(install: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(install, monkeypatch, set())
    assert install.main() == 0
    assert host.calls == []


def test_only_what_is_missing_is_installed(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Host(install, monkeypatch, {"buildah", "crun"})
    assert install.main() == 0
    assert host.calls == [("install", "--no-remove", "--no-install-recommends", "--", "buildah", "crun")]
    shown = capsys.readouterr().out
    assert "setup: buildah: installed" in shown
    assert "setup: podman: there" in shown


def test_apt_asks_nothing_and_upgrades_nothing(install: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    called: dict[str, object] = {}

    def run(command: list[str], **given: object) -> subprocess.CompletedProcess[str]:
        called.update(given, command=command)
        return subprocess.CompletedProcess(command, 100)

    monkeypatch.setattr(subprocess, "run", run)
    assert not install.apt("install", "--", "runc")
    command = called["command"]
    assert isinstance(command, list) and command[0] == "apt-get" and command[-3:] == ["install", "--", "runc"]
    assert "--yes" in command and called["stdin"] == subprocess.DEVNULL
    assert "APT::Get::Upgrade-By-Source-Package=false" in command
    environment = called["env"]
    assert isinstance(environment, dict) and environment["DEBIAN_FRONTEND"] == "noninteractive"


def test_outdated_package_lists_are_read_again(install: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(install, monkeypatch, {"runc"})
    host.fail_first = True
    assert install.main() == 0
    assert [words[0] for words in host.calls] == ["install", "update", "install"]


def test_lists_are_read_first_when_they_lack_a_package(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(install, monkeypatch, {"runc"})
    monkeypatch.setattr(install, "knows_candidates", lambda names: False)
    assert install.main() == 0
    assert [words[0] for words in host.calls] == ["update", "install"]


def test_who_is_not_root_is_told_the_command(install: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(install, monkeypatch, {"runc", "crun"})
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(install.SetupError, match=r"(?s)runc, crun.*hint: run: sudo .*install\.py"):
        install.main()
    assert host.calls == []


def test_a_package_that_brings_nothing_is_an_error(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(install, monkeypatch, {"runc"})
    monkeypatch.setattr(host, "apt", lambda *words: True)
    monkeypatch.setattr(install, "apt", host.apt)
    with pytest.raises(install.SetupError, match="brought none of runc"):
        install.main()


GOOD = "enabled\ninterpreter /bin/sh\nflags: POCF\noffset 0\nmagic 7f45\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD, ""),
        (GOOD.replace("enabled", "disabled"), "is disabled"),
        (GOOD.replace("/bin/sh", "/nothing"), "is not there"),
        (GOOD.replace("POCF", "POC"), "lacks the flag F"),
        ("", "no handler"),
    ],
)
def test_emulators_are_verified(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, said: str
) -> None:
    monkeypatch.setattr(install, "BINFMT", tmp_path)
    monkeypatch.setattr(install, "find_program", lambda name: None)
    if text:
        (tmp_path / "qemu-other").write_text(text)
    found = install.fault("other", "other")
    assert said in found if said else found == ""


def test_an_emulator_that_does_not_work_is_an_error(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    Host(install, monkeypatch, set())
    switched: list[str] = []
    monkeypatch.setattr(install, "fault", lambda arch, cpu: "it does not" if arch == "riscv64" else "")
    monkeypatch.setattr(install, "switch_on", switched.append)
    with pytest.raises(install.SetupError, match="riscv64 programs do not run: it does not"):
        install.main()
    assert switched == ["riscv64"]
