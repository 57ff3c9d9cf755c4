"""Fixtures of the end-to-end tests: the store, and the checkouts that several tests share."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from .checkout import PLACE, Checkout, Result, profile
from .machine import Tree, require_engine

FOREIGN_ARCH = "arm64"
ARCHES = ("arm64", "riscv64", "amd64")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The tests of the chain run for one foreign arch, or with --all-arches for all."""
    if "arch" in metafunc.fixturenames:
        every = metafunc.config.getoption("--all-arches")
        metafunc.parametrize("arch", ARCHES if every else [FOREIGN_ARCH], scope="session")


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest) -> str:
    """The store of the chain: --store, or one of the tests' own that is kept between test runs."""
    given = request.config.getoption("--store")
    return str(PLACE / "store") if given is None else str(given and Path(given).absolute())


@pytest.fixture(scope="session")
def small_store() -> str:
    """The store of the small projects."""
    return str(PLACE / "small-store")


@dataclass(frozen=True)
class Sdk:
    """An exported SDK.

    made: nodes whose records are new since the run before; result: the run that made it
    """

    arch: str
    checkout: Checkout
    target: str
    result: Result
    made: frozenset[str]

    @property
    def folder(self) -> Path:
        """The directory of rootfs/ and artifact.env."""
        return self.checkout.folder / self.target

    @property
    def rootfs(self) -> Path:
        """The exported tree."""
        return self.folder / "rootfs"

    def artifact(self, shell: str = "sh") -> dict[str, str]:
        """What artifact.env says to a shell that sources it."""
        script = 'set -a; . "$1"; exec env -0'
        argv = [shell, "-euc", script, shell, str(self.folder / "artifact.env")]
        told = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, env={"PATH": "/usr/bin:/bin"}).stdout
        return dict(entry.split("=", 1) for entry in told.split("\0") if entry)


@pytest.fixture(scope="session")
def chain(store: str) -> Callable[[str], Sdk]:
    """The SDK of an arch, built or adopted at the first call, in a checkout that no test edits."""
    made: dict[str, Sdk] = {}

    @functools.cache
    def checkout_of_all() -> Checkout:
        require_engine()
        return Checkout.fresh("chain", store)

    def sdk(arch: str) -> Sdk:
        if arch not in made:
            checkout = checkout_of_all()
            target = f"out/linux-sdk/{arch}"
            before = set(checkout.records())
            result = checkout.good("-j2", target)
            made[arch] = Sdk(arch, checkout, target, result, frozenset(set(checkout.records()) - before))
        return made[arch]

    return sdk


@pytest.fixture(scope="session")
def sdk(chain: Callable[[str], Sdk], arch: str) -> Sdk:
    """The SDK of this test's arch."""
    return chain(arch)


@pytest.fixture
def tree(sdk: Sdk, tmp_path: Path) -> Tree:
    """The exported tree of this test's arch, with the test's directory at /mnt."""
    return Tree(sdk.rootfs, tmp_path, profile())


@pytest.fixture(scope="session")
def second(sdk: Sdk, store: str) -> Sdk:
    """The same SDK in another fresh checkout, which tests may edit as long as they put back what they edit."""
    checkout = Checkout.fresh(f"second-{sdk.arch}", store)
    result = checkout.good("-j2", sdk.target)
    return Sdk(sdk.arch, checkout, sdk.target, result, frozenset(checkout.records()))


@pytest.fixture
def small(small_store: str) -> Callable[[str], Checkout]:
    """Makes a fresh copy, by this name, in which scons runs the example project."""
    require_engine()
    return lambda name: Checkout.fresh(name, small_store, "examples/minimal")
