"""Artifact sources: settings that name another ARTIFACT_IMAGE than the stage declared for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from elf_header import MACHINES
from fake_engine import filesystem as fs
from fake_engine import write_layout
from stagegraph.model import LABEL_NODE

from .lanes import write_root_of_platforms
from .project import Project

GRAPH = """\
root = env.Root("bootstrap", "amd64")
for arch in env["ARCHES"]:
    android = env.Stage("android", arch, parent=root, tag=f"cross-android-{arch}")
    env.Layout("local-oci/android", arch, image=android)
    env.Rootfs("android-tree", arch, image=android)
    artifact = env.Artifact(arch, android)
    env.Stage(
        "package", arch, parent=env.Root("bootstrap", arch), images={"ARTIFACT_IMAGE": artifact},
        values={"ARTIFACT_PLATFORM": env.PlatformOf(artifact)}, platform=f"linux/{arch}", lane="runtime",
    )
"""

ANDROID = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS final
ARG TARGET_ARCH=amd64
RUN --mount=type=bind,source=scripts/android.sh,target=/mnt/android.sh run /mnt/android.sh
"""

PACKAGE = """\
ARG BASE_IMAGE
ARG ARTIFACT_IMAGE
ARG ARTIFACT_PLATFORM=linux/amd64

FROM --platform=${ARTIFACT_PLATFORM} ${ARTIFACT_IMAGE} AS source
ARG TARGET_ARCH
RUN select-payload

FROM ${BASE_IMAGE} AS final
COPY --from=source /work /opt
"""

FILES = {
    "Dockerfile.android": ANDROID,
    "Dockerfile.package": PACKAGE,
    "versions.env": "CROSS_DEFAULT_ARCHES=arm64,riscv64\n",
    "profiles/plain.env": "",
    "scripts/android.sh": "#!/bin/sh\nwork android\n",
}

#: What is built of the package stage of one arch.
PACKAGED = {"bootstrap-arm64", "package-arm64:source", "package-arm64"}
TAKEN = "artifact-arm64"


def program(arch: str) -> bytes:
    """The head of an ELF file."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + MACHINES[arch].to_bytes(2, "little")


def write_tree(root: Path, arch: str = "amd64", text: str = "payload") -> None:
    """A root file system whose shell is found through links, as distributions have it."""
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "usr/bin/sh").symlink_to("/usr/bin/dash")
    (root / "usr/bin/dash").write_bytes(program(arch))
    (root / "usr/bin/dash").chmod(0o755)
    (root / "opt").mkdir()
    (root / "opt/payload").write_text(text)


def write_artifact(directory: Path, arch: str = "amd64", text: str = "payload", **config: object) -> None:
    """An OCI layout of one image."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    layer = fs.pack({"opt": fs.directory(), "opt/payload": fs.regular(text.encode())})
    write_layout(str(directory), [layer], architecture=arch, config=config)


class Lanes(Project):
    """The project, with a directory for artifacts."""

    def __init__(self, place: Path) -> None:
        root = place / "root-layout"
        if not root.exists():
            write_root_of_platforms(root, ("amd64", "arm64", "riscv64"))
        super().__init__(place / "project", place / "store", graph=GRAPH, files=FILES)
        self.saved = place / "saved"

    def record_path(self, node: str, profile: str = "plain") -> Path:
        where, _, step = node.partition(":")
        stage = where.split("-")[0]
        lane = "runtime" if stage in ("package", "artifact") else "cross"
        step = step or ("root" if stage in ("bootstrap", "artifact") else "final")
        return self.path / "out/images" / profile / lane / where / f"{step}.json"

    def settings(self, **more: str) -> list[str]:
        return [f"ARTIFACT_CONTEXT_ROOT={self.saved}", "TARGET_ARCH=arm64", *(f"ARTIFACT_{k}={v}" for k, v in more.items())]

    def payload(self) -> bytes:
        """What the package took its payload from."""
        return self.engine.tree(self.image(TAKEN))["opt/payload"].data


@pytest.fixture
def lanes(place: Path) -> Lanes:
    return Lanes(place)


