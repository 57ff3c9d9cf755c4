"""LANE chooses a graph. Two of them in one checkout keep out of each other's way; this project's native lane is as written."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
from pathlib import Path

import pytest

from e2e.checkout import NOT_COPIED, TOP

from .project import EVERYTHING, EXPORTS, GRAPH, Project
from .runner import run_scons

GOLDEN = Path(__file__).parent / "golden" / "native-lane.txt"

#: A graph for LANE=native beside the one of graph.project; both call their base image by the same name for people.
LANES = """\
if env["LANE"] == "native":
    here = {{"platform": "linux/amd64", "lane": "native"}}
    root = env.Root("bootstrap", "amd64", lane="native")
    base = env.Stage("base", "amd64", parent=root, tag="base", **here)
    compiler = env.Stage("compiler", "amd64", parent=base, **here)
    sdk = env.Stage("sdk", "amd64", parent=compiler, **here)
    env.Default(env.Rootfs("native/linux-sdk", "amd64", image=sdk))
else:
    {cross}
""".format(cross=GRAPH.replace("\n", "\n    "))

NATIVE = {"base-amd64", "sdk-amd64:sources", "sdk-amd64:glslang", "sdk-amd64:spirv", "sdk-amd64", "export:sdk-amd64"} | {
    f"compiler-amd64{step}" for step in (":gcc", ":clang", "")
}


@pytest.fixture
def lanes(project: Project) -> Project:
    """A project with two lanes, never built."""
    project.write("SConstruct", project.sconstruct(LANES))
    project.replace("SConstruct", '"profile": "plain"', '"profile": "plain", "lanes": ["cross", "native"]')
    return project


# One checkout, two lanes -----------------------------------------------------------------------------------------------


def test_each_lane_is_built_once_whatever_the_other_does(lanes: Project) -> None:
    assert lanes.builds() == EVERYTHING
    records = lanes.contents()
    # The root is the same image: the second record adopts it.
    assert lanes.builds("LANE=native") == NATIVE
    assert lanes.contents().items() > records.items()
    lanes.is_quiet()
    lanes.is_quiet(env={"LANE": "native"})
    lanes.is_quiet("LANE=cross", env={"LANE": "native"})
    assert lanes.export().is_dir() and (lanes.path / "out/native/linux-sdk/amd64/artifact.env").is_file()


def test_a_change_of_both_lanes_costs_both_once(lanes: Project) -> None:
    lanes.good()
    lanes.good("LANE=native")
    lanes.write("scripts/build.sh", "other\n")
    assert lanes.builds("LANE=native") == {"sdk-amd64:glslang", "sdk-amd64", "export:sdk-amd64"}
    expected = {f"sdk-{arch}{step}" for arch in ("arm64", "riscv64") for step in (":glslang", "")}
    assert lanes.builds() == expected | EXPORTS


def test_a_name_for_people_that_both_lanes_give_comes_back_with_a_reason(lanes: Project) -> None:
    def bearer(name: str) -> str:
        (found,) = [image.id for image in lanes.engine.images() if name in image.names]
        return found

    lanes.good("base")
    own = lanes.image("base")
    (name,) = [name for image in lanes.engine.images() for name in image.names if name.endswith(":base")]
    lanes.good("LANE=native", "base")
    assert bearer(name) != own
    assert f"{name} has to name its image" in lanes.good("-n", "base").stdout
    assert lanes.builds("base") == set()
    assert bearer(name) == own


def test_the_exports_of_the_other_lane_are_no_targets(lanes: Project) -> None:
    said = lanes.fails("LANE=native", "out/linux-sdk/amd64", code="target-unknown").text
    assert "did you mean out/native/linux-sdk/amd64" in said
    lanes.fails("out/native/linux-sdk/amd64", code="target-unknown")


def test_a_lane_that_does_not_exist(lanes: Project, place: Path) -> None:
    assert "did you mean native?" in lanes.fails("LANE=nativ", code="lane-unknown").text
    assert "known are cross, native" in lanes.fails(env={"LANE": "x"}, code="lane-unknown").text
    assert "known are cross" in Project(place / "other", place / "store").fails("LANE=native", code="lane-unknown").text


# The lane of this project ----------------------------------------------------------------------------------------------


def dry_run(place: Path, *words: str) -> str:
    """What ``scons -n`` prints in a copy of this project that was never built, on a machine without an engine."""
    copy = place / "copy"
    shutil.copytree(TOP, copy, symlinks=True, ignore=NOT_COPIED)
    unset = {name: "" for name in ("PROFILE", "TARGET_ARCHES", "TARGET_ARCH", "CROSS_TARGETS", "ROOT_IMAGE", "SCONSFLAGS")}
    environment = {**unset, "PROFILE": "prebuilt", "PATH": str(place / "nothing")}
    result = run_scons(["-Q", "-n", "--engine=buildah", *words], copy, place, environment)
    assert result.rc == 0, result.text
    assert not (copy / "out").exists()
    return result.stdout


def normal(text: str) -> str:
    """A dry run as a list of its nodes in order: what each is built of, for and on, without what versions say."""
    paragraphs = []
    for line in text.splitlines():
        if line.startswith("env "):
            (arch,) = re.findall(r"--architectures=(\S+)", line)
            paragraphs.append([f"bootstrap-{arch}", f"linux/{arch} root"])
        elif line.startswith("buildah "):
            paragraphs.append(_build(shlex.split(line)))
    return "\n".join("\n    ".join(paragraph) + "\n" for paragraph in paragraphs)


def _build(argv: list[str]) -> list[str]:
    given: dict[str, list[str]] = {}
    for flag, value in itertools.pairwise(argv):
        given.setdefault(flag, []).append(value)
    node = given["--label"][0].partition("=")[2]
    (platform,), (target,), (dockerfile,) = given["--platform"], given["--target"], given["-f"]
    values = [word for word in given.get("--build-arg", []) if re.match("BUILD_MODE|CROSS_TARGETS|TARGET_ARCH|ARTIFACT_PLATFORM", word)]
    images = [*given.get("--build-context", []), *(word for word in given.get("--build-arg", []) if "<image of" in word)]
    parents = [re.sub(r"=.*<image of (\S+)>", r" <- \1", word) for word in images]
    return [node, f"{platform} {dockerfile} {target}", *values, *parents]


def test_the_native_lane_is_as_written(place: Path, request: pytest.FixtureRequest) -> None:
    """What is written: each stage of each arch, on that arch, on the one before, with BUILD_MODE=native."""
    found = normal(dry_run(place, "LANE=native", "TARGET_ARCHES=arm64,riscv64", "android"))
    if request.config.getoption("--write-goldens"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text(), "if this change is meant, --write-goldens writes it down"


def test_the_native_lane_stays_on_its_arch(place: Path) -> None:
    paragraphs = normal(dry_run(place, "LANE=native", "TARGET_ARCHES=riscv64", "smoke")).strip().split("\n\n")
    assert len(paragraphs) > 30
    for paragraph in paragraphs:
        assert re.search(r"(?m)^    linux/riscv64 ", paragraph), paragraph
        assert all("-riscv64" in parent for parent in re.findall(r"<- (\S+)", paragraph)), paragraph
        given = dict(re.findall(r"(?m)^    ([A-Z_]+)=(.*)$", paragraph))
        wanted = {"BUILD_MODE": "native", "CROSS_TARGETS": "riscv64", "TARGET_ARCH": "riscv64", "ARTIFACT_PLATFORM": "linux/riscv64"}
        assert given.items() <= wanted.items(), paragraph
