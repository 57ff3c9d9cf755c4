"""A small project for one test, with its store, and what can be asked of both."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from fake_engine import FakeEngine, write_layout
from stagegraph.model import LABEL_NODE

from .runner import TOOLS, Result, run_scons, start_scons

SCONSTRUCT = """\
from SCons.Script import DefaultEnvironment, Environment

DefaultEnvironment(tools=[])
env = Environment(
    toolpath=[{tools!r}],
    tools=[("stagegraph", {{"versions_file": "versions.env", "profiles": "profiles", "profile": "plain"}})],
)
{graph}
env.StageGraph()
"""

GRAPH = """\
root = env.Root("bootstrap", "amd64")
base = env.Stage("base", parent=root, tag="base")
compiler = env.Stage("compiler", parent=base)
for arch in env["ARCHES"]:
    sdk = env.Stage("sdk", arch, parent=compiler, tag=f"sdk-{arch}")
    env.Default(env.Rootfs("linux-sdk", arch, image=sdk))
"""

BASE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS final
RUN --mount=type=bind,source=scripts/base.sh,target=/mnt/base.sh \\
    --mount=type=secret,id=transport,target=/run/transport,required=false,mode=0444 \\
    run /mnt/base.sh
"""

COMPILER = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS gcc
ARG GCC_VERSION=14
ARG GCC_PROVIDER=distro
COPY patches/ /patches/
RUN build-gcc

FROM ${BASE_IMAGE} AS clang
ARG LLVM_RELEASE=22
RUN build-clang

FROM ${BASE_IMAGE} AS final
COPY --from=gcc /work /opt/gcc
COPY --from=clang /work /opt/clang
RUN --mount=type=bind,source=scripts/check.sh,target=/mnt/check.sh run /mnt/check.sh
"""

SDK = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS sources
ARG VULKAN_VERSION=1.4
RUN fetch ${VULKAN_VERSION}

FROM ${BASE_IMAGE} AS glslang
ARG TARGET_ARCH=amd64
COPY --from=sources /work /src
RUN --mount=type=bind,source=scripts/build.sh,target=/mnt/build.sh run /mnt/build.sh

FROM ${BASE_IMAGE} AS spirv
ARG TARGET_ARCH=amd64
ARG SPIRV_VERSION=9
RUN build-spirv

FROM glslang AS final
ARG TARGET_ARCH=amd64
COPY --from=spirv /work /opt/spirv
RUN finish
"""

VERSIONS = """\
CROSS_DEFAULT_ARCHES=arm64,riscv64
GCC_VERSION=14
GCC_PROVIDER=distro
LLVM_RELEASE=22
VULKAN_VERSION=1.4
SPIRV_VERSION=9
"""

SCRIPT = "#!/usr/bin/env bash\n# {name}\nwork {name}\n"

FILES = {
    "Dockerfile.base": BASE,
    "Dockerfile.compiler": COMPILER,
    "Dockerfile.sdk": SDK,
    "versions.env": VERSIONS,
    "profiles/plain.env": "GCC_PROVIDER=distro\n",
    "profiles/source.env": "GCC_PROVIDER=source\n",
    "patches/a.patch": "a\n",
    "patches/deep/b.patch": "b\n",
    "scripts/base.sh": SCRIPT.format(name="base"),
    "scripts/check.sh": SCRIPT.format(name="check"),
    "scripts/build.sh": SCRIPT.format(name="build"),
}

#: The nodes of the project above for its two default arches, exports as ``export:<image>``.
ROOT = {"bootstrap-amd64"}
SHARED = {"compiler:gcc", "compiler:clang", "compiler", "sdk:sources"}
PER_ARCH = {f"sdk-{arch}{step}" for arch in ("arm64", "riscv64") for step in (":glslang", ":spirv", "")}
EXPORTS = {"export:sdk-arm64", "export:sdk-riscv64"}
EVERYTHING = ROOT | {"base"} | SHARED | PER_ARCH | EXPORTS


