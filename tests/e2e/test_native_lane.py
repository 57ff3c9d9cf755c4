"""The native lane on real engines: a step of a foreign arch under emulation, all of amd64, and what native mode refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .checkout import Checkout, profile
from .conftest import FOREIGN_ARCH
from .machine import host_mirror, require_engine

#: The arch whose compiler is staged under emulation: the one whose root the tests of the other lanes make as well.
ARCH = FOREIGN_ARCH

#: What readelf calls its machine.
MACHINE = {"arm64": "AArch64", "riscv64": "RISC-V"}[ARCH]

#: Names for people of these tests alone: the store may be that of others.
REPOSITORY = "localhost/native-lane"

LANE = ("LANE=native", f"TARGET_ARCHES={ARCH}", f"IMAGE_REPO={REPOSITORY}")

#: Dockerfile → the step in which it asks whether the mode builds for the target, in the order of the chain.
ASKED = {"sdk": "llvm-target", "media": "onnxruntime", "android": "final", "package": "artifact-source"}

#: Writes an object with the compiler in the image, and the machine in its header.
COMPILE = """\
set -eu
cd "$(mktemp -d)"
echo 'int one(void) { return 1; }' >one.c
"$1/bin/gcc" -c one.c
readelf -h one.o
"""


@pytest.fixture(scope="module")
def checkout(store: str) -> Checkout:
    """A checkout of this file's own, on the store of the chain: the cross lane's images are adopted where they are."""
    require_engine()
    return Checkout.fresh("native", store)


@pytest.fixture(scope="module")
def base(checkout: Checkout) -> str:
    """The id of the cross lane's base image, on linux/amd64."""
    checkout.good("base")
    return str(checkout.record("base")["image_id"])


def test_a_compiler_is_staged_and_runs_under_emulation(checkout: Checkout) -> None:
    own, foreign = f"compiler-{ARCH}:gcc-host", f"compiler-{ARCH}:native-gcc-amd64"
    checkout.good("-j2", *LANE, "base", own, foreign)
    assert named(checkout, f"base-{ARCH}") == checkout.record(f"base-{ARCH}")["image_id"]
    gcc = f"/opt/gcc-{profile()['GCC_VERSION']}"
    image = checkout.record(own)["image_id"]
    told = checkout.engine("inspect", "--type", "image", "--format", "{{.OCIv1.Architecture}}", image).strip()
    assert told == ARCH
    assert checkout.run_in(image, f"{gcc}/bin/gcc", "-dumpfullversion").strip() == profile()["GCC_VERSION"]
    assert MACHINE in checkout.run_in(image, "readelf", "-h", f"{gcc}/bin/gcc")
    assert MACHINE in checkout.run_in(image, "sh", "-c", COMPILE, "sh", gcc)
    # What has no use in this mode is there, for the COPY that gathers it, and holds nothing.
    empty = f"{gcc}-native-amd64"
    assert checkout.run_in(checkout.record(foreign)["image_id"], "find", empty).split() == [empty]


def test_both_lanes_stand_side_by_side(checkout: Checkout, base: str) -> None:
    """What one lane made is neither built again nor taken for the other's."""
    assert checkout.scons("-q", "base").status == 0
    assert checkout.scons("-q", *LANE, f"compiler-{ARCH}:gcc-host").status == 0
    assert checkout.record(f"base-{ARCH}")["image_id"] != base


@pytest.mark.parametrize("stage", ASKED)
def test_a_foreign_target_is_refused(checkout: Checkout, base: str, stage: str) -> None:
    done = by_hand(checkout, base, stage, ASKED[stage], BUILD_MODE="native", TARGET_ARCH=ARCH)
    assert done.returncode != 0
    assert f"error: BUILD_MODE=native on linux/amd64 builds for amd64, not for {ARCH}" in done.stderr, done.stderr
    assert f"hint: build on linux/{ARCH}" in done.stderr


def test_the_mode_is_an_argument_of_the_compiler_stage(checkout: Checkout, base: str) -> None:
    """The engine warns of an argument that no step has declared."""
    done = by_hand(checkout, base, "toolchain", "gcc-arm64", BUILD_MODE="native", UNHEARD_OF="x", **profile())
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in (done.stdout + done.stderr).splitlines() if "not consumed" in line]
    assert "UNHEARD_OF" in warning and "BUILD_MODE" not in warning
    checkout.engine("rmi", done.stdout.split()[-1])
    done = by_hand(checkout, base, "toolchain", "gcc-arm64", BUILD_MODE="both", **profile())
    assert done.returncode != 0
    assert "error: BUILD_MODE='both' is no build mode" in done.stderr, done.stderr


def named(checkout: Checkout, tag: str) -> str:
    """The id of the image that bears a name for people."""
    return "sha256:" + checkout.engine("inspect", "--type", "image", "--format", "{{.FromImageID}}", f"{REPOSITORY}:{tag}").strip()


def by_hand(checkout: Checkout, base: str, stage: str, step: str, **arguments: str) -> subprocess.CompletedProcess[str]:
    """Build one step of a Dockerfile with the plain engine on an image that has no compiler: it ends before it needs one."""
    given = {"BASE_IMAGE": base, "APT_MIRROR_URL": host_mirror(), **arguments}
    if stage == "package":
        given["ARTIFACT_IMAGE"] = base
    words = [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]
    flags = ("--isolation", "chroot", "--network", "host", "--no-cache", "--layers=false", "--force-rm")
    file = Path("linux") / f"Dockerfile.{stage}"
    argv = ["buildah", *checkout.store_flags(), "bud", *flags, *words, "--target", step, "-f", str(file), "."]
    return subprocess.run(argv, cwd=checkout.folder, capture_output=True, text=True, check=False)


def test_amd64_up_to_its_gates(request: pytest.FixtureRequest, checkout: Checkout) -> None:
    if not request.config.getoption("--all-arches"):
        pytest.skip("builds every stage once more; --all-arches runs it")
    lane = ("LANE=native", "TARGET_ARCHES=amd64", f"IMAGE_REPO={REPOSITORY}")
    stages = ("base", "compiler", "sdk", "media", "android", "torch")
    checkout.good("-j2", *lane, *stages, "smoke", "out/native/linux-sdk/amd64")
    records = checkout.records()
    for stage in stages:
        name = "latest" if stage == "torch" else stage
        assert named(checkout, name) == records[f"{stage}-amd64"]["image_id"]
    gcc = f"/opt/gcc-{profile()['GCC_VERSION']}"
    listed = checkout.run_in(records["compiler-amd64"]["image_id"], "sh", "-c", f"ls -d {gcc}* /opt/python-cross/*").split()
    assert listed == [gcc, f"{gcc}-native-amd64", "/opt/python-cross/amd64"]
    assert (checkout.folder / "out/native/linux-sdk/amd64/artifact.env").is_file()
    assert checkout.scons("-q", *lane, *stages, "smoke").status == 0