def test_without_a_setting_it_is_the_declared_stage(lanes: Lanes) -> None:
    assert lanes.builds("TARGET_ARCH=arm64", "package") == {"bootstrap-amd64", "android-arm64", *PACKAGED}
    lanes.is_quiet("TARGET_ARCH=arm64", "ARTIFACT_BUILD_MODE=cross", "ARTIFACT_CONTEXT_MODE=dir", "package")
    assert "artifact" not in lanes.good("--list-targets").stdout


# Layouts -----------------------------------------------------------------------------------------------------------


def test_a_saved_layout_stands_for_the_stage(lanes: Lanes) -> None:
    write_artifact(lanes.saved / "arm64", Labels={"theirs": "1"})
    words = [*lanes.settings(), "package"]
    text = lanes.good("-n", *words).stdout
    assert "artifact-arm64: makes or takes a root file system (layout sha256:" in text
    assert lanes.done() == set()
    lanes.good(*words)
    assert lanes.done() == PACKAGED  # neither bootstrap-amd64 nor android
    assert lanes.payload() == b"payload"
    image = lanes.engine.inspect(lanes.image(TAKEN))
    assert (image.architecture, image.config["Env"]) == ("amd64", ["SOURCE_DATE_EPOCH=1767225600"])
    assert image.config["Labels"]["theirs"] == "1"
    assert lanes.record("package-arm64:source")["ledger"]["variables"]["TARGET_ARCH"] == "arm64"
    lanes.is_quiet(*words)


def test_what_the_stage_saved_is_what_the_stage_is(lanes: Lanes) -> None:
    """The layers and the config stay, so nothing above is built again when the saved image takes the stage's place."""
    lanes.good("TARGET_ARCH=arm64", "package", "out/local-oci/android/arm64")
    words = [f"ARTIFACT_CONTEXT_ROOT={lanes.path}/out/local-oci/android", "TARGET_ARCH=arm64", "package"]
    assert lanes.builds(*words) == set()
    assert lanes.record(TAKEN)["content_id"] == lanes.record("android-arm64")["content_id"]
    lanes.is_quiet(*words)
    assert lanes.builds("TARGET_ARCH=arm64", "package") == set()


def test_a_layout_that_changed_is_taken_again(lanes: Lanes) -> None:
    words = [*lanes.settings(), "package"]
    write_artifact(lanes.saved / "arm64")
    lanes.good(*words)
    shutil.rmtree(lanes.saved / "arm64")
    write_artifact(lanes.saved / "arm64", text="other")
    assert lanes.scons("-q", *words).rc == 1
    assert "artifact-arm64: layout sha256:" in lanes.good("-n", *words).stdout
    assert lanes.builds(*words) == PACKAGED - {"bootstrap-arm64"}
    assert lanes.payload() == b"other"
    lanes.is_quiet(*words)


def test_the_place_of_a_layout_is_no_input(lanes: Lanes) -> None:
    write_artifact(lanes.saved / "arm64")
    lanes.good(*lanes.settings(), "package")
    shutil.move(lanes.saved, lanes.path / "moved")
    lanes.is_quiet("TARGET_ARCH=arm64", "package", env={"ARTIFACT_CONTEXT_ROOT": "moved"})


def test_a_fresh_clone_adopts_the_artifact(lanes: Lanes) -> None:
    write_artifact(lanes.saved / "arm64")
    lanes.good(*lanes.settings(), "package")
    other = lanes.clone(lanes.path.parent / "clone")
    assert other.builds(*lanes.settings(), "package") == set()
    assert other.record(TAKEN)["how"] == "adopted"


def test_a_layout_in_native_mode_is_for_the_arch(lanes: Lanes) -> None:
    write_artifact(lanes.saved / "arm64", "arm64")
    lanes.fails(*lanes.settings(), "package", code="artifact-arch")
    words = [*lanes.settings(BUILD_MODE="native"), "package"]
    assert lanes.builds(*words) == PACKAGED
    assert lanes.record("package-arm64:source")["ledger"]["node"]["platform"] == "linux/arm64"
    lanes.is_quiet(*words)


