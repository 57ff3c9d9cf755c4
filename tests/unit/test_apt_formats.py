"""linux/scripts/01-core/apt-sources.sh reads both formats of sources.list(5) and refuses what it cannot read."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[2] / "linux" / "scripts" / "01-core"

ONE, TWO = "http://one.example.org/root", "http://two.example.org/root"
KEY = "/usr/share/keyrings/own.gpg"


def run(place: Path, code: str, **files: str) -> subprocess.CompletedProcess[str]:
    """Run shell code on a root with these files of sources, by apt-sources.sh as apt.sh starts it.

    The running root's /etc/apt is written into the script. A copy that names a folder of this test can be given
    any sources, and gives the same result on every host.
    """
    folder = place / "apt" / "sources.list.d"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    script = (CORE / "apt-sources.sh").read_text(encoding="utf-8")
    assert script.count("/etc/apt/sources.list") >= 3
    (place / "apt-sources.sh").write_text(script.replace("/etc/apt/", "apt/"), encoding="utf-8")
    # The limit, in seconds of computing, ends what would never end.
    start = 'set -Eeuo pipefail; ulimit -c 0 -t 1; source "$0/transport.sh"; source ./apt-sources.sh; '
    return subprocess.run(
        ["bash", "-c", start + code, str(CORE)],
        cwd=place,
        env={"PATH": os.environ["PATH"], "DISTRIBUTION": "debian"},
        capture_output=True,
        text=True,
        check=False,
    )


def read(place: Path, **files: str) -> list[str]:
    """What is read of these files, the fields parted by `|`."""
    done = run(place, "apt_sources_of_root", **files)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"deb {ONE} stable main", [f"{ONE}|stable|main|"]),
        (f"  deb\t{ONE}   stable main  contrib \n", [f"{ONE}|stable|main contrib|"]),
        (f"deb [signed-by={KEY}] {ONE} stable main\n", [f"{ONE}|stable|main|{KEY}"]),
        (f"deb [arch=amd64,arm64 signed-by={KEY}] {ONE} stable a b c\n", [f"{ONE}|stable|a b c|{KEY}"]),
        (f"deb [ signed-by={KEY} arch=amd64 ] {ONE} stable main\n", [f"{ONE}|stable|main|{KEY}"]),
        (f"deb [arch=amd64] {ONE} stable main\n", [f"{ONE}|stable|main|"]),
        (f"deb {ONE} a main\ndeb {TWO} b main\n", [f"{ONE}|a|main|", f"{TWO}|b|main|"]),
        (f"# deb {ONE} a main\n\n \t\n #\ndeb-src {ONE} a main\ndeb {TWO} b main\n", [f"{TWO}|b|main|"]),
        (f"deb {ONE} ./\n", [f"{ONE}|./||"]),
        ("", []),
    ],
)
def test_one_line_format(tmp_path: Path, text: str, found: list[str]) -> None:
    assert read(tmp_path, own_list=text) == found


STANZA = f"Types: deb\nURIs: {ONE}\nSuites: stable\nComponents: main\n"
STABLE = f"{ONE}|stable|main|"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (STANZA, [STABLE]),
        (f"types: deb\nuris: {ONE}\nSUITES:stable\nCOMPONENTS:\tmain", [STABLE]),
        (f"{STANZA}Signed-By: {KEY}\n", [STABLE + KEY]),
        (f"{STANZA}Enabled: yes\n", [STABLE]),
        (f"{STANZA}Enabled: no\n", []),
        (f"{STANZA}Enabled: No\n\n\n{STANZA}", [STABLE]),
        (STANZA.replace("deb", "deb deb-src"), [STABLE]),
        (STANZA.replace(ONE, f"{ONE} {TWO}"), [STABLE, STABLE.replace(ONE, TWO)]),
        (
            STANZA.replace(ONE, f"{ONE}  {TWO}").replace("stable", "a\tb"),
            [f"{uri}|{suite}|main|" for uri in (ONE, TWO) for suite in "ab"],
        ),
        (f"# of old\n#Types: deb\n\n{STANZA}# more\n", [STABLE]),
        (f"{STANZA}Signed-By: {KEY}\n\n{STANZA}", [STABLE + KEY, STABLE]),
        pytest.param(
            *(f"{STANZA}Enabled: false\n", []),
            id="Enabled: false",
        ),
        pytest.param(
            *(STANZA.replace("deb", "deb-src"), []),
            id="Types: deb-src",
        ),
        pytest.param(
            *(STANZA.replace(ONE, f"{ONE} "), [STABLE]),
            id="blank after URIs",
        ),
        pytest.param(
            *(STANZA.replace("stable", "stable "), [STABLE]),
            id="blank after Suites",
        ),
    ],
)
def test_deb822_format(tmp_path: Path, text: str, found: list[str]) -> None:
    assert read(tmp_path, own_sources=text) == found


def test_all_files_count_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "apt").mkdir()
    (tmp_path / "apt" / "sources.list").write_text(f"deb {ONE} first main\n")
    off = f"deb {TWO} off main\n"
    found = read(
        tmp_path, a_list=f"deb {ONE} second main\n", b_sources=STANZA, c_disabled=off, d_list_save=off
    )
    assert found == [f"{ONE}|first|main|", f"{ONE}|second|main|", STABLE]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("own_list", f"deb {ONE} a main\nrpm {ONE} a main\n", f"cannot read: rpm {ONE} a main"),
        ("own_list", "Types: deb\n", "cannot read: Types: deb"),
        ("own_sources", f"{STANZA}Signed-By:\n -----BEGIN\n", "cannot read a continued line"),
        ("own_sources", f"{STANZA}\n{STANZA}\tcontrib\n", "cannot read a continued line"),
        pytest.param(
            *("own_list", f"deb [signed-by={KEY} {ONE} a main\n", "cannot read"),
            id="options without end",
        ),
        pytest.param(
            *("own_list", f"deb {ONE}\n", "cannot read"),
            id="no suite",
        ),
        pytest.param(
            *("own_sources", f"{STANZA}rubbish\n", "cannot read"),
            id="no colon",
        ),
        pytest.param(
            *("own_sources", STANZA.replace("URIs", "URI"), "cannot read"),
            id="no URIs",
        ),
        pytest.param(
            *("own_sources", STANZA.replace("Types", "Type"), "cannot read"),
            id="no Types",
        ),
    ],
)
def test_what_cannot_be_read_stops_the_writing(tmp_path: Path, name: str, text: str, said: str) -> None:
    files = {name: text, "z_list": f"deb {TWO} good main\n"}
    done = run(tmp_path, "apt_write_sources amd64 ./written; echo on", **files)
    assert (done.returncode, done.stdout) == (1, "")
    place = f"apt/sources.list.d/{name.replace('_', '.')}"
    assert done.stderr.startswith(f"error: {place}: {said}")
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (f"deb {ONE} ./\n", f"deb [arch=amd64] {ONE} ./"),
        pytest.param(
            f"deb [signed-by={KEY}] {ONE} ./\n",
            f"deb [arch=amd64 signed-by={KEY}] {ONE} ./",
            id="signed",
        ),
    ],
)
def test_a_source_without_components_is_written(tmp_path: Path, text: str, written: str) -> None:
    assert run(tmp_path, "apt_write_sources amd64 ./written", own_list=text).returncode == 0
    assert (tmp_path / "written").read_text().rstrip(" \n") == written
