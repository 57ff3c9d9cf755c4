"""What the contract tests share: engines of each kind, a small project to build, a look into images."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fake_engine import FakeEngine
from stagegraph.engines import detect
from stagegraph.engines.base import Engine, EngineOptions
from stagegraph.engines.buildah import Buildah
from stagegraph.engines.containers_store import ContainersStoreEngine
from stagegraph.model import LABEL_NODE, LABEL_SIGNATURE, BuildRequest

REAL = ("buildah", "podman")


def make_engine(kind: str, store: Path) -> Engine:
    if kind == "fake":
        return FakeEngine(str(store))
    if os.geteuid() != 0:
        pytest.skip("real engines are tried as root only: pytest's directories are not for user namespaces")
    if shutil.which(kind) is None:
        pytest.skip(f"{kind} is not installed")
    return detect.choose(kind, EngineOptions(root=str(store / "root")))


def remove_store(store: Path) -> None:
    """Remove a store with its state; engines leave a mount on it."""
    engine = Buildah(EngineOptions(root=str(store / "root")))
    shutil.rmtree(engine.options.runroot, ignore_errors=True)
    with open("/proc/self/mounts", encoding="utf-8") as stream:
        mounts = [line.split()[1] for line in stream]
    for mount in sorted((m for m in mounts if m.startswith(f"{store}/")), reverse=True):
        subprocess.run(["umount", mount], check=True)
    shutil.rmtree(store)


class Project:
    """A build context, and builds from it."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self.engine = engine
        self.path = path
        self.log = io.BytesIO()
        path.mkdir(exist_ok=True)

    def write(self, name: str, text: str) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))

    def request(
        self,
        target: str,
        base: str = "",
        contexts: dict[str, str] | None = None,
        secret: str = "",
        ca_bundle: str = "",
        **more: str,
    ) -> BuildRequest:
        labels = {LABEL_NODE: more.pop("node", target), LABEL_SIGNATURE: more.pop("signature", "s1")}
        platform = more.pop("platform", "linux/amd64")
        return BuildRequest(
            context=str(self.path),
            dockerfile="Dockerfile",
            target=target,
            platform=platform,
            build_args={**more, **({"BASE_IMAGE": base} if base else {})},
            contexts=contexts or {},
            labels=labels,
            timestamp=86400,
            secret=secret,
            iidfile=str(self.path.parent / f"iid-{target}"),
            ca_bundle=ca_bundle,
        )

    def build(self, target: str, base: str = "", contexts: dict[str, str] | None = None, **more: str) -> str:
        return self.engine.build(self.request(target, base, contexts, **more), self.log)


def files(engine: Engine, image_id: str) -> dict[str, tarfile.TarInfo]:
    with engine.rootfs(image_id, "r") as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        return {os.path.normpath(member.name): member for member in archive}


def text(engine: Engine, image_id: str, path: str) -> str:
    with engine.rootfs(image_id, "r") as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if os.path.normpath(member.name) == path:
                content = archive.extractfile(member)
                assert content is not None
                return content.read().decode()
    raise AssertionError(f"{path} is not in the image")


def containers(engine: Engine) -> list[str]:
    if isinstance(engine, FakeEngine):
        return os.listdir(os.path.join(engine.root, "containers"))
    assert isinstance(engine, ContainersStoreEngine)
    return list(engine._containers())


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited for a minute in vain"
        time.sleep(0.01)


def hold_build(engine: Engine, project: Project, node: str) -> None:
    """Make the build of ``node`` wait until its build is killed or ``let_go`` is called."""
    project.write(f"wait/{node}", "")
    project.write(
        f"Dockerfile.{node}",
        "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\n"
        "RUN --mount=type=secret,id=transport,target=/run/transport,required=false,mode=0444 "
        "--mount=type=bind,source=wait,target=/run/wait "
        f"echo begun && while [ -e /run/wait/{node} ]; do sleep 0.05; done\n"
        if not isinstance(engine, FakeEngine)
        else "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nRUN true\n",
    )
    if isinstance(engine, FakeEngine):
        engine.switch("hold", node)


def let_go(engine: Engine, project: Project, node: str) -> None:
    (project.path / "wait" / node).unlink()
    if isinstance(engine, FakeEngine):
        engine.unset("hold", node)


def processes() -> list[tuple[int, list[str]]]:
    """The other processes of this machine with their arguments."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                words = (Path("/proc") / name / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            found.append((int(name), words))
    return found


def runs_in(store: Path) -> list[str]:
    """Command lines of processes that name this store."""
    lines = [" ".join(words) for _, words in processes()]
    return [line for line in lines if str(store) in line]
