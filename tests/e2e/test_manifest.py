"""A manifest of real images: what skopeo and podman make of it. No package and no network is needed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_engine import write_layout
from stagegraph import oci, root
from stagegraph.engines.base import EngineOptions
from stagegraph.engines.podman import Podman

from .checkout import TOP, Checkout
from .elf import program
from .machine import PODMAN_RUN, remove_store, require_engine

ARCHES = ("amd64", "arm64", "riscv64")

SCONSTRUCT = """\
env = Environment(
    toolpath=["site_scons/site_tools"],
    tools=[("stagegraph", {"versions_file": "versions.env"})],
)
members, gates = {}, []
for arch in env["ARCHES"]:
    here = {"platform": f"linux/{arch}", "lane": "runtime"}
    app = env.Stage("app", arch, parent=env.Root("bootstrap", arch), final="app", **here)
    gates.append(env.Gate(app, "smoke"))
    members[arch] = app
    env.Layout("local oci/app", arch, image=app)
env.Manifest("latest", members, gates=gates)
env.StageGraph()
"""

DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS app
ARG TARGET_ARCH
COPY greeting /greeting
ENV TARGET_ARCH=${TARGET_ARCH}
CMD ["/say"]

FROM app AS smoke
RUN ["/say"]
"""


def write_root(directory: Path) -> None:
    """A layout whose one entry is an index over a root file system for each arch: its own program, and a file of all."""
    entries = []
    (directory / "blobs" / "sha256").mkdir(parents=True)
    for arch in ARCHES:
        layers = [packed("common", b"the same\n" * 1000, 0o644), packed("say", program(arch), 0o755)]
        one = directory.parent / f"root-{arch}"
        write_layout(str(one), layers, architecture=arch)
        entry = oci.only_entry(str(one))
        entries.append({**entry, "platform": {"os": "linux", "architecture": arch}})
        shutil.copytree(one / "blobs", directory / "blobs", dirs_exist_ok=True)
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries}
    oci.write_index(str(directory), oci.put(str(directory), index, oci.INDEX))


def packed(name: str, data: bytes, mode: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), mode
        archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


class Small(Checkout):
    """The project above, with its own root and store."""

    def __init__(self, place: Path, engine: str) -> None:
        project = place / "a project"
        (project / "site_scons/site_tools").mkdir(parents=True)
        (project / "site_scons/site_tools/stagegraph").symlink_to(TOP / "site_scons/site_tools/stagegraph")
        for name, text in (
            ("SConstruct", SCONSTRUCT), ("Dockerfile.app", DOCKERFILE), ("greeting", "hello\n"),
            ("versions.env", f"CROSS_DEFAULT_ARCHES={','.join(ARCHES)}\n"),
        ):  # fmt: skip
            (project / name).write_text(text)
        write_root(place / "root")
        super().__init__(project, str(place / "store"))
        self.words = [f"--engine={engine}", f"ROOT_IMAGE=oci:{place}/root"]

    def command(self, *words: str) -> list[str]:
        return super().command(*self.words, *words)

    @property
    def manifest(self) -> Path:
        """The layout."""
        return self.folder / "out/manifest/latest"

    @property
    def digest(self) -> str:
        """The digest of the index, as it is recorded."""
        record = json.loads((self.manifest.parent / ".latest.json").read_text())
        return str(record["extra"]["digest"])


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Small]]:
    """Makes the project with everything built by an engine, once for each engine."""
    made: dict[str, Small] = {}

    def by(engine: str) -> Small:
        require_engine(engine)
        for arch in ARCHES:
            root.check_emulation(arch)
        if engine not in made:
            made[engine] = Small(tmp_path_factory.mktemp(engine), engine)
            made[engine].good("-j2", "manifest", "out")
        return made[engine]

    yield by
    for small in made.values():
        remove_store(small.options(), Path(small.store))


