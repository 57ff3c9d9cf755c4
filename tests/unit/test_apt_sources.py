"""linux/scripts/01-core/apt-sources.sh: which mirror stands in for a root's own package source."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[2] / "linux" / "scripts" / "01-core"

#: As apt.sh starts.
PRELUDE = "set -Eeuo pipefail; source ./transport.sh; source ./apt-sources.sh; transport_load; "

OWN, MIRROR = "http://own.example.org/root", "http://mirror.example.org/all"
FAST, PORTS = "http://fast.example.org/main", "http://ports.example.org/foreign"
KEY = "/usr/share/keyrings/own.gpg"


class Root:
    """A root whose /etc/apt lies in a temporary folder, and the scripts that read it."""

    def __init__(self, place: Path) -> None:
        self.place, self.apt = place, place / "apt"
        (self.apt / "sources.list.d").mkdir(parents=True)
        (place / "transport.sh").write_bytes((CORE / "transport.sh").read_bytes())
        # The running root's /etc/apt is written into the script; a copy that names a folder of this test
        # can be given any sources, and gives the same result on every host.
        text = (CORE / "apt-sources.sh").read_text(encoding="utf-8")
        assert text.count("/etc/apt/sources.list") >= 3
        (place / "apt-sources.sh").write_text(text.replace("/etc/apt/", "apt/"), encoding="utf-8")

    def call(
        self, code: str, *words: str, on: str = "debian", **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run shell code after apt.sh's beginning, on a distribution, with transport settings."""
        transport = self.place / "transport"
        transport.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return subprocess.run(
            ["bash", "-c", PRELUDE + code, "bash", *words],
            cwd=self.place,
            env={"PATH": os.environ["PATH"], "DISTRIBUTION": on, "TRANSPORT_FILE": str(transport)},
            capture_output=True,
            text=True,
            check=False,
        )

    def write(self, arch: str, on: str = "debian", **settings: str) -> str:
        """The file of sources for packages of an arch."""
        done = self.call('apt_write_sources "$1" ./written', arch, on=on, **settings)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return (self.place / "written").read_text()


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


ALL = {
    "APT_MIRROR_URL": MIRROR,
    "USE_FAST_UBUNTU_MIRROR": "true",
    "FAST_UBUNTU_MIRROR_URL": FAST,
    "FAST_UBUNTU_PORTS_MIRROR_URL": PORTS,
}
UBUNTU = {key: value for key, value in ALL.items() if key != "APT_MIRROR_URL"}


@pytest.mark.parametrize(
    ("on", "arch", "suite", "settings", "mirror"),
    [
        ("debian", "amd64", "stable", {}, OWN),
        ("debian", "arm64", "stable", {}, OWN),
        ("debian", "arm64", "stable", {"FAST_UBUNTU_PORTS_MIRROR_URL": PORTS}, OWN),
        ("debian", "amd64", "stable", {"APT_MIRROR_URL": MIRROR}, MIRROR),
        ("debian", "riscv64", "stable-updates", {"APT_MIRROR_URL": MIRROR}, MIRROR),
        ("debian", "source", "stable", {"APT_MIRROR_URL": MIRROR}, MIRROR),
        ("debian", "amd64", "stable-security", {"APT_MIRROR_URL": MIRROR}, OWN),
        ("ubuntu", "amd64", "noble", {}, OWN),
        ("ubuntu", "amd64", "noble", {"FAST_UBUNTU_MIRROR_URL": FAST}, OWN),
        ("ubuntu", "amd64", "noble", {**UBUNTU, "USE_FAST_UBUNTU_MIRROR": "false"}, OWN),
        ("ubuntu", "amd64", "noble", UBUNTU, FAST),
        ("ubuntu", "amd64", "noble-security", UBUNTU, FAST),
        ("ubuntu", "source", "noble", UBUNTU, FAST),
        ("ubuntu", "arm64", "noble", UBUNTU, PORTS),
        ("ubuntu", "riscv64", "noble", {"FAST_UBUNTU_PORTS_MIRROR_URL": PORTS}, PORTS),
        ("ubuntu", "riscv64", "noble", {"APT_MIRROR_URL": MIRROR}, MIRROR),
        ("ubuntu", "amd64", "noble", ALL, MIRROR),
        ("ubuntu", "arm64", "noble-security", ALL, PORTS),
    ],
)
def test_packages_come_from_the_mirror_that_holds_them(
    root: Root, on: str, arch: str, suite: str, settings: dict[str, str], mirror: str
) -> None:
    code = 'apt_check_mirror_settings "$1"; apt_mirror_for "$@"'
    done = root.call(code, arch, OWN, suite, on=on, **settings)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{mirror}\n", "")


