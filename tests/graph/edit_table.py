"""The edit table: real edits of this repository, and the nodes that each makes stale, all arches.

A row is a name, what is done to a copy of the project, and the nodes that are then built for an input of their own, as
words with one meaning: ``*`` stands for anything but ``:`` and ``/``. So ``media-*`` is the last step of the media stage
of every arch, ``media-*:*`` every other step. What stands on a stale node is built only if that comes out different, and
is no part of the row. A word that means no node at all is an error, so a row cannot outlive what it speaks of.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from .planning import Copy

Edit = Callable[[Copy], object]

CORE, TOOLCHAIN, SDK, MEDIA = (f"linux/scripts/{name}" for name in ("01-core", "02-toolchain", "02-sdk", "03-media"))
ANDROID, TORCH, PACKAGING = (f"linux/scripts/{name}" for name in ("04-android", "05-torch", "06-packaging"))
APP = "linux/app"
NATIVE = ("LANE=native",)
PREBUILT = "linux/profiles/prebuilt.env"

#: The steps of the media stage that stage a component from packages.
COMPONENTS = "media-*:onnxruntime media-*:litert media-*:opencv media-*:ffmpeg media-*:gstreamer media-*:libcamera media-*:opencv-gst"
GCC = "compiler:gcc-host compiler:gcc-* compiler:native-gcc-*"
PYTHON_CROSS = "compiler:python-cross-*"
#: The steps that call a compiler for the target by the tree's own scripts.
VULKAN = "sdk-*:vulkan-headers sdk-*:vulkan-loader sdk-*:spirv-headers sdk-*:spirv-tools sdk-*:glslang"
#: What the package and torch stages make of a version of the app, or of a framework.
APP_STEPS = "torch-*:torch torch-* torch-*:smoke"
OUTPUTS = "out/linux-sdk/* out/linux-runtime/* out/venv/* out/local-oci/android/* out/manifest/*"
EVERYTHING = f"* *:* {OUTPUTS}"


@dataclass(frozen=True)
class Row:
    """edit: what is done; stale: the nodes that are built for it; renamed: exports of which only artifact.env is written
    anew; words: settings on the command line, before and without the edit they change nothing."""

    edit: Edit
    stale: str = ""
    renamed: str = ""
    words: tuple[str, ...] = ()


# Edits


def append(name: str, text: str = "\n# another line\n") -> Edit:
    """A line more at a file's end."""
    return lambda copy: copy.append(name, text)


def replace(name: str, old: str, new: str) -> Edit:
    return lambda copy: copy.replace(name, old, new)


def mode(name: str, bits: int) -> Edit:
    return lambda copy: os.chmod(copy.path / name, bits)


def nothing(copy: Copy) -> None:
    """The words of the row are the edit."""


def both(*edits: Edit) -> Edit:
    return lambda copy: [edit(copy) for edit in edits]


def comment(name: str, before: str) -> Edit:
    """A comment in front of each line that begins like this."""
    return lambda copy: copy.write(name, re.sub(rf"(?m)^(?={before})", "# why\n\n", copy.read(name)))


def rewrap(copy: Copy) -> None:
    """Each mount of the SDK's steps on the line of the one before."""
    path = "linux/Dockerfile.sdk"
    assert copy.read(path).count("\\\n    --mount") > 9
    copy.replace(path, "\\\n    --mount", "--mount")


def swap(name: str, first: str, second: str) -> Edit:
    """Two steps of a Dockerfile change places, each with its text."""

    def edit(copy: Copy) -> None:
        parts = re.split(r"(?m)^(?=(?:#.*\n)*FROM )", copy.read(name))
        one, two = (next(n for n, part in enumerate(parts) if f" AS {step}\n" in part) for step in (first, second))
        parts[one], parts[two] = parts[two], parts[one]
        copy.write(name, "\n".join(parts))

    return edit


def version(key: str, new: str) -> Edit:
    """Another value, where the profile names it, else in versions.env and in the defaults that have to agree with it."""

    def edit(copy: Copy) -> None:
        if re.search(rf"(?m)^{key}=", copy.read(PREBUILT)):
            set_line(copy, PREBUILT, key, new)
        else:
            pinned(key, new)(copy)

    return edit


