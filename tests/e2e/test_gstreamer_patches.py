"""linux/patches/gstreamer on the real source packages of gst-plugins-bad, as the distribution's archive has them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from .checkout import TOP
from .machine import host_mirror

PROGRAM = TOP / "linux" / "scripts" / "03-media" / "apply_patches.py"
PATCHES = TOP / "linux" / "patches" / "gstreamer"
NAMES = sorted(path.name for path in PATCHES.glob("*.patch"))
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

#: The elements that need what OpenCV 5 has no more.
GONE = {"faceblur", "facedetect", "handdetect"}
#: The first version whose build lists the plugin's headers; patch 0005 is for that list.
LISTS_HEADERS = (1, 25)


@dataclass(frozen=True)
class Package:
    """An unpacked source package; version: as numbers."""

    suite: str
    version: tuple[int, ...]
    path: Path

    def read(self, name: str) -> str:
        """A file of the plugin."""
        return (self.path / "ext" / "opencv" / name).read_text()

    def registered(self) -> set[str]:
        """The elements that the plugin registers."""
        return set(re.findall(r"GST_ELEMENT_REGISTER \((\w+),", self.read("gstopencv.cpp")))

    def listed(self) -> set[str]:
        """The sources and headers of its own that the plugin's build names."""
        return set(re.findall(r"(?m)^  '([^'/]+\.(?:cpp|h))',?$", self.read("meson.build")))

    def apply(self, patches: Path = PATCHES) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-B", str(PROGRAM), str(self.path), str(patches)]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def state(self) -> dict[str, bytes]:
        """Path → bytes of all that is in the plugin's folder."""
        return {path.name: path.read_bytes() for path in sorted((self.path / "ext" / "opencv").iterdir())}


def fetch(suite: str, place: Path) -> Path:
    """The upstream tarball of a suite, verified by apt; skips, with apt's own words, where the archive has none."""
    (place / "lists" / "partial").mkdir(parents=True)
    (place / "cache" / "archives" / "partial").mkdir(parents=True)
    (place / "sources.list").write_text(f"deb-src [signed-by={KEYS}] {host_mirror()} {suite} main\n")
    settings = {
        "Dir::Etc::SourceList": place / "sources.list", "Dir::Etc::SourceParts": "-", "Dir::State::lists": place / "lists",
        "Dir::Cache": place / "cache", "APT::Sandbox::User": "root", "Acquire::Languages": "none",
        "APT::Update::Error-Mode": "any",
    }  # fmt: skip
    apt = ["apt-get", "-qq", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
    for words in (["update"], ["source", "--download-only", "--tar-only", "gst-plugins-bad1.0"]):
        done = subprocess.run([*apt, *words], cwd=place, capture_output=True, text=True, check=False)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("E: Failed to fetch ")]
            assert said and words[0] == "source", done.stderr  # a list that apt does not trust is no missing archive
            pytest.skip(f"the source of gst-plugins-bad of {suite} cannot be fetched: {said[0]}")
    (tarball,) = place.glob("*.orig.tar.*")
    return tarball


@pytest.fixture(scope="module", params=["stable", "oldstable"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package of a suite; for more than one so that the patches meet more than one version."""
    if shutil.which("apt-get") is None or not KEYS.exists():
        pytest.skip("this host has no apt with the distribution's keys; install debian-archive-keyring")
    place = tmp_path_factory.mktemp(request.param)
    with tarfile.open(fetch(request.param, place)) as archive:
        members = [member for member in archive.getmembers() if "/ext/opencv/" in member.name]
        archive.extractall(place, members, filter="data")
    (path,) = place.glob("gst-plugins-bad-*")
    version = path.name.rpartition("-")[2]
    print(f"\ngst-plugins-bad {version} of {request.param}")
    return Package(request.param, tuple(int(part) for part in version.split(".")), path)


@pytest.fixture
def package(original: Package, tmp_path: Path) -> Package:
    """A copy that a test may change."""
    shutil.copytree(original.path, tmp_path / original.path.name)
    return Package(original.suite, original.version, tmp_path / original.path.name)


@pytest.fixture
def patches(package: Package, tmp_path: Path) -> Path:
    """The patches for this version."""
    chosen = tmp_path / "patches"
    chosen.mkdir()
    for name in NAMES:
        if package.version >= LISTS_HEADERS or not name.startswith("0005"):
            shutil.copy(PATCHES / name, chosen)
    return chosen


def test_they_apply_and_are_applied(package: Package, patches: Path) -> None:
    before = package.registered()
    listed = package.listed()
    assert before >= GONE, f"version {package.version}"

    done = package.apply(patches)
    names = sorted(path.name for path in patches.iterdir())
    assert (done.returncode, done.stderr) == (0, ""), f"version {package.version}: {done.stderr}"
    assert done.stdout.splitlines() == [f"applied: {name}" for name in names]
    after = package.state()
    again = package.apply(patches)
    assert again.stdout.splitlines() == [f"already applied: {name}" for name in names], again.stderr
    assert package.state() == after

    assert package.registered() == before - GONE
    assert listed - package.listed() == {
        f"gst{element}.{kind}" for element in GONE for kind in ("cpp", "h") if f"gst{element}.{kind}" in listed
    }
    assert re.search(r"<opencv2/imgproc.hpp>\n#include <opencv2/geometry.hpp>", package.read("gstsegmentation.cpp"))
    assert re.search(r"<opencv2/calib3d.hpp>\n#include <opencv2/objdetect.hpp>", package.read("gstcameracalibrate.cpp"))
    # Nothing that is still compiled needs what is not.
    for name in package.listed():
        found = re.findall(r"gst(?:faceblur|facedetect|handdetect)\b|CascadeClassifier|CASCADE_", package.read(name))
        assert not found, (name, found)


def test_another_source_is_refused_whole(package: Package, patches: Path) -> None:
    """One line of the last file that is patched is another: nothing at all may change."""
    path = package.path / "ext" / "opencv" / "meson.build"
    path.write_text(path.read_text().replace("  'gstfaceblur.cpp',\n", "  'gstfaceblur.cc',\n"))
    before = package.state()
    done = package.apply(patches)
    assert (done.returncode, done.stdout) == (1, "")
    assert "0004-build-no-cascade-elements.patch" in done.stderr and "ext/opencv/meson.build" in done.stderr
    assert package.state() == before


def test_a_version_without_the_list_of_headers_is_refused_whole(package: Package) -> None:
    """What drift looks like between two real versions."""
    if package.version >= LISTS_HEADERS:
        pytest.skip(f"gst-plugins-bad {package.path.name} has the list")
    before = package.state()
    done = package.apply()
    assert (done.returncode, done.stdout) == (1, "")
    assert "0005-list-no-cascade-headers.patch" in done.stderr and "ext/opencv/meson.build" in done.stderr
    assert package.state() == before
