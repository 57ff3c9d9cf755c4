"""Two lanes: stages on a platform of their own, steps by name, gates that hold back what is made of their images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stagegraph import artifact

from .lanes import ARCHES, GRAPH, RUNTIME, Lanes
from .project import Project

SHARED = {"bootstrap-amd64", "tools"}
CROSS = {f"artifact-{arch}" for arch in ARCHES}
NATIVE = {name.format(arch) for name in RUNTIME for arch in ARCHES}
IMAGES = SHARED | CROSS | NATIVE


def of(arch: str, *names: str) -> set[str]:
    return {name.format(arch) for name in names}


# Platforms --------------------------------------------------------------------------------------------------------


def test_each_arch_has_nodes_of_its_own_on_its_platform(place: Path) -> None:
    lanes = Lanes(place)
    assert lanes.builds("app") == IMAGES - {f"package-{arch}:smoke" for arch in ARCHES}
    for arch in ARCHES:
        platforms = {
            name: lanes.engine.inspect(lanes.image(name)).architecture
            for name in (f"artifact-{arch}", f"package-{arch}:artifact-source", f"package-{arch}", f"app-{arch}")
        }
        assert list(platforms.values()) == ["amd64", "amd64", arch, arch], platforms
        assert lanes.engine.inspect(lanes.image(f"package-{arch}:payload")).architecture == arch


def test_the_root_of_each_platform_is_its_own(lanes: Lanes) -> None:
    for arch in ("amd64", *ARCHES):
        tree = lanes.engine.tree(lanes.image(f"bootstrap-{arch}"))
        assert tree["etc/os-release"].data == f"ID=root-{arch}\n".encode()


def test_a_change_in_the_cross_lane_of_one_arch_leaves_the_other_alone(lanes: Lanes) -> None:
    lanes.write("versions.env", "CROSS_DEFAULT_ARCHES=arm64,riscv64\nGCC_VERSION=14\nGCC_VERSION_ARM64=15\n")
    assert lanes.builds() == of("arm64", *RUNTIME[1:], "artifact-{}") | {"export:app-arm64"}


def test_a_change_in_the_runtime_lane_leaves_the_cross_lane_alone(lanes: Lanes) -> None:
    lanes.write("scripts/app.sh", "other\n")
    assert lanes.builds() == {f"{what}app-{arch}" for what in ("", "export:") for arch in ARCHES}


def test_a_platform_that_is_not_known(lanes: Lanes) -> None:
    lanes.write("SConstruct", lanes.sconstruct(GRAPH.replace('"ARTIFACT_PLATFORM": "linux/amd64"', '"ARTIFACT_PLATFORM": "linux/sparc"')))
    text = lanes.fails("-n", code="platform-unknown").text
    assert "step artifact-source of stage package is for the platform 'linux/sparc'" in text
    lanes.replace("Dockerfile.package", "--platform=${ARTIFACT_PLATFORM}", "--platform=linux/mips")
    lanes.fails("-n", code="platform-unknown")


def test_an_image_of_another_platform_than_its_child(lanes: Lanes) -> None:
    lanes.write("SConstruct", lanes.sconstruct(GRAPH.replace('"ARTIFACT_PLATFORM": "linux/amd64"', '"ARTIFACT_PLATFORM": "linux/arm64"')))
    assert "its parent artifact-arm64 is for linux/amd64" in lanes.fails("-n", code="parent-platform").text


def test_the_platform_of_a_step_is_an_input(lanes: Lanes) -> None:
    """In native mode the artifact image is one of linux/<arch>: the same instructions give another image."""
    graph = GRAPH.replace(
        'env.Stage("artifact", arch, parent=tools)',
        'env.Stage("artifact", arch, parent=env.Stage("tools", arch, parent=env.Root("bootstrap", arch),'
        ' platform=f"linux/{arch}"), platform=f"linux/{arch}")',
    ).replace('"ARTIFACT_PLATFORM": "linux/amd64"', '"ARTIFACT_PLATFORM": f"linux/{arch}"')
    graph = graph.replace('tools = env.Stage("tools", parent=root)\n', "")
    lanes.write("SConstruct", lanes.sconstruct(graph))
    why = lanes.good("--why", "package-arm64:artifact-source").stdout
    assert "platform linux/amd64 → linux/arm64" in why
    lanes.good("package-arm64")
    assert lanes.engine.inspect(lanes.image("package-arm64:artifact-source")).architecture == "arm64"


# Steps by name -----------------------------------------------------------------------------------------------------


def test_a_step_is_exported(lanes: Lanes) -> None:
    assert lanes.builds("out/payload/arm64") == set()
    tree = lanes.path / "out/payload/arm64/rootfs"
    assert [path.name for path in tree.iterdir()] == ["payload"]


def test_a_step_that_a_stage_does_not_have(lanes: Lanes) -> None:
    lanes.write("SConstruct", lanes.sconstruct(GRAPH.replace('env.Step(package, "payload")', 'env.Step(package, "paylaod")')))
    text = lanes.fails("-n", code="step-unknown").text
    assert "stage package has no step 'paylaod'" in text
    assert "its steps are artifact-source, payload, package, smoke" in text


def test_the_final_step_need_not_be_the_last(lanes: Lanes) -> None:
    assert lanes.record("app-arm64")["ledger"]["parents"] == {"BASE_IMAGE": lanes.record("package-arm64")["content_id"]}
    lanes.write("SConstruct", lanes.sconstruct(GRAPH.replace('final="package"', 'final="pakcage"')))
    lanes.fails("-n", code="step-unknown")


# Gates -------------------------------------------------------------------------------------------------------------


def test_the_word_smoke_is_all_gates_and_what_they_judge(place: Path) -> None:
    lanes = Lanes(place)
    assert lanes.builds("smoke") == IMAGES - {f"app-{arch}" for arch in ARCHES}
    assert "smoke" in lanes.good("--list-targets").stdout.split()
    assert not (lanes.path / "out" / "linux-runtime").exists()


def test_artifact_env_names_the_gates(lanes: Lanes) -> None:
    for arch in ARCHES:
        said = artifact.read(str(lanes.path / "out/linux-runtime" / arch / "artifact.env"))
        assert said["GATES"] == f"package-{arch}:smoke"
        assert said["TARGET_ARCH"] == arch
        assert said["SOURCE_IMAGE"] == f"localhost/image:app-{arch}"
        assert said["PACKAGE_IMAGE"] == f"localhost/image:package-{arch}"
        assert said["LANE"] == "runtime"
        assert said["GCC_VERSION"] == "14"
    assert "GATES" not in artifact.read(str(lanes.path / "out/payload/arm64/artifact.env"))


@pytest.mark.parametrize("jobs", ["-j1", "-j3"])
def test_a_gate_that_fails_keeps_back_all_that_is_made_of_its_image(place: Path, jobs: str) -> None:
    lanes = Lanes(place)
    lanes.engine.switch("fail", "package-arm64:smoke", "cc is not there")
    result = lanes.scons("-k", jobs, "out/linux-runtime", "manifest", "app")
    assert result.rc == 2
    assert "FAILED     package-arm64:smoke" in result.stdout
    assert lanes.done() == IMAGES | {"export:app-riscv64"}
    for what in ("out/linux-runtime/arm64", "out/manifest/latest"):
        assert f"  not tried {what}\n" in result.stdout
    assert not (lanes.path / "out/linux-runtime/arm64").exists()
    assert not lanes.manifest.exists()
    assert lanes.scons("-q", "manifest").rc == 1
    assert lanes.scons("-q", "app").rc == 0

    lanes.engine.unset("fail", "package-arm64:smoke")
    made = {"export:app-arm64", "save:app-arm64", "save:app-riscv64"}
    assert lanes.builds("out/linux-runtime", "manifest") == {"package-arm64:smoke"} | made
    lanes.is_quiet("out/linux-runtime", "manifest")


def test_a_failed_gate_is_not_ignored_by_ignoring_errors(place: Path) -> None:
    lanes = Lanes(place)
    lanes.engine.switch("fail", "package-arm64:smoke", "no")
    text = lanes.good("-i", "out/linux-runtime", "manifest").stdout
    assert "out/manifest/latest stands on package-arm64:smoke, which failed [parent-failed]" in text
    assert not lanes.manifest.exists() and not (lanes.path / "out/linux-runtime/arm64").exists()


def test_a_gate_that_was_edited_runs_again_and_nothing_else_does(lanes: Lanes) -> None:
    before = lanes.snapshot()
    lanes.write("scripts/smoke.sh", "#!/bin/sh\nmore checks\n")
    assert lanes.scons("-q", "manifest").rc == 1
    why = lanes.good("--why", "manifest").stdout
    assert "package-arm64:smoke: has to be built\n    scripts/smoke.sh changed\n" in why
    assert "app-arm64" not in why
    gates = {f"package-{arch}:smoke" for arch in ARCHES}
    assert lanes.builds("out/linux-runtime", "manifest") == gates
    lanes.is_quiet("out/linux-runtime", "manifest")
    after = lanes.snapshot()
    for path in ("out/manifest/.latest.json", "out/manifest/latest/index.json", "out/linux-runtime/arm64/artifact.env"):
        assert before[str(lanes.path / path)] == after[str(lanes.path / path)], path


def test_an_edited_gate_that_fails_leaves_what_stands(lanes: Lanes) -> None:
    before = lanes.snapshot()
    lanes.write("scripts/smoke.sh", "#!/bin/sh\nmore checks\n")
    lanes.engine.switch("fail", "package-arm64:smoke", "no")
    result = lanes.scons("-k", "out/linux-runtime", "manifest")
    assert result.rc == 2
    after = lanes.snapshot()
    for path in ("out/manifest/.latest.json", "out/manifest/latest/index.json", "out/linux-runtime/arm64/artifact.env"):
        assert before[str(lanes.path / path)] == after[str(lanes.path / path)], path
    assert lanes.scons("-q", "manifest").rc == 1, "what the gate says now is not known"
    lanes.write("scripts/smoke.sh", "#!/bin/sh\nwork smoke\n")
    lanes.engine.unset("fail", "package-arm64:smoke")
    assert lanes.builds("out/linux-runtime", "manifest") == set(), "adopted: the store holds what it was"
    lanes.is_quiet("out/linux-runtime", "manifest")


def test_a_gate_judges_each_new_image(lanes: Lanes) -> None:
    lanes.replace("Dockerfile.package", "RUN wire", "RUN wire better")
    built = lanes.builds("out/linux-runtime/arm64")
    assert built == of("arm64", "package-{}", "package-{}:smoke", "app-{}", "export:app-{}")
    judged = lanes.record("package-arm64:smoke")["ledger"]["parents"]["package"]
    assert judged == lanes.record("package-arm64")["content_id"]


def test_the_image_of_a_gate_is_not_needed_for_what_it_holds_back(lanes: Lanes) -> None:
    lanes.remove_image("package-arm64:smoke")
    shutil.rmtree(lanes.path / "out/linux-runtime/arm64/rootfs")
    assert "package-arm64:smoke" not in lanes.good("-n").stdout
    assert lanes.builds() == {"export:app-arm64"}


def test_what_is_handed_over_as_a_gate_has_to_be_one(lanes: Lanes) -> None:
    lanes.write("SConstruct", lanes.sconstruct(GRAPH.replace("gates=[gate]", 'gates=["smoke"]')))
    lanes.fails("-n", code="parent-unknown")


def test_records_lie_in_the_folder_of_their_lane(lanes: Lanes) -> None:
    for arch in ARCHES:
        path = lanes.path / f"out/images/plain/runtime/package-{arch}/smoke.json"
        assert json.loads(path.read_text())["node"] == f"package-{arch}:smoke"


def test_another_project_has_no_lanes(built: Project) -> None:
    """``smoke`` and ``manifest`` are words only where something is declared for them."""
    for word in ("smoke", "manifest"):
        built.fails(word, code="target-unknown")