def pinned(key: str, new: str) -> Edit:
    """Another value in versions.env and in the defaults of the Dockerfiles, whatever a profile says."""

    def edit(copy: Copy) -> None:
        set_line(copy, "versions.env", key, new)
        for path in sorted((copy.path / "linux").glob("Dockerfile.*")):
            text = path.read_text("utf-8")
            path.write_text(re.sub(rf"(?m)^(ARG {key})=.*$", rf"\g<1>={new}", text), "utf-8")

    return edit


def set_line(copy: Copy, name: str, key: str, new: str) -> None:
    text, found = re.subn(rf"(?m)^{key}=.*$", f"{key}={new}", copy.read(name))
    assert found == 1 and text != copy.read(name), (name, key)
    copy.write(name, text)


def touch(copy: Copy) -> None:
    """Every file gets another time."""
    for path in copy.path.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (1, 1))


def rewrite_profile(copy: Copy) -> None:
    """The lines of the profile in another order."""
    lines = [line for line in copy.read(PREBUILT).splitlines(keepends=True) if not line.startswith("#")]
    copy.write(PREBUILT, "".join(sorted(lines, reverse=True)))


def allow_source(copy: Copy) -> None:
    """Let every provider be asked for, whether its steps can carry it out or not."""
    text = re.sub(r'("providers"): \[[^]]*\]', r'\1: ["distro", "source", "absent"]', copy.read("SConstruct"))
    copy.write("SConstruct", re.sub(r'("providers_of"): \{[^}]*\}', r"\1: {}", text))