@pytest.fixture(scope="module")
def small(make: Callable[[str], Small]) -> Small:
    return make("buildah")


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Runs podman on an empty store of its own, in a directory: it names an image after the path it came from."""
    require_engine("podman")
    store = tmp_path / "podman"
    store.mkdir()
    options = Podman(EngineOptions(root=str(store / "root"))).options

    def call(*words: str, cwd: Path | None = None) -> str:
        argv = ["podman", "--root", options.root, "--runroot", options.runroot, *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=cwd)
        assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
        return done.stdout

    yield call
    remove_store(options, store)


def skopeo(*words: str, cwd: Path | None = None) -> bytes:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed; ./sconsw setup installs it")
    done = subprocess.run(["skopeo", *words], capture_output=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def index_of(small: Small) -> dict[str, Any]:
    return json.loads((small.manifest / "blobs/sha256" / small.digest[7:]).read_text())


def test_it_is_made_of_what_passed_and_stands(small: Small) -> None:
    assert [entry["platform"]["architecture"] for entry in index_of(small)["manifests"]] == list(ARCHES)
    assert all(f"app-{arch}:smoke" in small.records() for arch in ARCHES), "each program ran on its platform"
    again = small.good("manifest")
    assert again.nodes("assembled") == [] and f"manifest out/manifest/latest is {small.digest}\n" in again.stdout
    assert small.scons("-q", "--verify", "manifest", "out").status == 0
    assert oci.problem(str(small.manifest)) == ""


def test_the_same_images_give_the_same_index(small: Small, make: Callable[[str], Small]) -> None:
    before = {path.name: path.read_bytes() for path in small.manifest.rglob("*") if path.is_file()}
    assert small.good("manifest", "--repair").nodes("assembled") == ["out/manifest/latest"]
    assert {path.name: path.read_bytes() for path in small.manifest.rglob("*") if path.is_file()} == before
    assert make("podman").digest == small.digest, "whichever engine built and saved them"


def test_blobs_are_shared(small: Small) -> None:
    layers: list[str] = []
    for entry in index_of(small)["manifests"]:
        manifest = json.loads((small.manifest / "blobs/sha256" / entry["digest"][7:]).read_text())
        layers += [layer["digest"] for layer in manifest["layers"]]
    assert len(layers) - len(set(layers)) >= 2, "the file that all roots have is stored once"
    assert len(oci.blob_names(str(small.manifest))) == len(set(layers)) + 2 * len(ARCHES) + 1


def test_skopeo_reads_it(small: Small, tmp_path: Path) -> None:
    for name in (small.manifest, f"{small.manifest}:latest"):
        raw = skopeo("inspect", "--raw", f"oci:{name}")
        assert f"sha256:{hashlib.sha256(raw).hexdigest()}" == small.digest
    for arch in ARCHES:
        said = json.loads(skopeo("--override-arch", arch, "inspect", f"oci:{small.manifest}"))
        assert (said["Os"], said["Architecture"]) == ("linux", arch)
    # What a push sends: all members, with the digests that are known before.
    skopeo("copy", "--quiet", "--all", "--preserve-digests", f"oci:{small.manifest}", f"dir:{tmp_path}/all")
    assert oci.file_digest(str(tmp_path / "all/manifest.json")) == small.digest


@pytest.mark.parametrize("tag", ["", ":latest"])
def test_podman_pulls_and_runs_each_member(small: Small, podman: Callable[..., str], tag: str) -> None:
    for arch in ARCHES:
        image = podman("pull", "--quiet", "--arch", arch, f"oci:latest{tag}", cwd=small.manifest.parent).strip()
        assert f"sha256:{image}" == small.record(f"app-{arch}")["image_id"]
        assert podman("image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", image) == f"linux/{arch}\n"
        assert podman(*PODMAN_RUN, image) == f"{arch}\n"


def test_podman_takes_the_member_of_this_machine(small: Small, podman: Callable[..., str]) -> None:
    image = podman("pull", "--quiet", "oci:latest:latest", cwd=small.manifest.parent).strip()
    here = {cpu: arch for arch, cpu in root.CPUS.items()}[os.uname().machine]
    assert podman("image", "inspect", "--format", "{{.Architecture}}", image) == f"{here}\n"


def test_a_saved_layout_is_taken(small: Small, podman: Callable[..., str]) -> None:
    layout = small.folder / "out/local oci/app/riscv64"
    said = json.loads(skopeo("--override-arch", "riscv64", "inspect", f"oci:{layout}"))
    assert said["Architecture"] == "riscv64"
    image = podman("pull", "--quiet", "--arch", "riscv64", "oci:riscv64", cwd=layout.parent).strip()
    assert f"sha256:{image}" == small.record("app-riscv64")["image_id"]
    assert podman(*PODMAN_RUN, image) == "riscv64\n"


def test_a_change_of_one_member(small: Small) -> None:
    before = index_of(small)["manifests"]
    (small.folder / "greeting").write_text("hello again\n")
    try:
        result = small.good("manifest", "TARGET_ARCH=arm64")
        assert result.nodes("assembled") == ["out/manifest/latest"]
        assert len(index_of(small)["manifests"]) == 1
        # No two members share an image here, so those of different edits go together.
        small.good("--repair", "manifest")
        assert len(index_of(small)["manifests"]) == len(ARCHES)
    finally:
        (small.folder / "greeting").write_text("hello\n")
    small.good("manifest")
    assert index_of(small)["manifests"] == before


def test_the_gate_of_a_member_that_does_not_run(small: Small) -> None:
    dockerfile = small.folder / "Dockerfile.app"
    text = dockerfile.read_text()
    digest = small.digest
    dockerfile.write_text(text.replace('RUN ["/say"]', 'RUN ["/shout"]'))
    try:
        result = small.scons("-k", "manifest")
        assert result.status == 2 and "FAILED     app-riscv64:smoke" in result.stdout
        assert "not tried out/manifest/latest" in result.stdout
        assert small.digest == digest
    finally:
        dockerfile.write_text(text)
    assert small.good("manifest").nodes("assembled") == []
