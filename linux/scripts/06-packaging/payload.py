#!/usr/bin/env python3
"""Select from the artifact image what the runtime image takes, below /payload; runs in the artifact image.

    payload.py ARCH GCC_VERSION LLVM_RELEASE VULKAN_VERSION

The table holds every path of the specification. A path whose component is absent is skipped and said; one that should be
there and is not is an error. Whatever is selected has to be for the target: a tree of the build platform that slips into
a runtime image is dead weight at best (fix 4).
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import elf
from component import RECORDS, read_record


@dataclass(frozen=True)
class Row:
    """A path of the artifact image, where it goes in the runtime image, and whose it is.

    path:      empty for the prefix that the component itself names
    component: a media component, whose own record says whether it is absent; "chain" for what is always there; empty for
               what no profile of this chain provides yet
    """

    path: str
    component: str
    target: str = ""
    #: Files that run nowhere or on several machines: not looked at for their machine.
    any_machine: bool = False


def rows(gcc: str, llvm: str, vulkan: str, cpu: str) -> list[Row]:
    """Return the table for these versions; `cpu` is the kernel's name of the target."""
    del llvm  # its tree bears no version here
    return [
        *(Row("", name) for name in ("onnxruntime", "abseil", "litert", "opencv", "ffmpeg", "gstreamer", "libcamera")),
        Row(str(RECORDS), "chain"),
        Row(f"/opt/gcc-{gcc}", "chain"),
        Row("/opt/llvm-target", "chain", "/usr/local/llvm-target"),
        Row(f"/opt/vulkan/{vulkan}/{cpu}", "chain"),
        Row("/opt/wheels", "chain", any_machine=True),
        Row("/opt/android", "chain", any_machine=True),
        Row("/opt/android-sdk", "", any_machine=True),
        Row("/opt/armnn", ""),
        Row("/opt/acl", ""),
        Row("/opt/flutter", ""),
        Row("/usr/local/rustup", ""),
        Row("/usr/local/cargo", ""),
        *(Row(f"/usr/local/lib/onnxruntime-{name}", "") for name in ("genai", "gpu", "web")),
        *(Row(f"/usr/local/lib/litert{name}-web", "litert") for name in ("", "-lm")),
        *(Row(f"/usr/local/include/{name}", "litert") for name in ("tensorflow", "flatbuffers", "c")),
        *(Row(f"/usr/local/lib/pkgconfig/{name}.pc", "litert") for name in ("litert", "tensorflow-lite", "tensorflowlite_c")),
        Row("/usr/local/lib/pkgconfig/libvvdec.pc", ""),
    ]


def select(table: list[Row], arch: str, root: Path, payload: Path) -> list[str]:
    """Move what the table names from `root` to `payload`; return one line for each row."""
    said = []
    for row in table:
        record = read_record(root, row.component) or read_record(payload, row.component)
        path = row.path or record.get("PREFIX", "")
        if not path:
            sys.exit(f"error: {row.component} says nothing of itself in the artifact image\nhint: build the media stage anew")
        source, target = root / path.lstrip("/"), payload / (row.target or path).lstrip("/")
        if row.component != "chain" and record.get("PROVIDER", "absent") == "absent":
            if source.exists():
                sys.exit(f"error: {path} is there, but its component is absent\nhint: give it a row of its own")
            said.append(f"{path}: absent")
            continue
        if not source.exists():
            sys.exit(f"error: {path} is not in the artifact image\nhint: is ARTIFACT_IMAGE that of the android stage?")
        count, offenders = elf.check(arch, source)
        if offenders and not row.any_machine:
            sys.exit("\n".join(f"error: {sentence}" for sentence in offenders))
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mv", "--no-target-directory", str(source), str(target)], check=True)
        said.append(f"{path}: taken, {count} ELF files")
    return said


def main(arch: str, gcc: str, llvm: str, vulkan: str) -> None:
    cpu = elf.TRIPLETS[arch].partition("-")[0]
    for line in select(rows(gcc, llvm, vulkan, cpu), arch, Path("/"), Path("/payload")):
        print(line)


if __name__ == "__main__":
    main(*sys.argv[1:])
