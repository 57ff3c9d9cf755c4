#!/usr/bin/env python3
"""Prove the gathered media image: each component is what its record says, and programs compile and link against it.

    prove_media.py ARCH GCC_VERSION COMPONENT…

pkg-config is the target's, sees the prefixes alone and may name no folder outside of them. What a component needs of the
distribution at run time is not in this image, so nothing is run here: the gates of the package stage do that.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import elf
from component import read_record

#: Component → language and text of a program that uses it.
CONSUMERS = {
    "onnxruntime": ("c++", "#include <onnxruntime_cxx_api.h>\nint main() { return Ort::GetVersionString().empty(); }\n"),
    "abseil": (
        "c++",
        "#include <absl/types/span.h>\nint first(absl::Span<const int> all) { return all.empty() ? 0 : all.front(); }\n",
    ),
    "ffmpeg": ("c", "#include <libavcodec/avcodec.h>\nint main(void) { return avcodec_version() == 0; }\n"),
    "gstreamer": (
        "c",
        "#include <gst/app/gstappsink.h>\nint main(int n, char **v) { gst_init(&n, &v); return !gst_app_sink_get_type(); }\n",
    ),
    "libcamera": (
        "c++",
        "#include <libcamera/libcamera.h>\nint main() { return libcamera::CameraManager::version().empty(); }\n",
    ),
}


def fail(sentence: str) -> NoReturn:
    """Stop with one sentence."""
    sys.exit(f"error: {sentence}")


def run(*command: str) -> str:
    """Run a command and return what it prints; stop if it fails."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        fail(f"exit status {done.returncode} of {' '.join(command)}\n{done.stdout}")
    return done.stdout


class Proof:
    """The checks for one target; what is compiled goes to `folder`."""

    def __init__(self, arch: str, gcc_version: str, names: list[str], folder: Path) -> None:
        self.arch, self.folder = arch, folder
        self.tool = f"/opt/gcc-{gcc_version}/bin/{elf.TRIPLETS[arch]}-"
        self.records = {name: read_record(Path("/"), name) for name in names}
        for name, record in self.records.items():
            if not record:
                fail(f"{name} says nothing of itself: it was never staged")
        present = [record for record in self.records.values() if record["PROVIDER"] != "absent"]
        self.prefixes = [Path(record["PREFIX"]) for record in present]

    def component(self, name: str) -> None:
        """Check one component against its record."""
        record = self.records[name]
        prefix = Path(record["PREFIX"])
        if record["PROVIDER"] == "absent":
            if os.path.lexists(prefix):
                fail(f"{name} is absent in this profile, but {prefix} is there")
            print(f"{name}: absent")
            return
        lost = [path for path in record["PROMISES"].split() if not (prefix / path).exists()]
        if lost:
            fail(f"{name} lacks {', '.join(lost)} below {prefix}")
        modules = record["MODULES"].split()
        self._consume(name, self._flags(modules) if modules else ["-isystem", str(prefix.parent)], link=bool(modules))
        if modules:
            print(f"{name}: {elf.require(self.arch, prefix)} ELF files are for {self.arch}")

    def _flags(self, modules: list[str]) -> list[str]:
        """Return what pkg-config says of modules; every folder it names has to lie within the prefixes."""
        path = ":".join(f"{prefix}/lib/pkgconfig" for prefix in self.prefixes)
        command = ["env", f"PKG_CONFIG_PATH={path}", f"{self.tool}pkg-config", "--cflags", "--libs", *modules]
        flags = run(*command).split()
        for flag in flags:
            folder = Path(os.path.normpath(flag[2:]))
            if flag[:2] not in ("-I", "-L"):
                continue
            if not any(folder.is_relative_to(prefix) for prefix in self.prefixes) or not folder.is_dir():
                fail(f"pkg-config of {', '.join(modules)} names {flag}, which is no folder of a prefix")
        return flags

    def _consume(self, name: str, flags: list[str], *, link: bool) -> None:
        """Compile a program that uses the component, link it where there is something to link with."""
        language, text = CONSUMERS[name]
        source, result = self.folder / f"{name}.{'c' if language == 'c' else 'cc'}", self.folder / name
        source.write_text(text)
        compiler = self.tool + ("gcc" if language == "c" else "g++")
        # Libraries of the distribution that these stand on come with the runtime image.
        how = ["-Wl,--allow-shlib-undefined"] if link else ["-c"]
        run(compiler, str(source), "-o", str(result), *how, *flags)
        elf.require(self.arch, result)
        print(f"{name}: a program compiles{' and links' if link else ''} against it")


def main(arch: str, gcc_version: str, *names: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        proof = Proof(arch, gcc_version, list(names), Path(folder))
        for name in names:
            proof.component(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
