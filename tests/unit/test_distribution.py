"""linux/scripts/01-core/distribution.py: what a root's distribution calls the packages that scripts name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "linux" / "scripts" / "01-core" / "distribution.py"

ASKED = ["libxml2", "qemu-user", "zlib1g"]
ON_UBUNTU = ["libxml2-16", "qemu-user-static", "zlib1g"]


@pytest.fixture
def distribution(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("distribution")


@pytest.mark.parametrize(
    ("os_release", "names"),
    [
        pytest.param("ID=debian\n", ASKED, id="debian"),
        pytest.param("ID=ubuntu\n", ON_UBUNTU, id="ubuntu"),
        pytest.param('ID="ubuntu"\n', ON_UBUNTU, id="double quotes"),
        pytest.param("ID='ubuntu'", ON_UBUNTU, id="single quotes, no last newline"),
        pytest.param('VERSION_ID="26.04"\nID_LIKE=debian\nID=ubuntu\n', ON_UBUNTU, id="ID is not ID_LIKE"),
        pytest.param("NAME=x\n\n# ID=ubuntu\nID=debian\nVERSION_ID=1\n", ASKED, id="comment"),
    ],
)
def test_names_are_those_of_the_root(
    distribution: ModuleType, tmp_path: Path, os_release: str, names: list[str]
) -> None:
    path = tmp_path / "os-release"
    path.write_text(os_release)
    assert distribution.local_names(ASKED, path) == names


@pytest.mark.parametrize(("name", "os_release"), [("other", "ID=other\nID_LIKE=debian\n"), ("", "NAME=x\n")])
def test_a_distribution_without_a_table_is_an_error(
    distribution: ModuleType, tmp_path: Path, name: str, os_release: str
) -> None:
    path = tmp_path / "os-release"
    path.write_text(os_release)
    with pytest.raises(SystemExit) as caught:
        distribution.local_names(["zlib1g"], path)
    error, hint = str(caught.value).splitlines()
    assert error == f"error: no package names are known for the distribution {name!r}"
    assert hint.startswith("hint: ")


def run_on(place: Path, os_release: str) -> subprocess.CompletedProcess[str]:
    """Run the program on another root: a copy that reads its os-release at `place`."""
    (place / "os-release").write_text(os_release)
    text = SCRIPT.read_text(encoding="utf-8")
    assert text.count('"/etc/os-release"') == 1
    copy = place / "distribution.py"
    copy.write_text(text.replace("/etc/os-release", f"{place}/os-release"), encoding="utf-8")
    command = [sys.executable, "-B", str(copy), *ASKED]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_as_a_program_it_prints_one_name_a_line(tmp_path: Path) -> None:
    done = run_on(tmp_path, "ID=ubuntu\n")
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, ON_UBUNTU, "")


def test_as_a_program_it_stops_without_a_table(tmp_path: Path) -> None:
    done = run_on(tmp_path, "ID=other\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ") and "\nhint: " in done.stderr
