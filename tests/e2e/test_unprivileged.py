"""Without root: asking works as ever, builds work with subordinate ids, and without these end with one clear error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .checkout import Checkout, Result, environment
from .machine import require_engine

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
    # Copies: what ours are, may lie where nobody gets to.
    installed = Path(sysconfig.get_path("purelib"))
    for name in PACKAGES:
        shutil.copytree(installed / name, place / "packages" / name, ignore=shutil.ignore_patterns("__pycache__"))
    python(place)  # skips when there is none
    made = Checkout.fresh("copy", "", place=place)
    (place / "home").mkdir(mode=0o711)
    os.chown(place / "home", NOBODY, NOBODY)
    return made


#: What the tool needs to run (requirements.txt).
PACKAGES = ("SCons", "e2b_dockerfile_utils", "packaging")


def as_nobody() -> list[str]:
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def python(place: Path) -> str:
    """A Python that nobody can run with the packages of these tests; skips when there is none."""
    said = ""
    for program in (sys.executable, *(found for found in (shutil.which("python3", path=os.defpath),) if found)):
        # By a shell: setpriv itself still has root's capabilities when it looks for a program.
        argv = [*as_nobody(), "sh", "-c", '"$@"', "sh"]
        argv += [program, "-P", "-c", f"import sys, {', '.join(PACKAGES)}; sys.exit(sys.version_info < (3, 11))"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/", env=packages(place))
        if done.returncode == 0:
            return program
        said = (done.stderr.strip().splitlines() or ["it is older than 3.11"])[-1]
    pytest.skip(f"nobody cannot run a Python with the packages of these tests: {said}")


def packages(place: Path) -> dict[str, str]:
    """The environment in which another Python finds copies of our packages."""
    return environment({"PYTHONPATH": str(place / "packages"), "PYTHONDONTWRITEBYTECODE": "1"})


def run(checkout: Checkout, place: Path, *words: str, before: tuple[str, ...] = ()) -> Result:
    """Run scons as nobody; ``before`` is a command that starts it."""
    # All that an engine writes for this user has to land in our directory, not in /tmp.
    home = str(place / "home")
    env = {**packages(place), "HOME": home, "XDG_RUNTIME_DIR": home, "TMPDIR": home, "USER": "nobody", "LOGNAME": "nobody"}
    scons = [python(place), *checkout.command(*words)[1:]]
    argv = ["unshare", "--mount", "sh", "-c", _SUBORDINATE, "sh", str(place), *as_nobody(), *before, *scons]
    done = subprocess.run(argv, cwd=checkout.folder, env=env, capture_output=True, text=True, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


#: With the subordinate ids of a file of ours in place of the host's, in a mount namespace alone.
_SUBORDINATE = """
set -eu
for name in subuid subgid; do
    if [ -e "$1/$name" ]; then
        [ -e "/etc/$name" ] || : >"/etc/$name"
        mount --bind "$1/$name" "/etc/$name"
    fi
done
shift
exec "$@"
"""


def test_the_dry_run_works_in_a_tree_of_somebody_else(checkout: Checkout, place: Path) -> None:
    before = sorted(str(path) for path in checkout.path.rglob("*"))
    result = run(checkout, place, "-n", "out/linux-sdk/arm64")
    assert result.status == 0, result.text
    assert "--target glslang" in result.stdout
    assert "exports the root file system of sdk-arm64" in result.stdout
    assert "Traceback" not in result.text
    assert sorted(str(path) for path in checkout.path.rglob("*")) == before
    status = run(checkout, place, "--status", "out/linux-sdk/arm64")
    assert status.status == 0 and "never built" in status.stdout, status.text


def test_a_build_in_a_tree_of_somebody_else_is_one_error(checkout: Checkout, place: Path) -> None:
    result = run(checkout, place, "base")
    assert result.status == 2, result.text
    assert len(result.errors) == 1, result.text
    assert "Traceback" not in result.text


def test_a_build_without_the_right_to_it_is_one_error(checkout: Checkout, place: Path) -> None:
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(place)], check=True)
    for name in ("subuid", "subgid"):
        (place / name).write_text("")
    result = run(checkout, place, "base")
    assert result.status == 2, result.text
    assert len(result.errors) == 1 and "hint: " in result.text, result.text
    assert "Traceback" not in result.text
    assert not list((checkout.path / "out" / "images").rglob("*.json"))


def test_a_build_with_subordinate_ids_works(checkout: Checkout, place: Path) -> None:
    """The small project: images without root, the export, which sets owners, inside `buildah unshare`."""
    require_engine()
    for name in ("subuid", "subgid"):
        (place / name).write_text("nobody:524288:65536\n")
    small = Checkout(checkout.path, "", "examples/minimal")
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(checkout.path)], check=True)
    result = run(small, place, "app-amd64")
    assert result.status == 0, result.text
    assert "app-amd64" in result.nodes("built"), result.text
    assert not [path for path in (place / "home").rglob("*") if "scratch" in path.name and any(path.glob("2*"))]
    assert "is up to date" in run(small, place, "app-amd64").stdout
    export = "out/app/amd64"
    refused = run(small, place, export)
    assert refused.status == 2 and "[rootfs-owners]" in refused.stdout and "buildah unshare" in refused.stdout, refused.text
    inside = ("buildah", "unshare")
    result = run(small, place, export, before=inside)
    assert result.nodes("exported") == [export], result.text
    tree = small.folder / export / "rootfs"
    assert (tree / "etc/greeting").read_text() == "Hello amd64\n"
    assert (tree / "etc/shadow").stat().st_uid == NOBODY  # root of the namespace
    assert (tree / "etc/shadow").stat().st_gid == 524288 + 42 - 1
    assert run(small, place, "--verify", export, before=inside).status == 0
    # Without root again: what belongs to subordinate ids can still be cleaned.
    result = run(small, place, "-c", export)
    assert result.status == 0 and not tree.exists(), result.text
    assert not [path.name for path in tree.parent.iterdir() if ".new-" in path.name]
