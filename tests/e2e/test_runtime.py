"""The runtime lane, from the artifact image to the manifest: what an image holds, that it works, that its gates judged it.

For amd64 all of it; for the foreign arches under --all-arches, since everything of theirs runs under emulation.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from elf_header import MACHINES
from stagegraph.engines.base import EngineOptions
from stagegraph.engines.podman import Podman

from .checkout import TOP, Checkout, Result, profile
from .conftest import ARCHES, Sdk
from .machine import PODMAN_RUN, elf_machine, remove_store, require_engine, triplet

#: The largest that a runtime image may be, in bytes: what the chain does not use must not creep in.
MAX_BYTES = 28 * 10**8

ABSENT = ("opt/opencv5", "usr/local/include/tflite", "opt/flutter", "opt/armnn", "usr/local/rustup", "opt/android-sdk")


@dataclass(frozen=True)
class Runtime:
    """The finished runtime lane of one arch, in a checkout that no test edits."""

    arch: str
    checkout: Checkout
    result: Result

    @property
    def folder(self) -> Path:
        return self.checkout.folder / f"out/linux-runtime/{self.arch}"

    @property
    def rootfs(self) -> Path:
        return self.folder / "rootfs"

    def run(self, *argv: str) -> str:
        """What a command prints in a container of the final image."""
        return self.checkout.run_in(self.checkout.record(f"torch-{self.arch}")["image_id"], *argv)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "runtime_arch" in metafunc.fixturenames:
        every = metafunc.config.getoption("--all-arches")
        metafunc.parametrize("runtime_arch", ARCHES if every else ["amd64"], scope="session")


@pytest.fixture(scope="session")
def runtime(chain: Callable[[str], Sdk], store: str, runtime_arch: str) -> Runtime:
    checkout = chain("arm64").checkout
    arch = f"TARGET_ARCH={runtime_arch}"
    targets = ("manifest", f"out/linux-runtime/{runtime_arch}", f"out/venv/{runtime_arch}")
    return Runtime(runtime_arch, checkout, checkout.good("-j2", arch, *targets))


def test_the_compilers_are_wired_as_promised(runtime: Runtime) -> None:
    gcc, root = profile()["GCC_VERSION"], runtime.rootfs
    for name, target in (("cc", f"/opt/gcc-{gcc}/bin/gcc"), ("clang", "/usr/local/llvm-target/bin/clang")):
        assert os.readlink(root / "usr/bin" / name) == f"/etc/alternatives/{name}"
        assert os.readlink(root / "etc/alternatives" / name) == target
        assert elf_machine((root / target.lstrip("/")).resolve()) == MACHINES[runtime.arch]


def test_the_payload_is_the_targets_and_nothing_more(runtime: Runtime) -> None:
    assert [path for path in ABSENT if (runtime.rootfs / path).exists()] == []
    assert (runtime.rootfs / "opt/android/.android-payload-off").is_file()
    for path in ("opt/ffmpeg/bin/ffmpeg", "opt/gstreamer/bin/gst-launch-1.0", "opt/libcamera/lib/libcamera.so"):
        assert elf_machine((runtime.rootfs / path).resolve()) == MACHINES[runtime.arch], path
    assert not (runtime.rootfs / "payload").exists()
    assert not list(runtime.rootfs.glob("opt/gcc-*-native-*")) and not (runtime.rootfs / "opt/python-cross").exists()
    assert int(json.loads((runtime.folder / ".export.json").read_text())["size"]) < MAX_BYTES


def test_artifact_env(runtime: Runtime) -> None:
    script = 'set -a; . "$1"; exec env -0'
    argv = ["sh", "-euc", script, "sh", str(runtime.folder / "artifact.env")]
    told = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, env={"PATH": "/usr/bin:/bin"}).stdout
    says = dict(entry.split("=", 1) for entry in told.split("\0") if entry)
    arch = runtime.arch
    wanted = {
        "TARGET_ARCH": arch,
        "OPENCV_PROVIDER": "absent",
        "LITERT_PROVIDER": "absent",
        "GATES": f"package-{arch}:wrapper-smoke torch-{arch}:smoke",
        "CONTENT_ID": runtime.checkout.record(f"torch-{arch}")["content_id"],
    }
    assert {name: says.get(name) for name in wanted} == wanted
    tags = {"SOURCE_IMAGE": "latest-cross", "PACKAGE_IMAGE": "latest-cross-package", "BASE_IMAGE": "latest-cross-base"}
    for name, tag in {**tags, "ARTIFACT_IMAGE": "cross-android"}.items():
        assert says[name].endswith(f":{tag}-{arch}"), (name, says[name])


def test_gates_are_recorded_with_the_image_they_judged(runtime: Runtime) -> None:
    records = runtime.checkout.records()
    for gate, judged in (("package-{}:wrapper-smoke", "package-{}"), ("torch-{}:smoke", "torch-{}")):
        parents = records[gate.format(runtime.arch)]["ledger"]["parents"]
        assert records[judged.format(runtime.arch)]["content_id"] in parents.values()


def test_programs_are_built_and_run_inside(runtime: Runtime) -> None:
    source = "#include <libavcodec/avcodec.h>\nint main(void) { return avcodec_version() == 0; }"
    script = (
        'cd "$(mktemp -d)" && printf "%s\\n" "$1" >x.c && cc x.c -o x $(pkg-config --cflags --libs libavcodec) && ./x && '
        "cc -dumpmachine && python3 -c 'import numpy, onnxruntime; print(onnxruntime.__version__)'"
    )
    printed = runtime.run("sh", "-c", script, "sh", source).split()
    # The distribution's Python module leaves out the last number.
    assert printed == [triplet(runtime.arch), profile()["ONNXRUNTIME_VERSION"].lstrip("v").rpartition(".")[0]]


def test_the_image_runs_as_a_user_of_its_own(runtime: Runtime) -> None:
    record = runtime.checkout.record(f"torch-{runtime.arch}")
    config = json.loads(json.loads(runtime.checkout.engine("inspect", "--type", "image", record["image_id"]))["Config"])["config"]
    assert config["User"] and config["Entrypoint"] == ["/usr/local/bin/entrypoint.sh"]
    assert runtime.run("/usr/local/bin/entrypoint.sh", "id", "-u").strip() not in ("", "0")
    assert runtime.run("/usr/local/bin/healthcheck.sh") is not None


def test_the_exported_venv_holds_nothing_else(runtime: Runtime) -> None:
    tree = runtime.checkout.folder / f"out/venv/{runtime.arch}/rootfs"
    assert [path.name for path in tree.iterdir()] == ["opt"]
    assert [path.name for path in (tree / "opt").iterdir()] == ["venv"]
    assert list(tree.glob("opt/venv/lib/python3*/site-packages/*"))


def test_a_second_run_builds_nothing(runtime: Runtime) -> None:
    arch = f"TARGET_ARCH={runtime.arch}"
    assert runtime.checkout.scons("-q", arch, "manifest", f"out/linux-runtime/{runtime.arch}").status == 0
    result = runtime.checkout.good(arch, "manifest", f"out/linux-runtime/{runtime.arch}")
    assert result.nodes("built") == [] and "is up to date" in result.stdout


def test_wrapper_smoke_by_hand(runtime: Runtime) -> None:
    """The specification's own command line, with a plain engine."""
    checkout, arch, versions = runtime.checkout, runtime.arch, profile()
    given = {
        "BASE_IMAGE": checkout.record(f"runtime-base-{arch}")["image_id"],
        "ARTIFACT_IMAGE": checkout.record(f"android-{arch}")["image_id"],
        "ARTIFACT_PLATFORM": "linux/amd64",
        "TARGET_ARCH": arch,
        "BUILD_MODE": "cross",
        **{name: versions[name] for name in ("GCC_VERSION", "LLVM_RELEASE", "VULKAN_VERSION")},
    }
    words = [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]
    flags = ("--isolation", "chroot", "--network", "host", "--no-cache", "--layers=false", "--quiet")
    target = ("--platform", f"linux/{arch}", "--target", "wrapper-smoke", "-f", "linux/Dockerfile.package")
    image = checkout.engine("bud", *flags, *words, *target, ".").split()[-1]
    checkout.engine("rmi", image)


