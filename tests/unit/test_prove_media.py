"""linux/scripts/03-media/prove_media.py: what a component promises is there, and a consumer of its headers compiles (fix 2)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SPAN = "namespace absl { template <class T> struct Span { bool empty() const; T front() const; }; }\n"


@pytest.fixture
def proof(script: Callable[[str], ModuleType], tmp_path: Path) -> Any:
    """The proof of an image that has abseil's headers alone, compiled by this host's own compiler."""
    tool = "x86_64-linux-gnu-"
    if shutil.which(f"{tool}g++") is None:
        pytest.skip(f"this host has no {tool}g++ that could compile a consumer")
    prefix = tmp_path / "include/absl"
    (prefix / "types").mkdir(parents=True)
    module = script("prove_media")
    proof = module.Proof.__new__(module.Proof)
    proof.arch, proof.folder, proof.tool, proof.prefixes = "amd64", tmp_path, tool, [prefix]
    record = {"PROVIDER": "distro", "PREFIX": str(prefix), "PROMISES": "types/span.h", "MODULES": ""}
    proof.records = {"abseil": record}
    return proof


def test_without_abseil_the_proof_is_red(proof: Any) -> None:
    with pytest.raises(SystemExit, match=r"abseil lacks types/span\.h"):
        proof.component("abseil")


def test_a_header_that_includes_what_is_not_shipped_is_red(proof: Any) -> None:
    (proof.prefixes[0] / "types/span.h").write_text(f'#include "absl/base/lost.h"\n{SPAN}')
    with pytest.raises(SystemExit, match=r"absl/base/lost\.h: No such file"):
        proof.component("abseil")


def test_a_consumer_of_the_shipped_headers_compiles(proof: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (proof.prefixes[0] / "types/span.h").write_text(SPAN)
    proof.component("abseil")
    assert "abseil: a program compiles against it" in capsys.readouterr().out


def test_a_component_that_is_absent_must_not_be_there(proof: Any) -> None:
    proof.records["abseil"] = {"PROVIDER": "absent", "PREFIX": str(proof.prefixes[0])}
    with pytest.raises(SystemExit, match="abseil is absent in this profile, but"):
        proof.component("abseil")
