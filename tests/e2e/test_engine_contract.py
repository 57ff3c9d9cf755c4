"""The contract of ``stagegraph.engines.base.Engine``, tried on the fake engine and on each real one.

What the tests of the graph conclude from the fake engine holds for the real ones because both pass here. The real ones
get a store of their own in pytest's temporary directory and a root made of the host's shell and a few tools.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fake_engine import FakeEngine, write_layout
from stagegraph import process, runs
from stagegraph.engines import detect
from stagegraph.engines.base import Engine, EngineOptions
from stagegraph.engines.buildah import Buildah
from stagegraph.engines.containers_store import ContainersStoreEngine
from stagegraph.errors import UserError
from stagegraph.image import content_id
from stagegraph.model import LABEL_NODE, LABEL_SIGNATURE, BuildRequest

REAL = ("buildah", "podman")
TOOLS = ("sh", "cat", "chmod", "cp", "mkdir", "sleep")
HERE = Path(__file__).resolve()
UNKNOWN = "sha256:" + "0" * 64


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


@pytest.fixture(scope="module", params=["fake", *REAL])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    path = tmp_path_factory.mktemp(f"store-{request.param}")
    yield request.param, path
    remove_store(path)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path) -> Iterator[None]:
    """Killed engines leave files in their TMPDIR; here they go with the test's directory."""
    (tmp_path / "scratch").mkdir()
    process.set_scratch(str(tmp_path / "scratch"))
    yield
    process.set_scratch("")


@pytest.fixture
def engine(store: tuple[str, Path]) -> Engine:
    return make_engine(*store)


@pytest.fixture(scope="session")
def root_layout(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An OCI layout with the host's shell and the libraries it needs."""
    files: dict[str, str] = {}
    for tool in TOOLS:
        path = shutil.which(tool)
        assert path is not None, tool
        files[f"bin/{tool}"] = os.path.realpath(path)
        said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        files.update(
            (library.lstrip("/"), os.path.realpath(library)) for library in re.findall(r"/\S+", said)
        )
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, source in sorted(files.items()):
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.mode = os.path.getsize(source), 0o755
            with open(source, "rb") as stream:
                archive.addfile(info, stream)
    layout = tmp_path_factory.mktemp("root") / "Layout"
    write_layout(str(layout), [out.getvalue()], config={"Env": ["PATH=/bin", "FROM_ROOT=yes"]})
    return str(layout)


@pytest.fixture
def base(engine: Engine, root_layout: str) -> str:
    return engine.load(root_layout)


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
        )

    def build(self, target: str, base: str = "", contexts: dict[str, str] | None = None, **more: str) -> str:
        return self.engine.build(self.request(target, base, contexts, **more), self.log)


@pytest.fixture
def project(engine: Engine, tmp_path: Path) -> Project:
    return Project(engine, tmp_path / "project")


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


# --- images and names


def test_version_is_a_version(engine: Engine) -> None:
    assert re.match(r"\d+\.\d+", engine.version())
    detect.check_version(engine)


def test_load_gives_the_id_of_the_layout_and_no_name(engine: Engine, root_layout: str) -> None:
    image_id = engine.load(root_layout)
    manifest = json.loads((Path(root_layout) / "index.json").read_text())["manifests"][0]["digest"]
    config = json.loads((Path(root_layout) / "blobs/sha256" / manifest[7:]).read_text())["config"]["digest"]
    assert image_id == config
    assert {image.id: image.names for image in engine.images()}[image_id] == ()


def test_names_move_and_go_and_the_images_stay(engine: Engine, project: Project, base: str) -> None:
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nCOPY Dockerfile /x\n")
    one, two = project.build("one", base, signature="n1"), project.build("one", base, signature="n2")
    assert one != two
    engine.tag(one, ["localhost/stagegraph/a/b:1", "localhost/stagegraph/a/b:2"])
    engine.tag(two, ["localhost/stagegraph/a/b:2"])
    names = {image.id: image.names for image in engine.images()}
    assert (names[one], names[two]) == (("localhost/stagegraph/a/b:1",), ("localhost/stagegraph/a/b:2",))
    engine.untag(["localhost/stagegraph/a/b:1", "localhost/stagegraph/never/was:1"])
    names = {image.id: image.names for image in engine.images()}
    assert (names[one], names[two]) == ((), ("localhost/stagegraph/a/b:2",))


