"""linux/scripts/01-core/transport.sh: settings are read as text, never run, and refused when they make no sense."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from stagegraph import transport

SCRIPT = Path(__file__).resolve().parents[2] / "linux" / "scripts" / "01-core" / "transport.sh"

#: Prints what was loaded: name, value and a NUL each.
SHOW = 'for key in "${!TRANSPORT[@]}"; do printf "%s=%s\\0" "$key" "${TRANSPORT[$key]}"; done'


def run(place: Path, code: str, text: str | None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Load a transport file of this text (None: there is no file), then run shell code."""
    file = place / "transport"
    if text is not None:
        file.write_text(text)
    return subprocess.run(
        ["bash", "-c", 'set -Eeuo pipefail; source "$0"; transport_load; ' + code, str(SCRIPT)],
        cwd=place,
        env={"PATH": os.environ["PATH"], **environment, "TRANSPORT_FILE": str(file)},
        capture_output=True,
        text=True,
        check=False,
    )


def load(place: Path, text: str | None, **environment: str) -> dict[str, str]:
    done = run(place, SHOW, text, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    pairs = (pair.partition("=") for pair in done.stdout.split("\0")[:-1])
    return {key: value for key, _, value in pairs}


def refused(place: Path, text: str | None, **environment: str) -> list[str]:
    """The error and the hint."""
    done = run(place, "echo on", text, **environment)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()


def test_the_file_beats_the_environment(tmp_path: Path) -> None:
    given = {"APT_MIRROR_URL": "http://environment.example.org", "JOBS": "3", "PATH_TO": "no setting"}
    assert load(tmp_path, None, **given) == {"APT_MIRROR_URL": "http://environment.example.org", "JOBS": "3"}
    text = "APT_MIRROR_URL=http://file.example.org\nMEMORY_MB=9\n"
    wanted = {"APT_MIRROR_URL": "http://file.example.org", "JOBS": "3", "MEMORY_MB": "9"}
    assert load(tmp_path, text, **given) == wanted


def test_nothing_given_is_nothing_set(tmp_path: Path) -> None:
    assert load(tmp_path, None, APT_MIRROR_URL="", JOBS="") == {}
    assert load(tmp_path, "\n\n", http_proxy="") == {}


@pytest.mark.parametrize("key", ["APT_MIRROR_URL", "no_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        "$(touch marker)",
        "`touch marker`",
        "; touch marker; $HOME ${x:=y}",
        "  two  words\tand a tab ",
        "'one\" \\n \\",
        "a=b=",
        "*",
        "-n",
    ],
)
def test_values_are_never_run(tmp_path: Path, key: str, value: str) -> None:
    """The file is the tool's own, so that both sides agree on it."""
    assert load(tmp_path, transport.text({key: value})) == {key: value}
    assert load(tmp_path, f"{key}={value}") == {key: value}  # the last line may lack its end
    assert load(tmp_path, "", **{key: value}) == {key: value}
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("key", ["JOBS", "MEMORY_MB"])
@pytest.mark.parametrize("value", ["0", "-1", "04", "1.5", "4x", " 4", "4 ", "a[$(touch marker)]", "JOBS"])
def test_numbers_are_positive_and_never_computed(tmp_path: Path, key: str, value: str) -> None:
    for error, hint in (refused(tmp_path, f"{key}={value}\n"), refused(tmp_path, "", **{key: value})):
        assert error == f"error: {key}='{value}' is not a positive number"
        assert hint.startswith("hint: ") and f"{key}=4" in hint
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("JOBS=1\n\nAPT_MIRROR=x\n", "line 3: 'APT_MIRROR' is not a transport setting"),
        ("jobs=1\n", "line 1: 'jobs' is not a transport setting"),
        ("JOBS =1\n", "line 1: 'JOBS ' is not a transport setting"),
        ("=1\n", "line 1: '' is not a transport setting"),
        ("# JOBS=1\n", "line 1: '# JOBS' is not a transport setting"),
        ("x[$(touch marker)]=1\n", "line 1: 'x[$(touch marker)]' is not a transport setting"),
        ("JOBS=1\nMEMORY_MB\n", "line 2 is not KEY=value"),
        ("JOBS=1\n$(touch marker)", "line 2 is not KEY=value"),
        pytest.param(
            *("JOBS MEMORY_MB=1\n", "line 1: 'JOBS MEMORY_MB' is not a transport setting"),
            id="two keys",
        ),
    ],
)
def test_a_line_that_is_no_setting_is_refused(tmp_path: Path, text: str, said: str) -> None:
    error, hint = refused(tmp_path, text)
    assert error == f"error: transport file, {said}"
    assert hint.startswith("hint: ")
    assert not (tmp_path / "marker").exists()


def test_the_hint_names_every_setting_of_the_readme(tmp_path: Path) -> None:
    _, hint = refused(tmp_path, "UNKNOWN=1\n")
    proxies = ["http_proxy", "https_proxy", "no_proxy"]
    mirrors = [
        "APT_MIRROR_URL",
        "USE_FAST_UBUNTU_MIRROR",
        "FAST_UBUNTU_MIRROR_URL",
        "FAST_UBUNTU_PORTS_MIRROR_URL",
    ]
    assert sorted(hint.removeprefix("hint: known are: ").split()) == sorted(
        [*proxies, *mirrors, "JOBS", "MEMORY_MB"]
    )


@pytest.mark.parametrize(
    ("text", "per_job", "jobs"),
    [
        ("JOBS=8\n", "1000", "8"),
        ("JOBS=8\nMEMORY_MB=8000\n", "1000", "8"),
        ("JOBS=8\nMEMORY_MB=7999\n", "1000", "7"),
        ("JOBS=2\nMEMORY_MB=64000\n", "1000", "2"),
        ("JOBS=8\nMEMORY_MB=999\n", "1000", "1"),
        ("MEMORY_MB=3000\n", "1000", "3"),
        ("MEMORY_MB=64000\n", "1000", "6"),
        ("", "1000", "6"),
    ],
)
def test_jobs_are_capped_by_memory(tmp_path: Path, text: str, per_job: str, jobs: str) -> None:
    done = run(tmp_path, f"nproc() {{ echo 6; }}; transport_jobs {per_job}", text)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{jobs}\n", "")
