"""The content id: what a child can see of an image, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stagegraph.image import content_id
from stagegraph.model import ImageConfig

PLAIN = ImageConfig(
    id="sha256:" + "1" * 64,
    os="linux",
    architecture="amd64",
    variant="",
    diff_ids=("sha256:" + "a" * 64, "sha256:" + "b" * 64),
    config={"Env": ["PATH=/bin", "A=1"], "Labels": {"vendor": "x"}, "User": "me", "WorkingDir": "/w"},
    size=10,
)


def changed(**config: object) -> ImageConfig:
    return replace(PLAIN, config={**PLAIN.config, **config})


def test_its_form_is_a_digest_that_does_not_change_between_versions_of_this_tool() -> None:
    assert content_id(PLAIN) == "sha256:d36b83d63fad6e8de28d487f1f455a31825bc09db60f6cb63f3c2b7ea540ec55"


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAIN, id="sha256:" + "2" * 64, size=11),
        changed(Labels={"vendor": "x", "stagegraph.node": "sdk", "stagegraph.signature": "f" * 64}),
        changed(Labels={"vendor": "x", "io.buildah.version": "1.28.2"}),
        changed(Cmd=None, Entrypoint=[], Volumes={}, StopSignal="", ExposedPorts=None),
        changed(Hostname="abc", OnBuild=None, ArgsEscaped=True),
    ],
    ids=["id and size", "own labels", "label of the engine", "absent is empty", "not inherited"],
)
def test_what_a_child_cannot_see_is_no_change(other: ImageConfig) -> None:
    assert content_id(other) == content_id(PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAIN, diff_ids=PLAIN.diff_ids[::-1]),
        replace(PLAIN, diff_ids=PLAIN.diff_ids[:1]),
        replace(PLAIN, architecture="arm64"),
        replace(PLAIN, variant="v7"),
        replace(PLAIN, os="windows"),
        changed(Env=["A=1", "PATH=/bin"]),
        changed(Labels={"vendor": "y"}),
        changed(Labels={"vendor": "x", "stagegraphs": "1"}),
        changed(User=""),
        changed(WorkingDir=""),
        changed(Cmd=["sh"]),
        changed(Entrypoint=["sh"]),
        changed(Volumes={"/v": {}}),
        changed(ExposedPorts={"80/tcp": {}}),
        changed(StopSignal="TERM"),
    ],
)
def test_what_a_child_can_see_is_a_change(other: ImageConfig) -> None:
    assert content_id(other) != content_id(PLAIN)


def test_defaults_are_the_same_as_nothing() -> None:
    assert content_id(changed(WorkingDir="/")) == content_id(changed(WorkingDir=""))
    arm = replace(PLAIN, architecture="arm64")
    assert content_id(replace(arm, variant="v8")) == content_id(arm)
    assert content_id(changed(Volumes={"/a": {}, "/b": {}})) == content_id(
        changed(Volumes={"/b": {}, "/a": {}})
    )
