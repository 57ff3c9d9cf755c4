"""Every Dockerfile of the chain also builds with a plain engine command: no tool, no transport settings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .checkout import Checkout, profile
from .conftest import FOREIGN_ARCH, Sdk
from .machine import host_mirror, require_engine


def by_hand(checkout: Checkout, stage: str, base: str, **arguments: str) -> str:
    """Build a Dockerfile of the chain as the specification does by hand; returns the image's id."""
    given = {"BASE_IMAGE": base, "APT_MIRROR_URL": host_mirror(), **arguments}
    words = [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]
    flags = ("--isolation", "chroot", "--network", "host", "--no-cache", "--layers=false", "--quiet")
    return checkout.engine("bud", *flags, *words, "-f", f"linux/Dockerfile.{stage}", ".").split()[-1]


def test_dockerfile_base(store: str) -> None:
    require_engine()
    checkout = Checkout.fresh("by-hand", store)
    checkout.good("bootstrap")
    image = by_hand(checkout, "base", checkout.record("bootstrap-amd64")["image_id"])
    try:
        container = checkout.engine("from", "--pull-never", image).strip()
        try:
            run = ("run", "--isolation", "chroot", container, "--")
            assert checkout.engine(*run, "cmake", "--version").startswith("cmake version ")
            assert "qemu-riscv64 version" in checkout.engine(*run, "qemu-riscv64", "--version")
        finally:
            checkout.engine("rm", container)
    finally:
        checkout.engine("rmi", image)


def test_the_other_dockerfiles(request: pytest.FixtureRequest, chain: Callable[[str], Sdk]) -> None:
    if not request.config.getoption("--all-arches"):
        pytest.skip("builds the compilers once more; --all-arches runs it")
    checkout = chain(FOREIGN_ARCH).checkout
    compiler = by_hand(checkout, "toolchain", checkout.record("base")["image_id"], **profile())
    try:
        arguments = {**profile(), "TARGET_ARCH": FOREIGN_ARCH, "BUILD_MODE": "cross"}
        checkout.engine("rmi", by_hand(checkout, "sdk", compiler, **arguments))
    finally:
        checkout.engine("rmi", compiler)
