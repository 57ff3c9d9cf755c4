"""Root file systems: what the first stage stands on.

By default mmdebstrap makes one of the distribution's packages, whose signatures apt checks; with SOURCE_DATE_EPOCH its
result is a function of the packages. ROOT_IMAGE takes another one: an OCI layout on disk, or an image pinned by digest.
Artifacts of the runtime lane (see ``artifacts``) come into the store in the same way.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import IO

from . import artifact_tree, artifacts, oci, process
from .engines.base import Engine
from .errors import UserError
from .image import check_pulled
from .model import BuildRequest, Node
from .runs import Run

#: The variable that makes builds reproducible, in seconds.
EPOCH = "SOURCE_DATE_EPOCH"

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: Debian's name of an architecture → the kernel's name, by which binfmt_misc knows its emulator.
CPUS = {"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64"}

_BINFMT = "/proc/sys/fs/binfmt_misc"


def make(
    engine: Engine,
    node: Node,
    labels: Mapping[str, str],
    timestamp: int,
    run: Run,
    transport: Mapping[str, str],
    log: IO[bytes],
) -> str:
    """Bring the root file system of ``node`` into the store, with these labels; returns its image id.

    The node's options tell the kind: ``layout`` (digest of the entry of an OCI layout at ``node.location``), ``image``
    (``name@sha256:…``), for artifacts also ``tree`` (digest of the directory tree there) and ``stored`` (content id of the
    image of that name), else ``suite``, ``variant`` and ``include`` of mmdebstrap. ``timestamp`` is SOURCE_DATE_EPOCH in
    seconds. Raises ``UserError``: root-failed, root-emulation, parent-platform, artifact-arch, inputs-changed, layout-…,
    engine-….
    """
    work = os.path.join(run.scratch, f"root-{os.urandom(4).hex()}")
    os.mkdir(work, 0o700)
    try:
        options = node.options
        if "layout" in options:
            layout = os.path.join(work, "layout")
            oci.take_image(node.location, options["layout"], node.platform, layout)
            if is_artifact(node):
                oci.relabel(layout, labels, {EPOCH: str(timestamp)})
                return engine.load(layout)
            return _labelled(engine, engine.load(layout), node, labels, timestamp, work, log)
        if "image" in options:
            given = engine.pull(options["image"], node.platform)
            check = artifacts.check_image if is_artifact(node) else check_pulled
            check(engine.inspect(given), node, options["image"])
            return _labelled(engine, given, node, labels, timestamp, work, log)
        if "stored" in options:
            return _labelled(engine, artifacts.stored_image(engine, node), node, labels, timestamp, work, log)
        if "tree" in options:
            layout = os.path.join(work, "layout")
            config = _config(node.platform.split("/")[1], timestamp, labels, made_by="tar")
            artifact_tree.make_layout(node.location, options["tree"], layout, config, timestamp, work, log)
            return engine.load(layout)
        arch = node.platform.split("/")[1]
        layout = make_root(options, arch, timestamp, labels, work, transport, log)
        return engine.load(layout)
    finally:
        shutil.rmtree(work)


def make_root(
    options: Mapping[str, str],
    arch: str,
    timestamp: int,
    labels: Mapping[str, str],
    work: str,
    transport: Mapping[str, str],
    log: IO[bytes],
) -> str:
    """Make a root file system with mmdebstrap; returns the directory of its OCI layout, below ``work``.

    APT_MIRROR_URL and the proxies of ``transport`` say where packages come from and leave no trace in the result.
    """
    check_emulation(arch)
    tar = os.path.join(work, "root.tar")
    argv = mmdebstrap_argv(options, arch, tar)
    env = {
        EPOCH: str(timestamp),
        "STAGEGRAPH_SUITE": options["suite"],
        "STAGEGRAPH_MIRROR": transport.get("APT_MIRROR_URL", ""),
        **{
            name: transport[name] for name in ("http_proxy", "https_proxy", "no_proxy") if transport.get(name)
        },
    }
    tail: list[bytes] = []

    def look(head: bytes) -> None:
        tail.append(head)
        del tail[:-20]

    status = process.run(argv, log, env=env, line=look)
    if status != 0:
        told = [line for line in tail if line.startswith((b"E:", b"error:"))] or tail[-1:]
        said = told[0].decode("utf-8", "replace") if told else f"it ended with status {status}"
        raise UserError(
            "root-failed",
            f"mmdebstrap could not make the root file system for {arch}: {said}",
            hint="if the packages' source cannot be reached, name a mirror by APT_MIRROR_URL",
        )
    layout = os.path.join(work, "layout")
    oci.write_layout(layout, tar, _config(arch, timestamp, labels))
    return layout


def shown_argv(options: Mapping[str, str], arch: str, timestamp: int) -> list[str]:
    """The command that makes the archive of a root, to be run by hand; empty for a root that is not made of packages."""
    if "suite" not in options:
        return []
    settings = (f"SOURCE_DATE_EPOCH={timestamp}", f"STAGEGRAPH_SUITE={options['suite']}")
    return ["env", *settings, *mmdebstrap_argv(options, arch, "root.tar")]


def mmdebstrap_argv(options: Mapping[str, str], arch: str, tar: str) -> list[str]:
    """The command that makes a root file system into the file ``tar``."""
    hook = os.path.join(os.path.dirname(os.path.abspath(__file__)), "root_sources.py")
    # Devices belong to the machine the root will run on: the engine, or whoever starts it, brings them.
    return [
        *("mmdebstrap", f"--architectures={arch}", f"--variant={options['variant']}", "--format=tar"),
        *([f"--include={options['include']}"] if options.get("include") else []),
        *("--skip=output/dev", f"--setup-hook={hook}", f"--customize-hook={hook}", options["suite"], tar),
    ]


def is_artifact(node: Node) -> bool:
    """Whether a node of the kind "root" is an artifact: these are made for an arch, whatever their platform."""
    return bool(node.arch)


def _config(arch: str, timestamp: int, labels: Mapping[str, str], made_by: str = "mmdebstrap") -> dict[str, object]:
    from datetime import UTC, datetime

    created = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "architecture": arch,
        "config": {
            "Cmd": ["/bin/sh"],
            # In every RUN that stands on this root, or byte-compiled Python files would differ from build to build.
            "Env": [f"PATH={PATH}", f"{EPOCH}={timestamp}"],
            "Labels": dict(labels),
        },
        "created": created,
        "history": [{"created": created, "created_by": made_by}],
        "os": "linux",
    }


def _labelled(
    engine: Engine,
    image_id: str,
    node: Node,
    labels: Mapping[str, str],
    timestamp: int,
    work: str,
    log: IO[bytes],
) -> str:
    """A child of a given image with our labels and SOURCE_DATE_EPOCH, like the roots that we make."""
    context = os.path.join(work, "context")
    os.mkdir(context)
    with open(os.path.join(context, "Dockerfile"), "w", encoding="utf-8") as stream:
        stream.write(f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}} AS root\nENV SOURCE_DATE_EPOCH={timestamp}\n")
    return engine.build(
        BuildRequest(
            context=context,
            dockerfile="Dockerfile",
            target="root",
            platform=node.platform,
            build_args={"BASE_IMAGE": image_id},
            contexts={},
            labels=labels,
            timestamp=timestamp,
            secret="",
            iidfile=os.path.join(work, "iid"),
        ),
        log,
    )


def check_emulation(arch: str) -> None:
    """Raise ``UserError`` code root-emulation when programs of this architecture cannot run here."""
    machine = os.uname().machine
    cpu = CPUS.get(arch)
    if cpu is None:
        raise UserError(
            "root-emulation", f"there is no architecture '{arch}'", hint=f"known: {', '.join(CPUS)}"
        )
    if cpu == machine:
        return
    if not os.path.exists(os.path.join(_BINFMT, "status")):
        raise UserError(
            "root-emulation",
            f"programs of {arch} cannot run here: binfmt_misc is not mounted",
            hint=f"run 'mount -t binfmt_misc binfmt_misc {_BINFMT}', or ./sconsw setup",
        )
    try:
        with open(os.path.join(_BINFMT, f"qemu-{cpu}"), encoding="ascii") as stream:
            enabled = stream.readline().strip() == "enabled"
    except FileNotFoundError:
        enabled = False
    if not enabled:
        raise UserError(
            "root-emulation",
            f"programs of {arch} cannot run here: no emulator is registered for {cpu}",
            hint=f"install qemu-user-static and run 'update-binfmts --enable qemu-{cpu}', or ./sconsw setup",
        )
