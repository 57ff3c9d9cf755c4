"""ROOT_IMAGE=oci:DIR: another root takes the place of the one that mmdebstrap makes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from fake_engine import write_layout
from stagegraph.engines.buildah import Buildah

from .checkout import Checkout
from .machine import require_engine

Small = Callable[[str], Checkout]


@pytest.fixture
def checkout(small: Small) -> Checkout:
    return small("root-image")


@pytest.fixture
def layout(checkout: Checkout, tmp_path: Path) -> Path:
    """The bootstrap image as a layout, as somebody with another root would have one."""
    checkout.good("bootstrap")
    target = tmp_path / "a layout"
    checkout.engine("push", "--quiet", checkout.record("bootstrap-amd64")["image_id"], f"oci:{tmp_path}/layout:it")
    (tmp_path / "layout").rename(target)
    return target


def test_the_stages_stand_on_the_given_root(checkout: Checkout, layout: Path) -> None:
    root = f"ROOT_IMAGE=oci:{layout}"
    own = checkout.record("bootstrap-amd64")
    why = checkout.good("--why", "app-amd64", root).stdout
    assert "bootstrap-amd64: has to be built" in why and "layout" in why
    result = checkout.good("app-amd64", root)
    assert "bootstrap-amd64" in result.nodes("built") + result.nodes("adopted")
    given = checkout.record("bootstrap-amd64")
    assert given["signature"] != own["signature"]
    assert "is up to date" in checkout.good("app-amd64", root).stdout
    rootfs = checkout.good("out/app/amd64", root)
    assert rootfs.nodes("exported") == ["out/app/amd64"]
    assert (checkout.folder / "out/app/amd64/rootfs/etc/greeting").read_text() == "Hello amd64\n"
    # Without the setting the own root is back, from the store.
    back = checkout.good("bootstrap")
    assert (back.nodes("adopted"), back.nodes("built")) == (["bootstrap-amd64"], [])
    assert checkout.record("bootstrap-amd64")["image_id"] == own["image_id"]


def test_the_chain_stands_on_the_given_root(store: str, tmp_path: Path) -> None:
    """The real base on a layout of our own that says what it is: its mark comes through to the image above."""
    require_engine()
    chain = Checkout.fresh("root-image-chain", store)
    chain.good("base")
    own, base = chain.record("bootstrap-amd64"), chain.record("base")
    container = chain.engine("from", "--pull-never", own["image_id"]).strip()
    try:
        mark = f"own root {uuid.uuid4()}"
        (tmp_path / "mark").write_text(mark)
        chain.engine("copy", container, str(tmp_path / "mark"), "/etc/own-root")
        given = chain.engine("commit", "--quiet", container).strip()
    finally:
        chain.engine("rm", container)
    made = [given]
    try:
        chain.engine("push", "--quiet", given, f"oci:{tmp_path}/layout:it")
        result = chain.good("base", f"ROOT_IMAGE=oci:{tmp_path}/layout")
        assert result.nodes("built") == ["base", "base:qemu", "base:tooling", "bootstrap-amd64"], result.text
        made += [record["image_id"] for record in chain.records().values()]
        assert chain.run_in(chain.record("base")["image_id"], "cat", "/etc/own-root") == mark
        assert chain.record("base")["content_id"] != base["content_id"]
        # Without the setting the chain is back on its own root, and builds nothing for it.
        back = chain.good("base")
        assert (back.nodes("built"), chain.record("base")["image_id"]) == ([], base["image_id"])
    finally:
        Buildah(chain.options()).remove(made)  # another mark in every test run: nobody will adopt these


def one_error(checkout: Checkout, root: str) -> str:
    result = checkout.scons("base", f"ROOT_IMAGE={root}")
    assert result.status == 2, result.text
    assert "Traceback" not in result.text
    assert len(result.errors) == 1, result.text
    return result.errors[0]


def test_a_layout_that_is_not_there(checkout: Checkout, tmp_path: Path) -> None:
    assert f"'{tmp_path}/nothing', which is no OCI layout" in one_error(checkout, f"oci:{tmp_path}/nothing")


def test_a_layout_for_another_arch(checkout: Checkout, tmp_path: Path) -> None:
    write_layout(str(tmp_path / "layout"), [b""], architecture="riscv64")
    assert "riscv64" in one_error(checkout, f"oci:{tmp_path}/layout")


def test_a_layout_that_was_damaged(checkout: Checkout, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    # Another one in every test run: an image that the store holds already would be adopted without a look at this.
    image = write_layout(str(layout), [b""], config={"Env": [f"TOKEN={uuid.uuid4()}"]})
    blob = layout / "blobs/sha256" / image[7:]
    blob.write_bytes(blob.read_bytes().replace(b"TOKEN", b"TAKEN"))
    assert image[7:19] in one_error(checkout, f"oci:{layout}")


def test_a_name_without_digest(checkout: Checkout) -> None:
    assert "'localhost/root:latest'" in one_error(checkout, "localhost/root:latest")


def test_a_digest_that_nobody_has(checkout: Checkout) -> None:
    name = f"127.0.0.1:9/root@sha256:{'0' * 64}"
    assert "127.0.0.1:9" in one_error(checkout, name)