def test_remove_takes_the_image_with_all_names_and_no_other(
    engine: Engine, project: Project, base: str
) -> None:
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nCOPY Dockerfile /x\n")
    parent = project.build("one", base, signature="r1")
    child = project.build("one", parent, signature="r2")
    engine.tag(child, ["localhost/stagegraph/c:1", "localhost/stagegraph/c:2"])
    engine.remove([child])
    left = {image.id for image in engine.images()}
    assert child not in left
    assert {parent, base} <= left


def test_inspect_of_an_unknown_image(engine: Engine) -> None:
    with pytest.raises(UserError) as error:
        engine.inspect(UNKNOWN)
    assert error.value.code == "image-unknown"
    with pytest.raises(UserError) as error, engine.rootfs(UNKNOWN, "r"):
        pass
    assert error.value.code == "image-unknown"


# --- builds


def test_a_build_has_labels_config_and_files(engine: Engine, project: Project, base: str) -> None:
    project.write("data/file", "content\n")
    project.write(
        "Dockerfile",
        """\
        ARG BASE_IMAGE
        FROM ${BASE_IMAGE} AS one
        ARG VERSION=1
        ENV COLOUR=red
        COPY data /data
        RUN echo $VERSION > /version
        """,
    )
    image_id = project.build("one", base, VERSION="2", signature="abc")
    assert engine.images() and image_id in {image.id for image in engine.images()}
    image = engine.inspect(image_id)
    assert (image.id, image.os, image.architecture) == (image_id, "linux", "amd64")
    assert image.config["Labels"] == {LABEL_NODE: "one", LABEL_SIGNATURE: "abc"}
    env = image.config["Env"]
    assert isinstance(env, list) and {"COLOUR=red", "FROM_ROOT=yes"} <= set(env)
    assert image.diff_ids[:-1] == engine.inspect(base).diff_ids, "one layer a step"
    assert image.size > 0
    assert text(engine, image_id, "version") == "2\n"
    assert text(engine, image_id, "data/file") == "content\n"
    assert b"RUN echo" in project.log.getvalue()


def test_built_again_it_is_the_same_and_a_new_signature_changes_the_id_alone(
    project: Project, base: str
) -> None:
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nRUN echo x > /x\n")
    first, again, other = (project.build("one", base, signature=s) for s in ("a", "a", "b"))
    assert first == again != other
    content = [content_id(project.engine.inspect(image_id)) for image_id in (first, other, base)]
    assert content[0] == content[1] != content[2]


