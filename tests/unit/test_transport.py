"""Transport settings: the text a RUN reads, and the share of the machine each build is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stagegraph import transport
from stagegraph.errors import UserError


def test_text_holds_given_settings_sorted() -> None:
    assert transport.text({"JOBS": "2", "APT_MIRROR_URL": "", "FAST": "a b"}) == "FAST=a b\nJOBS=2\n"


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b"])
def test_value_of_two_lines_is_refused(value: str) -> None:
    with pytest.raises(UserError, match="holds a line break") as caught:
        transport.text({"http_proxy": value})
    assert caught.value.code == "transport-value"


def test_processors_are_shared_by_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    assert [transport.share(running)["JOBS"] for running in (1, 2, 3, 8, 20)] == ["8", "4", "3", "1", "1"]


def test_memory_is_shared_by_what_runs() -> None:
    alone, third = (int(transport.share(running)["MEMORY_MB"]) for running in (1, 3))
    assert alone // 3 - 1 <= third <= alone // 3 + 1


def test_a_ca_bundle_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which cannot be read") as caught:
        transport.ca_bundle(str(tmp_path / "none.pem"))
    assert caught.value.code == "transport-value"


def test_the_ca_bundle_is_the_given_one_else_the_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, host = tmp_path / "given.pem", tmp_path / "host.pem"
    given.write_text("x")
    monkeypatch.setattr(transport, "HOST_CA_BUNDLE", str(host))
    assert transport.ca_bundle("") == ""
    host.write_text("x")
    assert (transport.ca_bundle(""), transport.ca_bundle(str(given))) == (str(host), str(given))
