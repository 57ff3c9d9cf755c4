"""The example project on both engines: the same content, adoption from one by the other, and the store kept clean."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable

import pytest

from .checkout import PLACE, Checkout
from .machine import require_engine

Small = Callable[[str], Checkout]
ENGINES = ("buildah", "podman")


@pytest.fixture(scope="module", params=ENGINES)
def built(request: pytest.FixtureRequest, small_store: str) -> Checkout:
    """The example project, all of it built by one engine in a store of its own."""
    engine: str = request.param
    require_engine(engine)
    store = small_store if engine == "buildah" else f"{small_store}-{engine}"
    checkout = Checkout.fresh(f"minimal-{engine}", store, "examples/minimal")
    checkout.good("-j2", f"--engine={engine}")
    return checkout


def contents(checkout: Checkout) -> dict[str, str]:
    return {node: record["content_id"] for node, record in checkout.records().items()}


def exported(checkout: Checkout) -> dict[str, str]:
    return {
        arch: (checkout.folder / f"out/app/{arch}/rootfs/etc/greeting").read_text() for arch in ("amd64", "arm64")
    }


def test_both_arches_are_exported(built: Checkout) -> None:
    assert exported(built) == {"amd64": "Hello amd64\n", "arm64": "Hello arm64\n"}
    nodes = set(built.records())
    assert nodes == {"bootstrap-amd64", "base", "tools", "app:text", "app-amd64", "app-arm64"}
    assert "is up to date" in built.good("--verify").stdout


def test_both_engines_build_the_same_content() -> None:
    both = [PLACE / f"minimal-{engine}" for engine in ENGINES]
    for path in both:
        if not path.exists():
            pytest.skip(f"{path.name} was not built: its engine is not installed, or its test was not chosen")
    first, second = (Checkout(path, "", "examples/minimal") for path in both)
    assert contents(first) == contents(second) != {}
    for arch in ("amd64", "arm64"):
        one, other = (c.folder / f"out/app/{arch}/.rootfs.list" for c in (first, second))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(("maker", "taker"), [ENGINES, ENGINES[::-1]])
def test_one_engine_adopts_what_the_other_built(small: Small, maker: str, taker: str) -> None:
    require_engine("podman")
    first, second = small(f"made-by-{maker}"), small(f"taken-by-{taker}")
    token = f"echo {uuid.uuid4()} >/usr/share/note\n"
    for checkout in (first, second):
        checkout.edit("scripts/install-greet.sh", token)
    assert "tools" in first.good(f"--engine={maker}").nodes("built")
    result = second.good(f"--engine={taker}")
    assert result.nodes("built") == [], result.text
    assert result.nodes("adopted") == sorted(second.records())
    assert contents(second) == contents(first)
    images = {node: record["image_id"] for node, record in first.records().items()}
    assert {node: record["image_id"] for node, record in second.records().items()} == images


@pytest.mark.parametrize("engine", ENGINES)
def test_gc_removes_what_is_superseded_and_keeps_what_records_need(small: Small, engine: str) -> None:
    require_engine(engine)
    word = f"--engine={engine}"
    checkout, other = small(f"gc-{engine}"), small(f"gc-other-{engine}")
    checkout.edit("greeting/word", f"{uuid.uuid4()}\n")
    other.edit("greeting/word", f"{uuid.uuid4()}\n")
    other.good(word)
    checkout.good(word)
    superseded = {record["image_id"] for record in checkout.records().values()}
    checkout.edit("greeting/word", "more\n")
    checkout.good(word)
    needed = {record["image_id"] for c in (checkout, other) for record in c.records().values()}
    superseded -= needed
    assert len(superseded) == 5, "all but bootstrap stand on the word"

    before = checkout.images()
    told = checkout.good("gc", "-n", word).stdout
    assert checkout.images() == before
    assert all(image[7:19] in told for image in superseded)
    checkout.good("gc", word)
    after = checkout.images()
    assert not superseded & after
    assert needed <= after
    for c in (checkout, other):
        assert c.scons("-q", word).status == 0
        assert "is up to date" in c.good("--verify", word).stdout


@pytest.mark.parametrize("engine", ENGINES)
def test_a_store_at_a_long_path(small: Small, engine: str) -> None:
    """podman refuses long paths for the state of its store; a checkout may lie anywhere."""
    require_engine(engine)
    checkout = small("long")
    checkout.store = str(PLACE / f"store-{'long-' * 12}")
    assert checkout.good("gc", f"--engine={engine}").stdout.endswith("0 images removed\n")
    assert os.path.isdir(checkout.store)
