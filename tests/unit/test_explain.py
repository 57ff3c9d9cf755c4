"""Reasons: every kind of change between two ledgers becomes one sentence with both values."""

from __future__ import annotations

import pytest

from stagegraph.explain import Change, changes
from stagegraph.signature import Ledger

BASE: Ledger = {
    "node": {"abi": "1", "kind": "step", "platform": "linux/amd64", "timestamp": "0"},
    "step": {"instructions": ["FROM ${BASE_IMAGE} AS final", "RUN make", "RUN make install"]},
    "variables": {"GCC_VERSION": "14.2.0"},
    "options": {},
    "files": {"a.sh": "f644:aa", "link": "l:a.sh"},
    "parents": {"BASE_IMAGE": "sha256:1"},
    "images": {},
}


def told(**sections: dict[str, object]) -> list[Change]:
    return changes(BASE, {**BASE, **sections}, {"BASE_IMAGE": "compiler"}.__getitem__)


def test_equal_ledgers_have_no_reason() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("sections", "sentence", "old", "new"),
    [
        ({"variables": {"GCC_VERSION": "16.1.0"}}, "GCC_VERSION 14.2.0 → 16.1.0", "14.2.0", "16.1.0"),
        ({"variables": {}}, "GCC_VERSION 14.2.0 → (unset)", "14.2.0", ""),
        ({"variables": {"GCC_VERSION": ""}}, "GCC_VERSION 14.2.0 → (empty)", "14.2.0", "(empty)"),
        ({"options": {"include": ""}}, "include (unset) → (empty)", "", "(empty)"),
        ({"node": {**BASE["node"], "abi": "2"}}, "signature format 1 → 2", "1", "2"),
        ({"node": {**BASE["node"], "platform": "linux/arm64"}}, "platform linux/amd64 → linux/arm64", None, None),
        ({"files": {"a.sh": "f644:bb", "link": "l:a.sh"}}, "a.sh changed", "f644:aa", "f644:bb"),
        ({"files": {"a.sh": "f755:aa", "link": "l:a.sh"}}, "a.sh mode 644 → 755", "f644:aa", "f755:aa"),
        ({"files": {"a.sh": "f644:aa", "link": "l:b.sh"}}, "link changed", "l:a.sh", "l:b.sh"),
        ({"files": {"a.sh": "f644:aa"}}, "link was removed", "l:a.sh", ""),
        ({"files": {**BASE["files"], "c": "d755"}}, "c is new", "", "d755"),
        ({"parents": {"BASE_IMAGE": "sha256:2"}}, "parent compiler changed", "sha256:1", "sha256:2"),
        ({"images": {"x@sha256:3": "sha256:3"}}, "image x@sha256:3 is new", "", "sha256:3"),
    ],
)
def test_one_change_is_one_sentence(
    sections: dict[str, dict[str, object]], sentence: str, old: str | None, new: str | None
) -> None:
    (change,) = told(**sections)
    assert change.sentence == sentence
    if old is not None:
        assert (change.old, change.new) == (old, new)


def test_changed_instruction_is_shown_with_both_texts() -> None:
    instructions = ["FROM ${BASE_IMAGE} AS final", "RUN make -j2", "RUN make install"]
    (change,) = told(step={"instructions": instructions})
    assert change == Change("the Dockerfile's RUN instruction changed", "RUN make", "RUN make -j2")


def test_other_order_of_instructions_is_a_change() -> None:
    first, second, third = BASE["step"]["instructions"]
    (change,) = told(step={"instructions": [first, third, second]})
    assert change.sentence == "the Dockerfile's instructions stand in another order"