def test_podman_runs_the_gate_on_the_member_of_the_manifest(runtime: Runtime, tmp_path: Path) -> None:
    """What a user pulls from the index passes what the image passed in the chain."""
    require_engine("podman")
    options, versions = Podman(EngineOptions(root=str(tmp_path / "store"))).options, profile()
    podman = ["podman", "--root", options.root, "--runroot", options.runroot]
    manifests = runtime.checkout.folder / "out/manifest"
    try:
        # A relative path: podman names the image after it.
        pull = [*podman, "pull", "--quiet", "--arch", runtime.arch, "oci:latest-cross:latest-cross"]
        image = subprocess.run(pull, cwd=manifests, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1]
        scripts = runtime.checkout.folder / "linux/scripts/05-torch"
        volumes = [f"--volume={scripts / name}:/run/{name}:ro" for name in ("smoke-torch.sh", "check_runtime.py", "check_app.py")]
        said = {line.split("=")[0]: line.split("=")[1] for line in (TOP / "versions.env").read_text().splitlines() if "=" in line}
        words = [said["APP_VERSION"], said["TORCH_APP_MODE"], versions["ONNXRUNTIME_VERSION"], said["PYTORCH_EXTRA"], versions["PYTORCH_VERSION"]]
        run = [*podman, *PODMAN_RUN, "--entrypoint", "/run/smoke-torch.sh", *volumes, image, *words]
        done = subprocess.run(run, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0 and "the health check passes" in done.stdout, done.stdout
    finally:
        remove_store(options, tmp_path)