@pytest.mark.parametrize(
    ("on", "arch", "settings", "error", "hint"),
    [
        ("debian", "amd64", UBUNTU, "=true, but the root is debian", "APT_MIRROR_URL"),
        ("debian", "amd64", ALL, "=true, but the root is debian", "APT_MIRROR_URL"),
        ("ubuntu", "amd64", {"USE_FAST_UBUNTU_MIRROR": "true"}, "URL is not set", "FAST_UBUNTU_MIRROR_URL"),
        ("ubuntu", "arm64", {}, "packages of arm64", "FAST_UBUNTU_PORTS_MIRROR_URL"),
        ("ubuntu", "riscv64", {"FAST_UBUNTU_MIRROR_URL": FAST}, "packages of riscv64", "PORTS_MIRROR_URL"),
        ("ubuntu", "amd64", {"USE_FAST_UBUNTU_MIRROR": "yes"}, "'yes' is neither", "true or false"),
        ("debian", "amd64", {"USE_FAST_UBUNTU_MIRROR": "True"}, "'True' is neither", "true or false"),
    ],
)
def test_settings_that_do_not_fit_are_an_error(
    root: Root, on: str, arch: str, settings: dict[str, str], error: str, hint: str
) -> None:
    done = root.call('apt_check_mirror_settings "$1"; echo on', arch, on=on, **settings)
    assert (done.returncode, done.stdout) == (1, "")
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ") and error in first
    assert second.startswith("hint: ") and hint in second


def test_the_files_of_the_root_are_written_for_one_arch(root: Root) -> None:
    (root.apt / "sources.list").write_text(f"deb {OWN} stable main\n")
    text = (
        f"Types: deb deb-src\nURIs: {OWN}\nSuites: stable-updates stable-security\nComponents: main contrib\n"
    )
    (root.apt / "sources.list.d" / "own.sources").write_text(f"{text}Signed-By: {KEY}\n")
    before = {path: path.read_text() for path in root.apt.rglob("*") if path.is_file()}
    signed = f"[arch=arm64 signed-by={KEY}]"
    assert root.write("arm64", APT_MIRROR_URL=MIRROR).splitlines() == [
        f"deb [arch=arm64] {MIRROR} stable main",
        f"deb {signed} {MIRROR} stable-updates main contrib",
        f"deb {signed} {OWN} stable-security main contrib",
    ]
    assert root.write("source").splitlines() == [
        f"deb-src {OWN} stable main",
        f"deb-src [signed-by={KEY}] {OWN} stable-updates main contrib",
        f"deb-src [signed-by={KEY}] {OWN} stable-security main contrib",
    ]
    ports = root.write("riscv64", on="ubuntu", **UBUNTU)
    assert ports.startswith(f"deb [arch=riscv64] {PORTS} stable main\n") and OWN not in ports
    assert before == {path: path.read_text() for path in root.apt.rglob("*") if path.is_file()}


def test_a_root_without_sources_is_an_error(root: Root) -> None:
    (root.apt / "sources.list").write_text("# nothing\n")
    done = root.call("apt_write_sources amd64 ./written")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the root names no package source\nhint: ")


@pytest.mark.parametrize("value", ["$(touch marker)", "`touch marker`", "a b; touch marker", "'\"\\t*"])
def test_values_are_written_as_they_are(root: Root, value: str) -> None:
    components = "main $(touch${IFS}marker) \\n *"
    (root.apt / "sources.list").write_text(f"deb {OWN} stable {components}\n")
    places = [("debian", "APT_MIRROR_URL", "amd64"), ("ubuntu", "FAST_UBUNTU_PORTS_MIRROR_URL", "arm64")]
    for on, key, arch in places:
        done = root.call("apt_check_mirror_settings amd64", on=on, **{key: value})
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        written = root.write(arch, on=on, **{key: value})
        assert written == f"deb [arch={arch}] {value} stable {components}\n"
    done = root.call("apt_check_mirror_settings amd64", USE_FAST_UBUNTU_MIRROR=value)
    assert f"USE_FAST_UBUNTU_MIRROR='{value}' is neither" in done.stderr
    assert not (root.place / "marker").exists()
