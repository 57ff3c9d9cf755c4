"""linux/scripts/03-media: pkg-config files that move, dependencies that are replayed, components that are absent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

COMPONENTS = ("onnxruntime", "abseil", "litert", "opencv", "ffmpeg", "gstreamer", "libcamera")

PC = """\
prefix=/usr
exec_prefix=${prefix}
libdir=/usr/lib/aarch64-linux-gnu
includedir=/usr/include/aarch64-linux-gnu
toolsdir=${exec_prefix}/bin
pluginsdir=${libdir}/gstreamer-1.0

Name: example
Description: lives at /usr until it moves
Version: 1.2
Requires: glib-2.0 >= 2.64, gobject-2.0
Requires.private: libunwind, libdw
Libs: -L${libdir} -lexample -L/usr/lib/aarch64-linux-gnu
Libs.private: -lm
Cflags: -I${includedir} -I/usr/include/example -I/usrlocal
"""

MOVED = """\
prefix=${pcfiledir}/../..
exec_prefix=${prefix}
libdir=${prefix}/lib
includedir=${prefix}/include
toolsdir=${exec_prefix}/bin
pluginsdir=${libdir}/gstreamer-1.0

Name: example
Description: lives at /usr until it moves
Version: 1.2
Requires: glib-2.0 >= 2.64, gobject-2.0
Libs: -L${libdir} -lexample -L${prefix}/lib
Cflags: -I${includedir} -I${prefix}/include/example -I/usrlocal
"""


def test_a_pkgconfig_file_speaks_of_the_prefix_it_lies_in(script: Callable[[str], ModuleType]) -> None:
    pkgconfig = script("pkgconfig")
    assert pkgconfig.rewrite(PC, "aarch64-linux-gnu") == MOVED
    assert pkgconfig.rewrite(MOVED, "aarch64-linux-gnu") == MOVED


def test_dependencies_are_the_first_alternatives_of_others(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    stage_media = script("stage_media")
    said = {
        "libone1": "Package: libone1\nPre-Depends: libc6 (>= 2.38)\nDepends: liba (>= 1), libtwo2 (= 3) | other,\n libb:any\nRecommends: no\n",
        "libtwo2": "Package: libtwo2\nDepends: ocl-icd-libopencl1 | libopencl1\n",
        "libone-dev": "Package: libone-dev\nDepends: libheavy-dev\n",
    }
    for package, text in said.items():
        (tmp_path / package).mkdir()
        (tmp_path / package / "control").write_text(text)
    found = stage_media._depends(tmp_path, dict.fromkeys(said, "1"))
    assert found == ["liba", "libb", "libc6", "ocl-icd-libopencl1"]


@pytest.mark.parametrize("name", COMPONENTS)
def test_an_absent_component_stages_the_word_of_it(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stage_media, component = script("stage_media"), script("component")
    monkeypatch.setattr(stage_media, "STAGE", tmp_path)
    stage_media.stage(script(name).COMPONENT, "arm64", "v1", "absent")
    record = component.read_record(tmp_path, name)
    assert record == {"PROVIDER": "absent", "PREFIX": script(name).COMPONENT.prefix}
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["component.env", "runtime-packages"]


def test_a_provider_that_cannot_be_carried_out_is_refused(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage_media = script("stage_media")
    monkeypatch.setattr(stage_media, "STAGE", tmp_path)
    with pytest.raises(SystemExit):
        stage_media.stage(script("ffmpeg").COMPONENT, "arm64", "n9", "source")
    assert "ffmpeg cannot be staged from provider 'source'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_prefixes_are_those_of_the_specification(script: Callable[[str], ModuleType]) -> None:
    prefixes = {name: script(name).COMPONENT.prefix for name in COMPONENTS}
    assert prefixes == {
        "onnxruntime": "/usr/local/lib/onnxruntime-cpu",
        "abseil": "/usr/local/include/absl",
        "litert": "/usr/local/include/tflite",
        "opencv": "/opt/opencv5",
        "ffmpeg": "/opt/ffmpeg",
        "gstreamer": "/opt/gstreamer",
        "libcamera": "/opt/libcamera",
    }


def test_versions_lose_the_letter_before_them(script: Callable[[str], ModuleType]) -> None:
    plain = script("component").plain_version
    assert [plain(version) for version in ("v1.27.0", "n9.0.2", "1.26.2")] == ["1.27.0", "9.0.2", "1.26.2"]