def write_root(directory: Path, text: str = "root", architecture: str = "amd64") -> None:
    """Write a root file system as an OCI layout."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in (("etc", None), ("etc/os-release", f"ID={text}\n".encode()), ("bin", None)):
            member = tarfile.TarInfo(name)
            member.mode = 0o755
            if data is None:
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            else:
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    write_layout(str(directory), [stream.getvalue()], architecture=architecture)


class Project:
    """A checkout at ``path`` with a fake store at ``store``; both may be shared with other checkouts.

    graph: the lines of the SConstruct that declare stages; files: path → text
    """

    def __init__(
        self, path: Path, store: Path, *, graph: str = GRAPH, files: Mapping[str, str] | None = None
    ) -> None:
        self.path = path
        self.store = store
        self.scratch = store.parent / "scratch"
        self.root = store.parent / "root-layout"
        for directory in (path, store, self.scratch, self.scratch / "run", self.scratch / "tmp"):
            directory.mkdir(parents=True, exist_ok=True)
        if not self.root.exists():
            write_root(self.root)
        self.engine = FakeEngine(str(store / "root"))
        self.write("SConstruct", self.sconstruct(graph))
        for name, text in (FILES if files is None else files).items():
            self.write(name, text)
        self.environment = {
            "XDG_RUNTIME_DIR": str(self.scratch / "run"),
            "TMPDIR": str(self.scratch / "tmp"),
            "ROOT_IMAGE": f"oci:{self.root}",
        }

    def clone(self, path: Path) -> Self:
        """The same files without out/, at another place, with the same store."""
        shutil.copytree(self.path, path, symlinks=True, ignore=shutil.ignore_patterns("out"))
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__, path=path, environment=dict(self.environment))
        return other

    # Files

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    @staticmethod
    def sconstruct(graph: str) -> str:
        """The SConstruct with these lines in the middle."""
        return SCONSTRUCT.format(tools=str(TOOLS), graph=graph)

    def replace(self, name: str, old: str, new: str) -> None:
        """Change a text in a file; it must be there."""
        text = (self.path / name).read_text("utf-8")
        assert old in text, (name, old)
        self.write(name, text.replace(old, new))

    def snapshot(self, *, times: bool = True) -> dict[str, tuple[object, ...]]:
        """Path → state of everything below the project, out/ included."""
        found: dict[str, tuple[object, ...]] = {}
        for folder, folders, files in os.walk(self.path):
            for name in [".", *folders, *files]:
                path = os.path.normpath(os.path.join(folder, name))
                state = os.lstat(path)
                data = b""
                if name in files and not os.path.islink(path):
                    data = Path(path).read_bytes()
                found[path] = (state.st_mode, hashlib.sha256(data).hexdigest(), state.st_mtime_ns * times)
        return found

    # Runs

    def words(self, *words: str) -> list[str]:
        """The words with the fake engine and its store in front."""
        return ["--engine=fake", f"--store={self.store}", *words]

    def scons(self, *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Result:
        """One run of scons; the journal of the engine begins anew."""
        self.engine.clear_journal()
        given = {**self.environment, **(env or {})}
        return run_scons(self.words(*words), cwd or self.path, self.scratch, given)

    def start(self, *words: str, env: Mapping[str, str] | None = None, terminal: int | None = None):
        """Start scons as a process of its own, on a terminal when one is given."""
        self.engine.clear_journal()
        return start_scons(self.words(*words), self.path, {**self.environment, **(env or {})}, terminal)

    def good(self, *words: str, env: Mapping[str, str] | None = None) -> Result:
        """One run that must end well."""
        result = self.scons(*words, env=env)
        assert result.rc == 0, result.text
        assert "Traceback" not in result.stderr, result.text
        return result

    def fails(self, *words: str, code: str, rc: int = 2, env: Mapping[str, str] | None = None) -> Result:
        """One run that must end with this error, not with a traceback."""
        result = self.scons(*words, env=env)
        assert result.rc == rc, result.text
        assert f"[{code}]" in result.stdout + result.stderr, result.text
        assert "Traceback" not in result.stdout + result.stderr, result.text
        return result

    def done_in_order(self) -> list[str]:
        """What the engine built and exported in the last run; an export bears the name of its image."""
        exported = [f"export:{self.node_of(str(line['image']))}" for line in self.engine.journal("rootfs")]
        return self.engine.built() + exported

    def done(self) -> set[str]:
        """What the engine built and exported in the last run; each node at most once."""
        names = self.done_in_order()
        assert len(names) == len(set(names)), f"done more than once: {sorted(names)}"
        return set(names)

    def builds(self, *words: str, env: Mapping[str, str] | None = None) -> set[str]:
        """Run scons, which must end well; what was built and exported."""
        self.good(*words, env=env)
        return self.done()

    def is_quiet(self, *words: str, env: Mapping[str, str] | None = None) -> None:
        """Everything is up to date in every way one can ask."""
        assert self.scons("-q", *words, env=env).rc == 0, self.scons("--why", *words, env=env).text
        assert "# everything is up to date" in self.scons("-n", *words, env=env).stdout
        assert self.builds(*words, env=env) == set()

    # Images and records

    def node_of(self, image_id: str) -> str:
        """The node that an image is labelled with."""
        labels = self.engine.inspect(image_id).config.get("Labels")
        assert isinstance(labels, dict)
        return str(labels[LABEL_NODE])

    def record_path(self, node: str, profile: str = "plain") -> Path:
        """The record of an image node."""
        where, _, step = node.partition(":")
        step = step or ("root" if where.startswith("bootstrap") else "final")
        return self.path / "out" / "images" / profile / "cross" / where / f"{step}.json"

    def record(self, node: str) -> dict:
        """The record of an image node, read."""
        return json.loads(self.record_path(node).read_text("utf-8"))

    def image(self, node: str) -> str:
        """The id of a node's image."""
        return self.record(node)["image_id"]

    def remove_image(self, node: str) -> None:
        """Remove a node's image behind the tool's back."""
        self.engine.remove([self.image(node)])

    def contents(self) -> dict[str, str]:
        """Record file below out/images → content id."""
        top = self.path / "out" / "images"
        return {
            str(path.relative_to(top)): json.loads(path.read_text("utf-8"))["content_id"]
            for path in sorted(top.rglob("*.json"))
        }

    def export(self, arch: str = "arm64") -> Path:
        """The directory of an export."""
        return self.path / "out" / "linux-sdk" / arch

    def logs(self) -> list[Path]:
        """The logs of all runs, oldest first."""
        return sorted((self.path / "out" / "logs").rglob("*.log"))
