"""The choice of an engine and the words it is called with; what engines do is in tests/contract."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stagegraph.engines import detect
from stagegraph.engines.base import Engine, EngineOptions
from stagegraph.engines.buildah import Buildah
from stagegraph.engines.podman import Podman
from stagegraph.errors import UserError
from stagegraph.model import BuildRequest

REQUEST = BuildRequest(
    context="/project",
    dockerfile="linux/Dockerfile.sdk",
    target="glslang",
    platform="linux/amd64",
    build_args={"TARGET_ARCH": "arm64", "BASE_IMAGE": "sha256:" + "1" * 64},
    contexts={"sources": "sha256:" + "2" * 64},
    labels={"stagegraph.node": "sdk-arm64:glslang"},
    timestamp=7,
    secret="/run/x/transport",
    iidfile="/run/x/iid",
)

#: What a program on PATH does, by its name: the output for ``images`` and its status.
Program = Callable[[str, str], Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Puts programs on an otherwise almost empty PATH; each call is noted in a file ``calls``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, body: str) -> Path:
        path = folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> "{tmp_path}/calls"\n{body}\n')
        path.chmod(0o755)
        return path

    return put


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines()


def test_auto_takes_the_first_that_works(program: Program, tmp_path: Path) -> None:
    program("buildah", "echo 'cannot connect' >&2; exit 125")
    program("podman", "echo '[]'")
    assert detect.choose("auto", EngineOptions()).name == "podman"
    program("buildah", "echo null")
    assert detect.choose("auto", EngineOptions()).name == "buildah"


def test_the_proof_is_the_list_and_one_process(program: Program, tmp_path: Path) -> None:
    image = "sha256:" + "a" * 64
    program("buildah", f"""echo '[{{"id": "{image}", "names": ["localhost/x:1"]}}]'""")
    engine = detect.choose("auto", EngineOptions())
    assert [(known.id, known.names) for known in engine.images()] == [(image, ("localhost/x:1",))]
    assert calls(tmp_path) == ["buildah images --all --json --no-trunc"]
    engine.images()
    assert len(calls(tmp_path)) == 2


def test_when_none_works_the_error_says_why_each_did_not(program: Program) -> None:
    program("podman", "echo 'Error: no space' >&2; exit 125")
    with pytest.raises(UserError) as error:
        detect.choose("auto", EngineOptions())
    assert error.value.code == "engine-none"
    assert "buildah: the engine 'buildah' is not installed" in error.value.message
    assert "podman: 'podman' failed with status 125: Error: no space" in error.value.message
    assert "./sconsw setup" in error.value.hint


@pytest.mark.parametrize(("name", "code"), [("docker", "engine-unknown"), ("buildah", "engine-missing")])
def test_a_named_engine_is_not_replaced_by_another(program: Program, name: str, code: str) -> None:
    program("podman", "echo '[]'")
    with pytest.raises(UserError) as error:
        detect.choose(name, EngineOptions())
    assert error.value.code == code
    assert name in error.value.message


@pytest.mark.parametrize(
    ("kind", "said", "old"),
    [
        ("buildah", "buildah version 1.28.2 (image-spec 1.1.0-rc2)", False),
        ("buildah", "buildah version 1.9.0 (image-spec 1.0)", True),
        ("buildah", "buildah version 1.41.0-dev (image-spec 1.1.1)", False),
        ("podman", "podman version 4.3.1", False),
        ("podman", "podman version 4.10.0", False),
        ("podman", "podman version 3.4.4", True),
        ("podman", "podman version 5.x", True),
    ],
)
def test_versions_are_compared_as_versions(program: Program, kind: str, said: str, old: bool) -> None:
    program(kind, f"echo '{said}'")
    engine: Engine = detect.ENGINES[kind](EngineOptions())
    if not old:
        detect.check_version(engine)
        return
    with pytest.raises(UserError) as error:
        detect.check_version(engine)
    assert error.value.code == "engine-too-old"
    assert said.split()[2] in error.value.message


def test_the_dry_run_needs_no_engine(program: Program, tmp_path: Path) -> None:
    engine = detect.unproven("auto", EngineOptions())
    assert engine.build_argv(REQUEST)[0] == "buildah"
    program("podman", "exit 1")
    assert detect.unproven("auto", EngineOptions()).name == "podman"
    assert not (tmp_path / "calls").exists()


COMMON = [
    *("--isolation", "chroot", "--network", "host"),
    "PULL",
    *("--no-cache", "--layers=false", "--force-rm", "--format", "oci", "--timestamp", "7"),
    *("--identity-label=false", "--http-proxy=false", "--secret", "id=transport,src=/run/x/transport"),
    *("--label", "stagegraph.node=sdk-arm64:glslang", "--platform", "linux/amd64", "--target", "glslang"),
    *("--build-context", f"sources=docker-image://sha256:{'2' * 64}"),
    *("--build-arg", f"BASE_IMAGE=sha256:{'1' * 64}", "--build-arg", "TARGET_ARCH=arm64"),
    *("--iidfile", "/run/x/iid", "-f", "linux/Dockerfile.sdk", "."),
]


def test_the_words_of_a_build() -> None:
    def words(pull: str) -> list[str]:
        return [pull if word == "PULL" else word for word in COMMON]

    assert Buildah().build_argv(REQUEST) == ["buildah", "bud", *words("--pull-never")]
    options = EngineOptions(root="/s/root", runroot="/s/run", driver="vfs")
    store = ["--root", "/s/root", "--runroot", "/s/run", "--storage-driver", "vfs"]
    assert Podman(options).build_argv(REQUEST) == ["podman", *store, "build", *words("--pull=never")]


def test_the_state_of_a_store_lies_at_a_short_path_of_its_own() -> None:
    deep = EngineOptions(root="/deep" * 40)
    one, two = Buildah(deep), Podman(deep)
    assert one.options.runroot == two.options.runroot
    assert len(one.options.runroot) <= 50
    assert Buildah(EngineOptions(root="/other")).options.runroot != one.options.runroot
    assert one.store() == os.path.join(deep.root, "stagegraph")


def failing(times: int, said: str, place: Path) -> str:
    """A build that fails this often with these words, then writes an id."""
    return f"""
        case "$*" in *images*) echo '[]'; exit 0;; esac
        read -r left < "{place}/left" || left={times}
        if [ "$left" -gt 0 ]; then echo "$((left - 1))" > "{place}/left"; echo "{said}" >&2; exit 1; fi
        echo "sha256:{"a" * 64}" > "{place}/iid"
    """


@pytest.mark.parametrize(("times", "ends_well"), [(0, True), (1, True), (2, True), (3, False)])
def test_engine_that_cannot_copy_itself_is_tried_again(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, ends_well: bool
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.defpath}")
    (tmp_path / "left").write_text(f"{times}\n")
    program("buildah", failing(times, "Close_Fd sealing memfd copy: Device or resource busy", tmp_path))
    assert build_here(tmp_path) is ends_well
    assert len(calls(tmp_path)) == min(times + 1, 3)


def test_engine_that_fails_otherwise_is_not_tried_again(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.defpath}")
    (tmp_path / "left").write_text("1\n")
    program("buildah", failing(1, "Error: exit status 1", tmp_path))
    assert not build_here(tmp_path)
    assert len(calls(tmp_path)) == 1


def build_here(place: Path) -> bool:
    """Whether a build by the program buildah of the test ends well."""
    request = replace(REQUEST, context=str(place), secret="", iidfile=str(place / "iid"))
    try:
        image_id = Buildah(EngineOptions(root=str(place / "root"))).build(request, io.BytesIO())
    except UserError as problem:
        assert problem.code == "engine-failed"
        return False
    return image_id == "sha256:" + "a" * 64