def test_the_environment_of_the_user_does_not_reach_the_build(
    project: Project, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(
        "Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nRUN echo x > /x\nRUN echo y > /y\n"
    )
    plain = project.build("one", base)
    for name, value in (
        ("BUILDAH_LAYERS", "true"),
        ("BUILDAH_FORMAT", "docker"),
        ("http_proxy", "http://p:1"),
    ):
        monkeypatch.setenv(name, value)
    assert project.build("one", base) == plain


def test_steps_are_handed_over(engine: Engine, project: Project, base: str) -> None:
    project.write(
        "Dockerfile",
        """\
        ARG BASE_IMAGE
        FROM ${BASE_IMAGE} AS one
        RUN echo one > /one
        FROM ${BASE_IMAGE} AS two
        RUN echo two > /two
        FROM ${BASE_IMAGE} AS three
        RUN echo three > /three
        FROM one AS four
        COPY --from=two /two /copied
        RUN --mount=type=bind,from=three,source=/three,target=/mnt/three cp /mnt/three /mounted
        """,
    )
    steps = {name: project.build(name, base) for name in ("one", "two", "three")}
    four = project.build("four", base, steps)
    assert [text(engine, four, path) for path in ("one", "copied", "mounted")] == [
        "one\n",
        "two\n",
        "three\n",
    ]
    for missing in steps:
        with pytest.raises(UserError) as error:
            project.build("four", base, {name: image for name, image in steps.items() if name != missing})
        assert error.value.code == "engine-inline-step", missing


def test_a_bind_mount_of_the_context_and_its_ignore_file(engine: Engine, project: Project, base: str) -> None:
    project.write("scripts/one", "one\n")
    project.write("scripts/two", "two\n")
    project.write("Dockerfile.dockerignore", "scripts/two\n")
    project.write(
        "Dockerfile",
        """\
        ARG BASE_IMAGE
        FROM ${BASE_IMAGE} AS one
        RUN --mount=type=bind,source=scripts/one,target=/run/one cat /run/one > /one
        COPY scripts /scripts
        """,
    )
    image_id = project.build("one", base)
    assert text(engine, image_id, "one") == "one\n"
    assert {name for name in files(engine, image_id) if name.startswith("scripts/")} == {"scripts/one"}


def test_the_image_is_marked_with_the_platform_asked_for(engine: Engine, project: Project) -> None:
    project.write("Dockerfile", "FROM scratch AS one\nCOPY Dockerfile /x\n")
    images = {arch: project.build("one", platform=f"linux/{arch}") for arch in ("amd64", "arm64", "riscv64")}
    assert {arch: engine.inspect(image).architecture for arch, image in images.items()} == {
        a: a for a in images
    }
    assert len({content_id(engine.inspect(image)) for image in images.values()}) == 3


def test_a_secret_leaves_no_trace(engine: Engine, project: Project, base: str, tmp_path: Path) -> None:
    project.write(
        "Dockerfile",
        """\
        ARG BASE_IMAGE
        FROM ${BASE_IMAGE} AS one
        RUN --mount=type=secret,id=transport,target=/run/transport,required=false,mode=0444 test -s /run/transport
        """,
    )
    built = []
    for value in ("geheim-1", "geheim-2"):
        (tmp_path / "transport").write_text(f"APT_MIRROR_URL={value}\n")
        built.append(project.build("one", base, secret=str(tmp_path / "transport")))
    assert built[0] == built[1]
    with engine.rootfs(built[0], "r") as stream:
        exported = stream.read()
    for where in (exported, repr(engine.inspect(built[0])).encode(), project.log.getvalue()):
        assert b"geheim" not in where
    with pytest.raises(UserError):
        project.build("one", base)  # shows that the test above read the secret


def test_a_failing_run_is_an_error_with_what_it_said(project: Project, base: str) -> None:
    project.write(
        "Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nRUN echo this is broken && exit 7\n"
    )
    before = {image.id for image in project.engine.images()}
    with pytest.raises(UserError) as error:
        project.build("one", base)
    assert error.value.code == "engine-failed"
    assert "exit status 7" in error.value.message
    assert b"this is broken" in project.log.getvalue()
    assert {image.id for image in project.engine.images()} == before
    assert containers(project.engine) == []


def test_an_unknown_parent_is_an_error(project: Project) -> None:
    project.write(
        "Dockerfile",
        "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nCOPY Dockerfile /x\nFROM one AS two\nCOPY Dockerfile /y\n",
    )
    with pytest.raises(UserError):
        project.build("one", UNKNOWN)
    with pytest.raises(UserError):
        project.build("two", contexts={"one": UNKNOWN})


def test_the_printed_command_is_the_one_that_builds(engine: Engine, project: Project, base: str) -> None:
    if isinstance(engine, FakeEngine):
        pytest.skip("the fake engine runs no command")
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nRUN echo x > /x\n")
    request = project.request("one", base)
    built = engine.build(request, io.BytesIO())
    os.unlink(request.iidfile)
    subprocess.run(engine.build_argv(request), cwd=project.path, check=True, capture_output=True)
    assert Path(request.iidfile).read_text() == built


# --- exports


@pytest.fixture
def odd_layout(tmp_path: Path) -> tuple[str, dict[str, tarfile.TarInfo]]:
    """A layout whose files have all that an export must keep, with its entries."""
    entries = []

    def add(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **more: object) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.mtime, info.mode = kind, len(data), 12345, 0o644
        for key, value in more.items():
            setattr(info, key, value)
        entries.append((info, data))

    # A file capability as the kernel keeps it: revision 2, cap_net_raw permitted and effective.
    capability = b"\x01\x00\x00\x02\x00\x20\x00\x00" + b"\x00" * 12
    xattrs = {
        "SCHILY.xattr.security.capability": capability.decode("utf-8"),
        "SCHILY.xattr.user.note": "kept",
    }
    add("./", tarfile.DIRTYPE, mode=0o755)
    add("./dir", tarfile.DIRTYPE, mode=0o1777, uid=7, gid=8)
    add("./dir/file", data=b"text\n", mode=0o640, uid=1000, gid=1001)
    add("./empty", tarfile.DIRTYPE, mode=0o2755)
    add("./hard", tarfile.LNKTYPE, linkname="./dir/file", mode=0o640, uid=1000, gid=1001)
    add("./link", tarfile.SYMTYPE, linkname="../over/there", mode=0o777)
    add("./setuid", data=b"#!x\n", mode=0o4755)
    add("./xattr", data=b"y", pax_headers=xattrs)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    layout = tmp_path / "odd"
    write_layout(str(layout), [out.getvalue()])
    return str(layout), {os.path.normpath(info.name): info for info, _ in entries}


def _linked(found: dict[str, tarfile.TarInfo]) -> frozenset[str]:
    """The names of the one hard-linked file, whichever of them the stream calls the link."""
    return frozenset(
        name
        for info in found.values()
        if info.islnk()
        for name in map(os.path.normpath, (info.name, info.linkname))
    )


def test_an_export_keeps_all_there_is(
    engine: Engine, odd_layout: tuple[str, dict[str, tarfile.TarInfo]]
) -> None:
    layout, wanted = odd_layout
    image_id = engine.load(layout)
    before = sorted((image.id, image.names) for image in engine.images())
    found = files(engine, image_id)
    assert set(found) == set(wanted)
    assert _linked(found) == _linked(wanted) == {"hard", "dir/file"}
    for name, want in wanted.items():
        have = found[name]
        assert (have.mode, have.uid, have.gid) == (want.mode, want.uid, want.gid), name
        if name != ".":
            assert int(have.mtime) == want.mtime, name
        if name not in ("hard", "dir/file"):
            assert (have.type, have.linkname) == (want.type, want.linkname), name
        xattrs = {key: value for key, value in have.pax_headers.items() if key.startswith("SCHILY.xattr")}
        assert xattrs == {k: v for k, v in want.pax_headers.items() if k.startswith("SCHILY.xattr")}, name
    assert sorted((image.id, image.names) for image in engine.images()) == before
    assert containers(engine) == []


def test_two_exports_are_the_same_stream(
    engine: Engine, odd_layout: tuple[str, dict[str, tarfile.TarInfo]]
) -> None:
    image_id = engine.load(odd_layout[0])
    digests = []
    for run in ("20261123T035800Z-1a2b", "20261123T035800Z-ffff"):
        with engine.rootfs(image_id, run) as stream:
            digests.append(hashlib.sha256(stream.read()).hexdigest())
    assert digests[0] == digests[1]


def test_an_export_that_is_given_up_leaves_nothing(engine: Engine, base: str) -> None:
    with pytest.raises(ZeroDivisionError), engine.rootfs(base, "r") as stream:
        assert stream.read(512)
        raise ZeroDivisionError
    assert containers(engine) == []


# --- ends before the end


def _waiting(engine: Engine, project: Project, node: str) -> None:
    """Make the build of ``node`` wait until its build is killed or ``_go_on`` is called."""
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


def _go_on(engine: Engine, project: Project, node: str) -> None:
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


def _runs_in(store: Path) -> list[str]:
    """Command lines of processes that name this store."""
    lines = [" ".join(words) for _, words in processes()]
    return [line for line in lines if str(store) in line]


def test_stop_all_ends_a_build_and_it_cleans_up(
    store: tuple[str, Path], engine: Engine, project: Project, base: str, tmp_path: Path
) -> None:
    _waiting(engine, project, "stop")
    (project.path / "Dockerfile").write_text((project.path / "Dockerfile.stop").read_text())
    before = {image.id for image in engine.images()}
    stopped: list[BaseException] = []
    secret = tmp_path / "secret"
    secret.write_text("JOBS=1\n")

    def build() -> None:
        try:
            project.build("one", base, node="stop", secret=str(secret))
        except process.Stopped as error:
            stopped.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    try:
        wait_for(
            lambda: (
                containers(engine)
                and (isinstance(engine, FakeEngine) or b"Z begun" in project.log.getvalue())
            )
        )
        process.stop_all(grace=20)
        thread.join()
        assert stopped
        with pytest.raises(process.Stopped):
            process.capture(["true"])
    finally:
        process.resume()
        _go_on(engine, project, "stop")
    assert containers(engine) == []
    assert {image.id for image in engine.images()} == before
    assert _runs_in(store[1]) == []


BUILDER = """
import sys
sys.path[:0] = {path!r}
from test_engine_contract import Project, make_engine
from pathlib import Path
from stagegraph import process, runs
kind, store, context, base, node = sys.argv[1:]
run = runs.open_run()
process.set_scratch(run.scratch)
project = Project(make_engine(kind, Path(store)), Path(context))
secret = run.secret("transport", "APT_MIRROR_URL=geheim\\n")
(project.path / "Dockerfile").write_text((project.path / f"Dockerfile.{{node}}").read_text())
request = project.request("one", base, secret=secret, node=node)
print(run.id, flush=True)
with open(context + ".log", "wb") as log:
    print(project.engine.build(request, log), flush=True)
run.close()
"""


def test_after_a_kill_the_next_run_sweeps_and_living_builds_go_on(
    store: tuple[str, Path], engine: Engine, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    builders = {}
    for node in ("killed", "living"):
        project = Project(engine, tmp_path / node)
        _waiting(engine, project, node)
        script = BUILDER.format(path=[str(HERE.parent), *sys.path])
        argv = [sys.executable, "-c", script, store[0], str(store[1]), str(project.path), base, node]
        builders[node] = (project, subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
    ids = {}
    for node, (project, child) in builders.items():
        assert child.stdout is not None
        ids[node] = child.stdout.readline().strip()
        log = Path(f"{project.path}.log")
        begun = b"FROM" if isinstance(engine, FakeEngine) else b"Z begun"
        wait_for(lambda log=log, begun=begun: log.exists() and begun in log.read_bytes())
        if isinstance(engine, FakeEngine):
            wait_for(
                lambda n=node: any(
                    str(store[1]) in line and f"hold/{n}" in line for line in _runs_in(store[1])
                )
            )
    assert runs.dead_runs() == {}
    assert len(containers(engine)) == 2

    killed = builders["killed"][1]
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert killed.stdout is not None
    killed.stdout.close()
    wait_for(lambda: not any(str(tmp_path / "killed") in line for line in _runs_in(store[1])))
    dead = runs.dead_runs()
    assert list(dead) == [ids["killed"]]
    removed = engine.sweep(dead)
    runs.remove_dead(dead)
    assert len(removed) == 1
    assert len(containers(engine)) == 1
    assert runs.dead_runs() == {}
    assert engine.sweep({}) == []

    project, living = builders["living"]
    _go_on(engine, project, "living")
    assert living.stdout is not None
    image_id = living.stdout.read().strip()
    assert living.wait() == 0
    living.stdout.close()
    assert engine.inspect(image_id).config["Labels"] == {LABEL_NODE: "living", LABEL_SIGNATURE: "s1"}
    if isinstance(engine, FakeEngine):
        engine.unset("hold", "killed")
    assert containers(engine) == []
    secrets = subprocess.run(
        ["grep", "-rl", "geheim", str(tmp_path), str(store[1])], capture_output=True, text=True, check=False
    )
    assert [line for line in secrets.stdout.splitlines() if "/blobs/" not in line] == []
    assert [name for name in os.listdir(tmp_path / "TMPDIR") if not name.startswith("stagegraph-")] == []


def test_buildah_and_podman_agree(root_layout: str, tmp_path: Path) -> None:
    found = {}
    for kind in REAL:
        store = tmp_path / kind
        engine = make_engine(kind, store)
        try:
            project = Project(engine, tmp_path / "project")
            project.write(
                "Dockerfile",
                "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\nENV A=b\nWORKDIR /w\nCOPY Dockerfile x\nRUN echo $A > y\n",
            )
            image = engine.inspect(project.build("one", engine.load(root_layout)))
            found[kind] = (image.id, content_id(image))
        finally:
            remove_store(store)
    assert found["buildah"] == found["podman"]


@pytest.mark.parametrize("kind", REAL)
def test_a_killed_engine_is_an_error_and_leaves_no_container(
    kind: str, root_layout: str, tmp_path: Path
) -> None:
    engine = make_engine(kind, tmp_path / "store")
    try:
        project = Project(engine, tmp_path / "project")
        base = engine.load(root_layout)
        _waiting(engine, project, "x")
        (project.path / "Dockerfile").write_text((project.path / "Dockerfile.x").read_text())
        secret = tmp_path / "secret"
        secret.write_text("JOBS=1\n")
        errors: list[UserError] = []

        def build() -> None:
            try:
                project.build("one", base, secret=str(secret))
            except UserError as error:
                errors.append(error)

        thread = threading.Thread(target=build)
        thread.start()
        wait_for(lambda: b"Z begun" in project.log.getvalue())
        for pid, argv in processes():
            if argv[0] == kind and str(tmp_path / "store/root") in argv:
                os.kill(pid, signal.SIGKILL)
        thread.join()
        assert [error.code for error in errors] == ["engine-failed"]
        assert "was killed by signal 9" in errors[0].message
        assert containers(engine) == []
        assert _runs_in(tmp_path / "store") == []
    finally:
        remove_store(tmp_path / "store")