def test_a_layout_of_several_platforms(lanes: Lanes) -> None:
    write_root_of_platforms(lanes.saved / "arm64", ("amd64", "arm64"))
    for mode, platform in (("cross", "linux/amd64"), ("native", "linux/arm64")):
        lanes.good(*lanes.settings(BUILD_MODE=mode), "package")
        assert lanes.record(TAKEN)["ledger"]["node"]["platform"] == platform
    shutil.rmtree(lanes.saved / "arm64")
    write_root_of_platforms(lanes.saved / "arm64", ("riscv64",))
    assert "linux/riscv64" in lanes.fails(*lanes.settings(), "package", code="artifact-arch").text


# Trees -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", ["rootfs", "."])
def test_a_tree_stands_for_the_stage(lanes: Lanes, inner: str) -> None:
    write_tree(lanes.saved / "arm64" / inner)
    words = [*lanes.settings(CONTEXT_MODE="dir"), "package"]
    assert f"(tree {lanes.saved}/arm64" in lanes.good("-n", *words).stdout
    assert lanes.builds(*words) == PACKAGED
    assert lanes.payload() == b"payload"
    tree = lanes.engine.tree(lanes.image(TAKEN))
    assert (tree["usr/bin/dash"].mode, tree["usr/bin/dash"].mtime) == (0o755, 1767225600)
    assert tree["bin"].link == "usr/bin"
    assert lanes.engine.inspect(lanes.image(TAKEN)).architecture == "amd64"
    lanes.is_quiet(*words)
    assert lanes.scons("--check-reproducible", *words[:-1], TAKEN).rc == 0


def test_a_tree_that_changed_is_taken_again(lanes: Lanes) -> None:
    tree = lanes.saved / "arm64/rootfs"
    write_tree(tree)
    words = [*lanes.settings(CONTEXT_MODE="dir"), "package"]
    lanes.good(*words)
    (tree / "opt/payload").touch()
    lanes.is_quiet(*words)  # a time is no content
    (tree / "opt/payload").write_text("another")
    assert "artifact-arm64: tree sha256:" in lanes.good("-n", *words).stdout
    assert lanes.builds(*words) == PACKAGED - {"bootstrap-arm64"}
    assert lanes.payload() == b"another"
    (tree / "opt/payload").chmod(0o600)
    assert lanes.scons("-q", *words).rc == 1
    lanes.good(*words)
    (tree / "opt/more").symlink_to("payload")
    assert lanes.scons("-q", *words).rc == 1