EDITS: dict[str, Row] = {
    # What decides nothing
    "comments in Dockerfile.base": Row(comment("linux/Dockerfile.base", "FROM|RUN|ARG")),
    "comments in Dockerfile.toolchain": Row(comment("linux/Dockerfile.toolchain", "FROM|RUN|ARG|COPY")),
    "comments in Dockerfile.sdk": Row(comment("linux/Dockerfile.sdk", "FROM|RUN|ARG|COPY")),
    "comments in Dockerfile.media": Row(comment("linux/Dockerfile.media", "FROM|RUN|ARG|COPY")),
    "comments in Dockerfile.android": Row(comment("linux/Dockerfile.android", "FROM|RUN|ARG")),
    "comments in Dockerfile.package": Row(comment("linux/Dockerfile.package", "FROM|RUN|ARG|COPY|ENV")),
    "comments in Dockerfile.torch": Row(comment("linux/Dockerfile.torch", "FROM|RUN|ARG|COPY|ENV|USER")),
    "another wrapping": Row(rewrap),
    "two steps change places": Row(swap("linux/Dockerfile.media", "onnxruntime", "ffmpeg")),
    "comment in versions.env": Row(append("versions.env")),
    "comment in the profile": Row(append(PREBUILT)),
    "order of the profile": Row(rewrite_profile),
    "another profile": Row(append("linux/profiles/source.env", "ABSEIL_VERSION=1\n")),
    "comment in the SConscript": Row(append("linux/SConscript")),
    "the README": Row(append("README.md")),
    "a page of the documents": Row(append("docs/stages.md")),
    "requirements of the tool": Row(append("requirements.txt")),
    "what git ignores": Row(append(".gitignore", "*.tmp\n")),
    "time of every file": Row(touch),
    "mode of a Dockerfile": Row(mode("linux/Dockerfile.media", 0o600)),
    "mode of versions.env": Row(mode("versions.env", 0o600)),
    "a script that no step takes": Row(lambda copy: copy.write(f"{MEDIA}/notes.py", "x\n")),
    "a patch for a build from source": Row(append("linux/patches/gstreamer/0004-build-no-cascade-elements.patch")),
    # Ignore files: an allow-list decides only by what it takes away
    "comment in an ignore file": Row(append("linux/Dockerfile.media.dockerignore")),
    "ignore file allows more": Row(append("linux/Dockerfile.sdk.dockerignore", "!README.md\n")),
    "ignore file hides what no step takes": Row(append("linux/Dockerfile.media.dockerignore", "docs\n")),
    # Scripts of one step
    "ffmpeg": Row(append(f"{MEDIA}/ffmpeg.py"), "media-*:ffmpeg"),
    "onnxruntime": Row(append(f"{MEDIA}/onnxruntime.py"), "media-*:onnxruntime"),
    "litert": Row(append(f"{MEDIA}/litert.py"), "media-*:litert"),
    "abseil": Row(append(f"{MEDIA}/abseil.py"), "media-*:litert"),
    "opencv": Row(append(f"{MEDIA}/opencv.py"), "media-*:opencv media-*:opencv-gst"),
    "gstreamer": Row(append(f"{MEDIA}/gstreamer.py"), "media-*:gstreamer"),
    "libcamera": Row(append(f"{MEDIA}/libcamera.py"), "media-*:libcamera"),
    "proof of the media stage": Row(append(f"{MEDIA}/prove_media.py"), "media-*"),
    "GCC": Row(append(f"{TOOLCHAIN}/stage_gcc.py"), GCC),
    "clang": Row(append(f"{TOOLCHAIN}/stage_llvm.py"), "compiler:clang sdk-*:llvm-target"),
    "wrappers of clang": Row(append(f"{TOOLCHAIN}/host-clang.sh"), "compiler:clang"),
    "Python of the host": Row(append(f"{TOOLCHAIN}/python-host.sh"), "compiler:python-host"),
    "Python of the targets": Row(append(f"{TOOLCHAIN}/python_sysconfig.py"), PYTHON_CROSS),
    "targets that are kept": Row(append(f"{TOOLCHAIN}/keep-targets.sh"), "compiler:compiler"),
    "proof of the compilers": Row(append(f"{TOOLCHAIN}/prove_toolchain.py"), "compiler"),
    "sources of Vulkan": Row(append(f"{SDK}/fetch_sources.py"), "sdk:sources"),
    "glslang": Row(append(f"{SDK}/build-glslang.sh"), "sdk-*:glslang"),
    "clang of the target": Row(append(f"{SDK}/llvm-target.sh"), "sdk-*:llvm-target"),
    "proof of the SDK": Row(append(f"{SDK}/prove-sdk.sh"), "sdk-*"),
    "payload of Android": Row(append(f"{ANDROID}/payload.sh"), "android-*:android-sdk"),
    "swap of GCC": Row(append(f"{ANDROID}/swap_native_gcc.py"), "android-*"),
    "payload of the package": Row(append(f"{PACKAGING}/payload.py"), "package-*:artifact-source"),
    "packages of the runtime": Row(append(f"{PACKAGING}/runtime-deps.sh"), "package-*:runtime-deps"),
    "set-up of the package": Row(append(f"{PACKAGING}/setup-package.sh"), "package-*"),
    "guard of the compilers": Row(append(f"{PACKAGING}/compiler_guard.py"), "package-* package-*:wrapper-smoke"),
    "the gate": Row(append(f"{PACKAGING}/smoke-wrapper.sh"), "package-*:wrapper-smoke"),
    "wheels": Row(append(f"{MEDIA}/wheelhouse.py"), "media-*:app-wheelhouse"),
    "table of wheels": Row(append(f"{MEDIA}/wheel_table.py"), "media-*:app-wheelhouse"),
    "frameworks": Row(append(f"{TORCH}/frameworks.sh"), "torch-*:frameworks"),
    "uv": Row(append(f"{TORCH}/fetch-uv.sh"), "torch-*:uv"),
    "lock of uv": Row(append(f"{TORCH}/uv.sha256"), "torch-*:uv"),
    "installer of the app": Row(append(f"{TORCH}/install_app.py"), "torch-*:torch"),
    "user of the image": Row(append(f"{TORCH}/runtime-user.sh"), "torch-*"),
    "entry point": Row(append(f"{TORCH}/entrypoint.sh"), "torch-*"),
    "health check": Row(append(f"{TORCH}/healthcheck.sh"), "torch-*"),
    "gate of the torch stage": Row(append(f"{TORCH}/smoke-torch.sh"), "torch-*:smoke"),
    # The app comes as a folder, so all that is in it counts
    "lock of the app": Row(append(f"{APP}/requirements.lock"), "torch-*:torch"),
    "source of the app": Row(append(f"{APP}/src/edgeinfer/cli.py"), "torch-*:torch"),
    "a file more of the app": Row(lambda copy: copy.write(f"{APP}/src/edgeinfer/more.py", "x = 1\n"), "torch-*:torch"),
    "a file fewer of the app": Row(lambda copy: (copy.path / f"{APP}/src/edgeinfer/quiet.py").unlink(), "torch-*:torch"),
    "an empty folder in the app": Row(lambda copy: (copy.path / f"{APP}/src/empty").mkdir(), "torch-*:torch"),
    # Scripts of many steps
    "tooling": Row(append(f"{CORE}/base-tooling.sh"), "base:tooling runtime-base-*"),
    "emulators": Row(append(f"{CORE}/base-qemu.sh"), "base:qemu runtime-base-*:qemu"),
    "stager of packages": Row(
        append(f"{CORE}/staging.py"), f"{GCC} compiler:clang {PYTHON_CROSS} sdk-*:llvm-target {COMPONENTS} media-*:app-wheelhouse"
    ),
    "certificates": Row(append(f"{CORE}/online.sh"), "torch-*:uv torch-*:torch"),
    "stager of components": Row(append(f"{MEDIA}/stage_media.py"), COMPONENTS),
    "table of components": Row(append(f"{MEDIA}/component.py"), f"{COMPONENTS} media-* package-*:artifact-source"),
    "builder of the SDK's components": Row(
        append(f"{SDK}/build-component.sh"), "sdk-*:vulkan-loader sdk-*:spirv-tools sdk-*:glslang"
    ),
    "what a target is": Row(append(f"{SDK}/target.sh"), f"sdk-*:llvm-target {VULKAN} sdk-*"),
    # Modes and links
    "mode of a script": Row(mode(f"{MEDIA}/ffmpeg.py", 0o600), "media-*:ffmpeg"),
    "setuid bit of a script": Row(mode(f"{SDK}/build-glslang.sh", 0o4755), "sdk-*:glslang"),
    # A mount shows what a link leads to.
    "script replaced by a link to its bytes": Row(
        both(
            lambda copy: (copy.path / MEDIA / "ffmpeg.py").rename(copy.path / MEDIA / "other.py"),
            lambda copy: (copy.path / MEDIA / "ffmpeg.py").symlink_to("other.py"),
        )
    ),
    "script replaced by a link to another": Row(
        both(
            lambda copy: (copy.path / MEDIA / "ffmpeg.py").unlink(),
            lambda copy: (copy.path / MEDIA / "ffmpeg.py").symlink_to("opencv.py"),
        ),
        "media-*:ffmpeg",
    ),
    # Versions
    "OPENCV_VERSION": Row(version("OPENCV_VERSION", "5.1.0"), "media-*:opencv media-*:opencv-gst"),
    "LITERT_VERSION": Row(version("LITERT_VERSION", "v3"), "media-*:litert"),
    "ABSEIL_VERSION": Row(version("ABSEIL_VERSION", "2"), "media-*:litert"),
    "FFMPEG_VERSION": Row(version("FFMPEG_VERSION", "n8"), "media-*:ffmpeg"),
    "GSTREAMER_VERSION": Row(version("GSTREAMER_VERSION", "2"), "media-*:gstreamer"),
    "LIBCAMERA_VERSION": Row(version("LIBCAMERA_VERSION", "v1"), "media-*:libcamera"),
    "ONNXRUNTIME_VERSION": Row(
        version("ONNXRUNTIME_VERSION", "v2"), "media-*:onnxruntime torch-*:frameworks torch-*:smoke"
    ),
    "PYTHON_VERSION": Row(
        version("PYTHON_VERSION", "3.15.0"), f"compiler:python-host {PYTHON_CROSS} compiler media-*:app-wheelhouse"
    ),
    "NUMPY_VERSION": Row(version("NUMPY_VERSION", "3"), "media-*:app-wheelhouse"),
    "PYTORCH_VERSION": Row(version("PYTORCH_VERSION", "v3"), "torch-*:frameworks torch-*:smoke"),
    "PYTORCH_EXTRA": Row(version("PYTORCH_EXTRA", "none"), "torch-*:frameworks torch-*:smoke"),
    "UV_VERSION": Row(version("UV_VERSION", "1"), "torch-*:uv"),
    "APP_VERSION": Row(version("APP_VERSION", "1"), APP_STEPS),
    "TORCH_APP_MODE": Row(version("TORCH_APP_MODE", "all"), "torch-*:torch torch-*:smoke"),
    "LLVM_RELEASE": Row(
        version("LLVM_RELEASE", "23.1.0"),
        "compiler:clang compiler:compiler compiler sdk-*:llvm-target package-*:artifact-source package-* "
        "package-*:wrapper-smoke",
    ),
    "GCC_VERSION": Row(
        version("GCC_VERSION", "15.1.0"),
        f"{GCC} compiler:clang compiler:compiler compiler sdk-*:llvm-target {VULKAN} sdk-* media-* media-*:app-wheelhouse "
        "android-* package-*:artifact-source package-* package-*:wrapper-smoke",
    ),
    "VULKAN_VERSION": Row(
        version("VULKAN_VERSION", "1.5"), f"sdk:sources {VULKAN} sdk-* package-*:artifact-source package-*"
    ),
    "ANDROID_PAYLOAD": Row(version("ANDROID_PAYLOAD", "on"), "android-*:android-sdk"),
    "order of CROSS_TARGETS": Row(version("CROSS_TARGETS", "riscv64,arm64,amd64"), "compiler:compiler compiler"),
    "version that the profile gives": Row(pinned("FFMPEG_VERSION", "n10")),
    "version of all that the profile gives": Row(pinned("GCC_VERSION", "17.1.0")),
    "version for one arch": Row(append(PREBUILT, "FFMPEG_VERSION_ARM64=n8\n"), "media-arm64:ffmpeg"),
    "version for one arch that says the same": Row(append(PREBUILT, "FFMPEG_VERSION_ARM64=n7.1.5\n")),
    "version of no step": Row(append("versions.env", "NEW_VERSION=1\n")),
    "time of all files in images": Row(append("versions.env", "SOURCE_DATE_EPOCH=7\n"), EVERYTHING),
    "provider": Row(both(allow_source, version("FFMPEG_PROVIDER", "source")), "media-*:ffmpeg"),
    "what providers can be asked for": Row(allow_source),
    # The graph
    "suite of the roots": Row(replace("linux/SConscript", 'suite="stable"', 'suite="testing"'), "bootstrap-*"),
    "packages of the roots": Row(replace("linux/SConscript", '"ca-certificates"', '"ca-certificates,tzdata"'), "bootstrap-*"),
    "name for people": Row(replace("linux/SConscript", 'tag="base"', 'tag="basis"')),
    "name for people of what is exported": Row(
        replace("linux/SConscript", "cross-sdk-{arch}", "sdk-{arch}"), renamed="out/linux-sdk/*"
    ),
    "name for people of a parent that an export tells": Row(
        replace("linux/SConscript", "latest-cross-base-{arch}", "basis-{arch}"), renamed="out/linux-runtime/*"
    ),
    "gate less": Row(
        replace("linux/SConscript", "image=torch, gates=passed,", "image=torch, gates=passed[:1],"),
        "out/linux-runtime/*",
    ),
    "parent of a stage": Row(
        replace("linux/SConscript", 'env.Stage("android", arch, parent=media', 'env.Stage("android", arch, parent=sdk'),
        "android-*:android-sdk",
    ),
    "value that the graph gives": Row(
        replace("linux/SConscript", 'values={"ARTIFACT_PLATFORM": env.PlatformOf(artifact)}',
                'values={"ARTIFACT_PLATFORM": env.PlatformOf(artifact), "LLVM_RELEASE": "1"}'),
        "package-*:artifact-source package-* package-*:wrapper-smoke",
    ),
    "a stage on top": Row(
        both(
            lambda copy: copy.write("linux/Dockerfile.more", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS final\nRUN true\n"),
            append("linux/SConscript", '\nenv.Stage("more", parent=base)\n'),
        ),
        "more",
    ),
    # The text of the Dockerfiles
    "command of one step": Row(
        replace("linux/Dockerfile.media", "python3 -B /run/ffmpeg.py", "python3 -B -W error /run/ffmpeg.py"), "media-*:ffmpeg"
    ),
    "variable of the environment": Row(
        replace("linux/Dockerfile.toolchain", "ENV GCC_PREFIX=", "ENV CCACHE_DISABLE=1\nENV GCC_PREFIX="), "compiler:compiler"
    ),
    "version that a step declares for nothing": Row(
        replace("linux/Dockerfile.media", "ARG FFMPEG_VERSION=", "ARG VULKAN_VERSION=1.4.341.1\nARG FFMPEG_VERSION="),
        "media-*:ffmpeg",
    ),
    "mirror that a step declares": Row(
        replace("linux/Dockerfile.android", "ARG ANDROID_PAYLOAD=off\n", "ARG ANDROID_PAYLOAD=off\nARG APT_MIRROR_URL=\n"),
        "android-*:android-sdk",
    ),
    "step takes one more from another": Row(
        replace("linux/Dockerfile.media", "COPY --from=ffmpeg /opt/stage/ /\n",
                "COPY --from=ffmpeg /opt/stage/ /\nCOPY --from=ffmpeg /opt/stage/opt/ffmpeg /opt/ffmpeg-too\n"),
        "media-*:media-inputs",
    ),
    "a step that nobody needs": Row(
        replace("linux/Dockerfile.media", "# What GStreamer", "FROM ${BASE_IMAGE} AS spare\nRUN true\n\n# What GStreamer"),
        "media-*:spare",
    ),
    "a step at the end, which is the stage's image then": Row(
        append("linux/Dockerfile.base", "\nFROM tooling AS last\nRUN true\n"), "base runtime-base-*:last"
    ),
    # The native lane, where each arch has all steps of its own
    "native lane": Row(nothing, words=NATIVE),
    "native lane, ffmpeg": Row(append(f"{MEDIA}/ffmpeg.py"), "media-*:ffmpeg", words=NATIVE),
    "native lane, GCC": Row(
        append(f"{TOOLCHAIN}/stage_gcc.py"), "compiler-*:gcc-host compiler-*:gcc-* compiler-*:native-gcc-*", words=NATIVE
    ),
    "native lane, sources of Vulkan": Row(append(f"{SDK}/fetch_sources.py"), "sdk-*:sources", words=NATIVE),
    "native lane, graph of the cross lane": Row(replace("linux/SConscript", 'suite="stable"', 'suite="testing"'), words=NATIVE),
    "native lane, suite of the roots": Row(
        replace("linux/native/SConscript", 'suite="stable"', 'suite="testing"'), "bootstrap-*", words=NATIVE
    ),
    "graph of the native lane": Row(replace("linux/native/SConscript", 'suite="stable"', 'suite="testing"')),
    # The command line
    "mirror": Row(nothing, words=("APT_MIRROR_URL=http://mirror.test/all",)),
    "proxy": Row(nothing, words=("http_proxy=http://proxy.test",)),
    "place of the logs": Row(nothing, words=("LOG_DIR=logs",)),
    "place of the exports": Row(nothing, OUTPUTS, words=("OUTPUT_ROOT=elsewhere",)),
    "jobs": Row(nothing, words=("-j3",)),
    "repository": Row(
        nothing, "out/manifest/*", renamed="out/linux-sdk/* out/linux-runtime/*", words=("IMAGE_REPO=example.test/name",)
    ),
    "reference of the manifest": Row(nothing, "out/manifest/*", words=("IMAGE=example.test/name:1",)),
    "version on the command line": Row(nothing, "media-*:gstreamer", words=("GSTREAMER_VERSION=2",)),
    "version of one arch on the command line": Row(nothing, "media-riscv64:gstreamer", words=("GSTREAMER_VERSION_RISCV64=2",)),
    # A manifest of fewer arches is another one.
    "one arch": Row(nothing, "out/manifest/*", words=("TARGET_ARCH=arm64",)),
    "targets": Row(nothing, "compiler:compiler compiler out/manifest/*", words=("CROSS_TARGETS=amd64,arm64",)),
    "another root": Row(nothing, "bootstrap-*", words=(f"ROOT_IMAGE=localhost/root@sha256:{'0' * 64}",)),
    "target list": Row(
        lambda copy: set_line(copy, "versions.env", "CROSS_DEFAULT_ARCHES", "arm64"), "out/manifest/*"
    ),
}  # fmt: skip
