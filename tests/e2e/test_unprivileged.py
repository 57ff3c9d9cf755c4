"""Without root: asking works as ever, and a build that cannot work ends with one clear error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .checkout import Checkout, Result, environment

NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody can enter, unlike pytest's."""
    path = Path(tempfile.mkdtemp(prefix="nobody-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def checkout(place: Path) -> Checkout:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    made = Checkout.fresh("copy", "", place=place)
    works = subprocess.run([*as_nobody(), sys.executable, "-c", "import SCons"], capture_output=True, text=True, check=False, cwd="/")
    if works.returncode:
        pytest.skip(f"nobody cannot run the Python of these tests: {works.stderr.strip().splitlines()[-1]}")
    return made


def as_nobody() -> list[str]:
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]


def run(checkout: Checkout, place: Path, *words: str) -> Result:
    # All that an engine writes for this user has to land in our directory, not in /tmp.
    home = str(place / "home")
    env = environment({"HOME": home, "XDG_RUNTIME_DIR": home, "TMPDIR": home, "PYTHONDONTWRITEBYTECODE": "1"})
    argv = [*as_nobody(), *checkout.command(*words)]
    done = subprocess.run(argv, cwd=checkout.folder, env=env, capture_output=True, text=True, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def test_the_dry_run_works_in_a_tree_of_somebody_else(checkout: Checkout, place: Path) -> None:
    before = sorted(str(path) for path in place.rglob("*"))
    result = run(checkout, place, "-n", "out/linux-sdk/arm64")
    assert result.status == 0, result.text
    assert "--target glslang" in result.stdout
    assert "exports the root file system of sdk-arm64" in result.stdout
    assert "Traceback" not in result.text
    assert sorted(str(path) for path in place.rglob("*")) == before
    status = run(checkout, place, "--status", "out/linux-sdk/arm64")
    assert status.status == 0 and "never built" in status.stdout, status.text


def test_a_build_in_a_tree_of_somebody_else_is_one_error(checkout: Checkout, place: Path) -> None:
    result = run(checkout, place, "base")
    assert result.status == 2, result.text
    assert len(result.errors) == 1, result.text
    assert "Traceback" not in result.text


def test_a_build_without_the_right_to_it_is_one_error(checkout: Checkout, place: Path) -> None:
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(place)], check=True)
    (place / "home").mkdir(mode=0o700)
    os.chown(place / "home", NOBODY, NOBODY)
    result = run(checkout, place, "base")
    assert result.status == 2, result.text
    assert len(result.errors) == 1 and "hint: " in result.text, result.text
    assert "Traceback" not in result.text
    assert not list((checkout.path / "out" / "images").rglob("*.json"))
