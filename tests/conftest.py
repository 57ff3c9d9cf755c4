"""Options of the test run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-arches",
        action="store_true",
        help="run the end-to-end tests of the chain for every target arch, not only for one foreign arch",
    )
    parser.addoption(
        "--store",
        metavar="DIR",
        help="image store of the chain's end-to-end tests: out/test/store when not given, empty for the engine's own",
    )
    parser.addoption(
        "--write-goldens",
        action="store_true",
        help="write down what the tests with a golden file see now, instead of comparing with it",
    )
