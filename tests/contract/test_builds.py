"""Builds: what goes in, what comes out, what leaves no trace."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from fake_engine import FakeEngine
from stagegraph.engines.base import Engine, shown
from stagegraph.errors import UserError
from stagegraph.image import content_id
from stagegraph.model import LABEL_NODE, LABEL_SIGNATURE

from .support import (
    REAL,
    Project,
    containers,
    files,
    make_engine,
    remove_store,
    text,
)

UNKNOWN = "sha256:" + "0" * 64


def test_a_build_has_labels_config_and_files(engine: Engine, project: Project, base: str) -> None:
    project.write("data/file", "content\n")
    project.write(
        "Dockerfile",
        """\
        ARG BASE_IMAGE
        FROM ${BASE_IMAGE} AS one
        ARG VERSION=1
        ENV COLOUR=red
        COPY data /data
        RUN echo $VERSION > /version
        """,
    )
    image_id = project.build("one", base, VERSION="2", signature="abc")
    assert engine.images() and image_id in {image.id for image in engine.images()}
    image = engine.inspect(image_id)
    assert (image.id, image.os, image.architecture) == (image_id, "linux", "amd64")
    assert image.config["Labels"] == {LABEL_NODE: "one", LABEL_SIGNATURE: "abc"}
    env = image.config["Env"]
    assert isinstance(env, list) and {"COLOUR=red", "FROM_ROOT=yes"} <= set(env)
    assert image.diff_ids[:-1] == engine.inspect(base).diff_ids, "one layer a step"
    assert image.size > 0
    assert text(engine, image_id, "version") == "2\n"
    assert text(engine, image_id, "data/file") == "content\n"
    assert b"RUN echo" in project.log.getvalue()


def test_built_again_it_is_the_same_and_a_new_signature_changes_the_id_alone(
    project: Project, base: str
) -> None:
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nRUN echo x > /x\n")
    first, again, other = (project.build("one", base, signature=s) for s in ("a", "a", "b"))
    assert first == again != other
    content = [content_id(project.engine.inspect(image_id)) for image_id in (first, other, base)]
    assert content[0] == content[1] != content[2]


def test_the_environment_of_the_user_does_not_reach_the_build(
    project: Project, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(
        "Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nRUN echo x > /x\nRUN echo y > /y\n"
    )
    plain = project.build("one", base)
    for name, value in (
        ("BUILDAH_LAYERS", "true"),
        ("BUILDAH_FORMAT", "docker"),
        ("http_proxy", "http://p:1"),
    ):
        monkeypatch.setenv(name, value)
    assert project.build("one", base) == plain


def test_steps_are_handed_over(engine: Engine, project: Project, base: str) -> None:
    project.write(
        "Dockerfile",
        """\
        ARG BASE_IMAGE
        FROM ${BASE_IMAGE} AS one
        RUN echo one > /one
        FROM ${BASE_IMAGE} AS two
        RUN echo two > /two
        FROM ${BASE_IMAGE} AS three
        RUN echo three > /three
        FROM one AS four
        COPY --from=two /two /copied
        RUN --mount=type=bind,from=three,source=/three,target=/mnt/three cp /mnt/three /mounted
        """,
    )
    steps = {name: project.build(name, base) for name in ("one", "two", "three")}
    four = project.build("four", base, steps)
    assert [text(engine, four, path) for path in ("one", "copied", "mounted")] == [
        "one\n",
        "two\n",
        "three\n",
    ]
    for missing in steps:
        with pytest.raises(UserError) as error:
            project.build("four", base, {name: image for name, image in steps.items() if name != missing})
        assert error.value.code == "engine-inline-step", missing


def test_a_bind_mount_of_the_context_and_its_ignore_file(engine: Engine, project: Project, base: str) -> None:
    project.write("scripts/one", "one\n")
    project.write("scripts/two", "two\n")
    project.write("Dockerfile.dockerignore", "scripts/two\n")
    project.write(
        "Dockerfile",
        """\
        ARG BASE_IMAGE
        FROM ${BASE_IMAGE} AS one
        RUN --mount=type=bind,source=scripts/one,target=/run/one cat /run/one > /one
        COPY scripts /scripts
        """,
    )
    image_id = project.build("one", base)
    assert text(engine, image_id, "one") == "one\n"
    assert {name for name in files(engine, image_id) if name.startswith("scripts/")} == {"scripts/one"}


def test_the_image_is_marked_with_the_platform_asked_for(engine: Engine, project: Project) -> None:
    project.write("Dockerfile", "FROM scratch AS one\nCOPY Dockerfile /x\n")
    images = {arch: project.build("one", platform=f"linux/{arch}") for arch in ("amd64", "arm64", "riscv64")}
    assert {arch: engine.inspect(image).architecture for arch, image in images.items()} == {
        a: a for a in images
    }
    assert len({content_id(engine.inspect(image)) for image in images.values()}) == 3


@pytest.mark.parametrize(("name", "given"), [("transport", "secret"), ("ca-bundle", "ca_bundle")])
def test_a_secret_leaves_no_trace(
    engine: Engine, project: Project, base: str, tmp_path: Path, name: str, given: str
) -> None:
    project.write(
        "Dockerfile",
        f"""\
        ARG BASE_IMAGE
        FROM ${{BASE_IMAGE}} AS one
        RUN --mount=type=secret,id={name},target=/run/given,required=false,mode=0444 test -s /run/given
        """,
    )
    built = []
    for value in ("geheim-1", "geheim-2"):
        (tmp_path / "given").write_text(f"APT_MIRROR_URL={value}\n")
        built.append(engine.build(project.request("one", base, **{given: str(tmp_path / "given")}), project.log))
    assert built[0] == built[1]
    with engine.rootfs(built[0], "r") as stream:
        exported = stream.read()
    for where in (exported, repr(engine.inspect(built[0])).encode(), project.log.getvalue()):
        assert b"geheim" not in where
    with pytest.raises(UserError):
        project.build("one", base)  # shows that the test above read the secret


def test_a_failing_run_is_an_error_with_what_it_said(project: Project, base: str) -> None:
    project.write(
        "Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nRUN echo this is broken && exit 7\n"
    )
    before = {image.id for image in project.engine.images()}
    with pytest.raises(UserError) as error:
        project.build("one", base)
    assert error.value.code == "engine-failed"
    assert "exit status 7" in error.value.message
    assert b"this is broken" in project.log.getvalue()
    assert {image.id for image in project.engine.images()} == before
    assert containers(project.engine) == []


def test_an_unknown_parent_is_an_error(project: Project) -> None:
    project.write(
        "Dockerfile",
        "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nCOPY Dockerfile /x\nFROM one AS two\nCOPY Dockerfile /y\n",
    )
    with pytest.raises(UserError):
        project.build("one", UNKNOWN)
    with pytest.raises(UserError):
        project.build("two", contexts={"one": UNKNOWN})


def test_the_printed_command_is_the_one_that_builds(engine: Engine, project: Project, base: str) -> None:
    if isinstance(engine, FakeEngine):
        pytest.skip("the fake engine runs no command")
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nRUN echo x > /x\n")
    request = project.request("one", base)
    built = engine.build(request, io.BytesIO())
    done = subprocess.run(
        engine.build_argv(shown(request)), cwd=project.path, check=True, capture_output=True, text=True
    )
    assert built.removeprefix("sha256:") in done.stdout.splitlines()


def test_buildah_and_podman_agree(root_layout: str, tmp_path: Path) -> None:
    found = {}
    for kind in REAL:
        store = tmp_path / kind
        engine = make_engine(kind, store)
        try:
            project = Project(engine, tmp_path / "project")
            project.write(
                "Dockerfile",
                "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nENV A=b\nWORKDIR /w\nCOPY Dockerfile x\nRUN echo $A > y\n",
            )
            image = engine.inspect(project.build("one", engine.load(root_layout)))
            found[kind] = (image.id, content_id(image))
        finally:
            remove_store(store)
    assert found["buildah"] == found["podman"]