def test_what_was_hashed_of_a_tree_is_kept_apart(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees are large, and most commands need none of what was hashed of them."""
    monkeypatch.setattr("stagegraph.statcache._SETTLED", -(10**18))  # a file is trusted at once; runs are forks of us
    write_tree(lanes.saved / "arm64")
    words = [*lanes.settings(CONTEXT_MODE="dir"), "package"]
    lanes.good(*words)
    hashed = lanes.path / "out/.cache/trees.json"
    assert f"{lanes.saved}/arm64/opt/payload" in hashed.read_text("utf-8")
    assert not (lanes.path / "out/.cache/files.json").exists()
    hashed.unlink()
    lanes.good("-n", *words)
    lanes.good(*words[:-1], "android")
    assert not hashed.exists()
    lanes.good(*words)
    assert hashed.exists()


def test_an_export_of_ours_is_a_tree(lanes: Lanes) -> None:
    lanes.good("TARGET_ARCH=arm64", "out/android-tree/arm64")
    shutil.copytree(lanes.path / "out/android-tree", lanes.saved, symlinks=True)
    write = lanes.saved / "arm64/rootfs"
    (write / "usr/bin").mkdir(parents=True)
    (write / "usr/bin/tool").write_bytes(program("amd64"))
    words = [*lanes.settings(CONTEXT_MODE="dir"), "package"]
    lanes.good(*words)
    env = lanes.saved / "arm64/artifact.env"
    env.write_text(env.read_text().replace("TARGET_ARCH=arm64", "TARGET_ARCH=riscv64"))
    assert "TARGET_ARCH=riscv64" in lanes.fails(*words, code="artifact-arch").text


# Images ------------------------------------------------------------------------------------------------------------


def name_image(lanes: Lanes, node: str, name: str) -> None:
    lanes.engine.tag(lanes.image(node), [name])


def test_an_image_of_the_store_by_prefix(lanes: Lanes) -> None:
    lanes.good("TARGET_ARCH=arm64", "android")
    name_image(lanes, "android-arm64", "ghcr.io/o/x:mine-arm64")
    words = ["TARGET_ARCH=arm64", "ARTIFACT_IMAGE_PREFIX=ghcr.io/o/x:mine", "package"]
    lanes.good("-n", *words)
    assert lanes.done() == set()
    assert lanes.builds(*words) == {*PACKAGED, TAKEN}
    assert lanes.record(TAKEN)["ledger"]["options"] == {"stored": lanes.record("android-arm64")["content_id"]}
    assert "ghcr.io/o/x" not in lanes.record_path(TAKEN).read_text("utf-8")
    lanes.is_quiet(*words)


def test_a_name_that_moved_counts_by_what_it_names(lanes: Lanes) -> None:
    lanes.good("TARGET_ARCH=arm64", "android")
    first = lanes.image("android-arm64")
    words = ["TARGET_ARCH=arm64", "package"]
    env = {"ARTIFACT_IMAGE_PREFIX": "localhost/image:cross-android"}
    lanes.good(*words, env=env)
    lanes.engine.switch("constant", "android-arm64", "same")
    lanes.replace("scripts/android.sh", "work android", "work harder")
    lanes.good("TARGET_ARCH=arm64", "android")
    assert lanes.image("android-arm64") != first
    assert "artifact-arm64: stored sha256:" in lanes.good("-n", *words, env=env).stdout
    assert TAKEN in lanes.builds(*words, env=env)
    second = lanes.image("android-arm64")
    lanes.replace("scripts/android.sh", "work harder", "work hardest")
    lanes.good("TARGET_ARCH=arm64", "android")
    assert lanes.image("android-arm64") != second
    lanes.is_quiet(*words, env=env)  # another image of the same content


def test_an_exact_reference_in_native_mode(lanes: Lanes) -> None:
    write_artifact(lanes.saved / "image", "arm64")
    lanes.engine.tag(lanes.engine.load(str(lanes.saved / "image")), ["localhost/x:android"])
    words = ["TARGET_ARCH=arm64", "ARTIFACT_IMAGE_PREFIX=x:android", "package"]
    assert "localhost/x:android-arm64" in lanes.fails(*words, code="artifact-missing").text
    assert lanes.builds("ARTIFACT_BUILD_MODE=native", *words) == {*PACKAGED, TAKEN}
    lanes.is_quiet("ARTIFACT_BUILD_MODE=native", *words)


def pinned(lanes: Lanes, arch: str, **config: object) -> str:
    """An image in the registry, by digest."""
    write_artifact(lanes.saved / "image", arch, **config)
    digest = json.loads((lanes.saved / "image/index.json").read_text())["manifests"][0]["digest"]
    name = f"example.test/x@{digest}"
    registry = lanes.store / "root/registry"
    (registry / f"example.test%2Fx%40sha256%3A{digest[7:]}").symlink_to(lanes.saved / "image")
    return name


def test_a_reference_by_digest_is_pulled(lanes: Lanes) -> None:
    name = pinned(lanes, "amd64")
    words = [f"ARTIFACT_IMAGE_PREFIX={name}", "package"]
    assert "one image for the arches arm64, riscv64" in lanes.fails(*words, code="artifact-settings").text
    assert lanes.builds("TARGET_ARCH=arm64", *words) == {*PACKAGED, TAKEN}
    assert lanes.record(TAKEN)["ledger"]["options"] == {"image": name}
    lanes.is_quiet("TARGET_ARCH=arm64", *words)


def test_a_pulled_image_for_another_arch(lanes: Lanes) -> None:
    words = ["TARGET_ARCH=arm64", f"ARTIFACT_IMAGE_PREFIX={pinned(lanes, 'amd64', Env=['TARGET_ARCH=riscv64'])}", "package"]
    assert "was made for riscv64" in lanes.fails(*words, code="artifact-arch").stdout
    assert TAKEN not in lanes.done()


# Mistakes ----------------------------------------------------------------------------------------------------------


def test_what_is_not_needed_is_not_looked_up(lanes: Lanes) -> None:
    """A name in the environment does not hinder targets that do not stand on it."""
    env = {"ARTIFACT_IMAGE_PREFIX": "localhost/nothing:here"}
    lanes.good("TARGET_ARCH=arm64", "android", env=env)
    lanes.good("lint", env=env)
    lanes.fails("-n", "TARGET_ARCH=arm64", "package", env=env, code="artifact-missing")
    lanes.engine.switch("down", "")
    said = lanes.fails("-n", "TARGET_ARCH=arm64", "package", env=env, code="artifact-missing").stderr
    assert "cannot be looked up: the fake engine is down" in said


@pytest.mark.parametrize("question", [(), ("-n",), ("-q",)])
@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ({"BUILD_MODE": "crosss"}, "artifact-settings", "cross or native"),
        ({"CONTEXT_MODE": "tar"}, "artifact-settings", "oci or dir"),
        ({"BUILD_MODE": "native", "CONTEXT_ROOT": ""}, "artifact-settings", "android-arm64 is an image for linux/amd64"),
        ({"IMAGE_PREFIX": "x:y"}, "artifact-settings", "both say"),
        ({"IMAGE_PREFIX": "x", "CONTEXT_ROOT": ""}, "image-name", "names no tag"),
        ({"CONTEXT_ROOT": "nowhere"}, "artifact-missing", "nowhere/arm64' is no directory"),
        ({"CONTEXT_ROOT": "empty"}, "artifact-missing", "ARTIFACT_CONTEXT_MODE=dir"),
        ({"CONTEXT_ROOT": "empty", "CONTEXT_MODE": "dir"}, "artifact-missing", "is no root file system"),
        ({"CONTEXT_MODE": "dir"}, "artifact-missing", "ARTIFACT_CONTEXT_MODE=oci"),
        ({"CONTEXT_ROOT": "trees", "CONTEXT_MODE": "dir"}, "artifact-arch", "for linux/arm64, not for linux/amd64"),
        ({"CONTEXT_ROOT": "swapped"}, "artifact-arch", "was made for riscv64"),
        ({"CONTEXT_ROOT": "labelled"}, "artifact-arch", "was made for riscv64"),
        ({"CONTEXT_ROOT": "broken"}, "layout-broken", "is no OCI layout"),
    ],
)
def test_mistakes(lanes: Lanes, question: tuple[str, ...], given: dict[str, str], code: str, said: str) -> None:
    """Found while reading, by a question too, and nothing is built."""
    write_artifact(lanes.saved / "arm64")
    write_tree(lanes.path / "trees/arm64/rootfs", "arm64")
    (lanes.path / "empty/arm64").mkdir(parents=True)
    write_artifact(lanes.path / "swapped/arm64", Env=["TARGET_ARCH=riscv64"])
    write_artifact(lanes.path / "labelled/arm64", Labels={LABEL_NODE: "android-riscv64"})
    (lanes.path / "broken/arm64").mkdir(parents=True)
    (lanes.path / "broken/arm64/index.json").write_text("{}")
    words = lanes.settings(**given)[1 if "CONTEXT_ROOT" in given else 0 :]
    result = lanes.fails(*question, *words, "package", code=code)
    assert said in result.text
    assert "hint: " in result.text
    assert lanes.done() == set()


def test_an_artifact_built_by_hand_has_the_label_of_its_root(lanes: Lanes) -> None:
    write_artifact(lanes.saved / "arm64", Labels={LABEL_NODE: "bootstrap-amd64"}, Env=["TARGET_ARCH=arm64", "A=b=c"])
    lanes.good(*lanes.settings(), "package")
