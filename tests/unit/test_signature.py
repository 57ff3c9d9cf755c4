"""The signature of a node: what is in it, what is not, and that it never moves by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stagegraph.model import Node
from stagegraph.signature import ledger, sign

NODE = Node(
    name="sdk-arm64:glslang",
    stage="sdk",
    arch="arm64",
    step="glslang",
    kind="step",
    platform="linux/amd64",
    record="out/images/prebuilt/cross/sdk-arm64/glslang.json",
    dockerfile="linux/Dockerfile.sdk",
    instructions=("FROM ${BASE_IMAGE} AS glslang", "ARG GCC_VERSION=16.1.0", "RUN /run/build.sh é"),
    variables={"GCC_VERSION": "14.2.0", "TARGET_ARCH": "arm64"},
    tags=("localhost/image:sdk",),
    profile="prebuilt",
)
FILES = {"linux/build.sh": "f755:00", "linux/données": "d755"}
PARENTS = {"BASE_IMAGE": "sha256:11"}


def signature(node: Node = NODE, files: dict[str, str] = FILES, parents: dict[str, str] = PARENTS, time: int = 7) -> str:
    return sign(ledger(node, files, parents, time))


def test_signature_is_the_same_on_every_machine_python_and_version_of_this_tool() -> None:
    # A change of this value builds everything again everywhere: raise model.ABI, whose change is a printed reason.
    assert signature() == "8c71d4820d20db94dd68ae96da5ad4e03ecfda08cbfa3344bc8cff0b276401ad"


@pytest.mark.parametrize(
    "other",
    [
        replace(NODE, tags=("elsewhere:1",)),
        replace(NODE, record="other/place.json"),
        replace(NODE, name="other", stage="other", arch="", profile="source"),
        replace(NODE, env={"A": "b"}, location="/elsewhere"),
        replace(NODE, instructions=("FROM ${BASE_IMAGE} AS glslang", "ARG GCC_VERSION=1", "RUN /run/build.sh é")),
    ],
    ids=["tags", "record", "names", "export and location", "default of an ARG"],
)
def test_what_is_no_input_is_not_signed(other: Node) -> None:
    assert signature(other) == signature()


@pytest.mark.parametrize(
    "other",
    [
        replace(NODE, platform="linux/arm64"),
        replace(NODE, kind="root"),
        replace(NODE, variables={**NODE.variables, "GCC_VERSION": "14.2.1"}),
        replace(NODE, variables={**NODE.variables, "NEW": ""}),
        replace(NODE, instructions=NODE.instructions[:-1]),
        replace(NODE, instructions=(*NODE.instructions[:1], "ARG GCC_VERSION=${X}", NODE.instructions[2])),
        replace(NODE, options={"suite": "stable"}),
        replace(NODE, images={"a@sha256:2": "sha256:2"}),
    ],
    ids=["platform", "kind", "value", "empty value", "instruction", "default of a variable", "option", "image"],
)
def test_every_input_of_a_node_is_signed(other: Node) -> None:
    assert signature(other) != signature()


def test_files_parents_and_time_are_signed() -> None:
    others = {
        signature(files={**FILES, "linux/build.sh": "f644:00"}),
        signature(files={**FILES, "empty": "d755"}),
        signature(parents={"BASE_IMAGE": "sha256:12"}),
        signature(parents={"ARTIFACT_IMAGE": "sha256:11"}),
        signature(time=8),
    }
    assert len(others | {signature()}) == 6


def test_order_of_names_is_no_input() -> None:
    turned = replace(NODE, variables=dict(reversed(NODE.variables.items())))
    assert signature(turned, dict(reversed(FILES.items()))) == signature()
