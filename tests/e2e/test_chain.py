"""The main job: one target's SDK from nothing, what it holds, and that a second run and a second checkout do nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from elf_header import MACHINES

from .checkout import profile
from .conftest import ARCHES, Sdk
from .machine import CPUS, elf_machine, triplet


def test_only_what_the_target_stands_on_was_built(sdk: Sdk) -> None:
    others = [arch for arch in ARCHES if arch != sdk.arch]
    assert f"sdk-{sdk.arch}" in sdk.made, sdk.result.text
    assert [node for node in sdk.made for arch in others if node.startswith(f"sdk-{arch}")] == []
    assert sdk.result.nodes("exported") == [sdk.target]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_artifact_env_can_be_sourced(sdk: Sdk, shell: str) -> None:
    says = sdk.artifact(shell)
    final = sdk.checkout.record(f"sdk-{sdk.arch}")
    wanted = {
        "TARGET_ARCH": sdk.arch,
        "PROFILE": "prebuilt",
        "SOURCE_DIGEST": final["image_id"],
        "CONTENT_ID": final["content_id"],
        "SIGNATURE": final["signature"],
        **{name: profile()[name] for name in ("GCC_VERSION", "LLVM_RELEASE", "PYTHON_VERSION", "VULKAN_VERSION")},
    }
    assert {name: says.get(name) for name in wanted} == wanted
    assert says["SOURCE_IMAGE"].endswith(f":cross-sdk-{sdk.arch}")
    assert says["SOURCE_DIGEST"] in sdk.checkout.images()


def test_artifact_env_describes_the_tree(sdk: Sdk) -> None:
    files = size = 0
    seen = set()
    for folder, folders, names in os.walk(sdk.rootfs):
        files += len(folders) + len(names)
        for name in names:
            path = Path(folder, name)
            state = path.lstat()
            if path.is_file() and not path.is_symlink() and (state.st_dev, state.st_ino) not in seen:
                seen.add((state.st_dev, state.st_ino))
                size += state.st_size
    says = sdk.artifact()
    assert (says["ROOTFS_FILES"], says["ROOTFS_BYTES"]) == (str(files), str(size))


def test_layout(sdk: Sdk) -> None:
    versions = profile()
    gcc = sdk.rootfs / f"opt/gcc-{versions['GCC_VERSION']}"
    vulkan = sdk.rootfs / "opt/vulkan" / versions["VULKAN_VERSION"]
    for arch in ARCHES:
        for name in ("gcc", "g++", "ar", "ld"):
            assert elf_machine(gcc / "bin" / f"{triplet(arch)}-{name}") == MACHINES["amd64"], (arch, name)
        native = sdk.rootfs / f"opt/gcc-{versions['GCC_VERSION']}-native-{arch}"
        assert elf_machine(native / "bin/g++") == MACHINES[arch]
        assert (sdk.rootfs / f"usr/local/bin/clang++-{arch}").is_file()
        assert (sdk.rootfs / f"opt/python-cross/{arch}/usr/local/bin/python3").exists()
    assert elf_machine(sdk.rootfs / "opt/llvm-target/bin/clang") == MACHINES[sdk.arch]
    assert [path.name for path in vulkan.iterdir()] == [CPUS[sdk.arch]]
    for path in ("bin/glslang", "lib/libvulkan.so"):
        assert elf_machine(vulkan / CPUS[sdk.arch] / path) == MACHINES[sdk.arch], path
    assert not (sdk.rootfs / "opt/sources").exists()


def test_owners_and_modes_survive_the_export(sdk: Sdk) -> None:
    shadow, su = (sdk.rootfs / "etc/shadow").stat(), (sdk.rootfs / "usr/bin/su").stat()
    assert (shadow.st_uid, shadow.st_gid, shadow.st_mode & 0o7777) == (0, 42, 0o640)
    assert su.st_mode & 0o7777 == 0o4755


def test_a_second_run_starts_no_engine_and_changes_nothing(sdk: Sdk, tmp_path: Path) -> None:
    started = tmp_path / "started"
    shims = tmp_path / "bin"
    shims.mkdir()
    for name in ("buildah", "podman", "mmdebstrap", "unshare", "tar"):
        shim = shims / name
        shim.write_text(f'#!/bin/sh\necho "{name} $*" >>{started}\nPATH="${{PATH#*:}}" exec {name} "$@"\n')
        shim.chmod(0o755)
    env = {"PATH": f"{shims}:{os.environ['PATH']}"}
    before = _states(sdk.folder)
    assert f"'{sdk.target}" in sdk.checkout.good(sdk.target, env=env).stdout.replace("`", "'")
    assert "is up to date" in sdk.checkout.good(sdk.target, env=env).stdout
    assert "everything is up to date" in sdk.checkout.good("-n", sdk.target, env=env).stdout
    assert sdk.checkout.scons("-q", sdk.target, env=env).status == 0
    assert not started.exists(), started.read_text()
    assert _states(sdk.folder) == before
    # The image by its name is another question: does it still bear it? That takes one look into the store.
    assert "is up to date" in sdk.checkout.good(f"sdk-{sdk.arch}", env=env).stdout
    said = started.read_text()
    assert said.count("buildah ") + said.count("podman ") - said.count("unshare ") <= 1, said


def _states(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in folder.iterdir()}


def test_the_whole_tree_is_verified(sdk: Sdk) -> None:
    assert "is up to date" in sdk.checkout.good("--verify", sdk.target).stdout


def test_a_fresh_checkout_adopts_everything_and_builds_nothing(sdk: Sdk, second: Sdk) -> None:
    assert second.result.nodes("built") == []
    assert second.result.nodes("adopted") == sorted(second.checkout.records())
    assert second.made == frozenset(
        name for name in sdk.checkout.records() if not name.startswith("sdk-") or name.startswith(f"sdk-{sdk.arch}")
    )
    says, first = second.artifact(), sdk.artifact()
    assert says["ROOTFS_SHA256"] == first["ROOTFS_SHA256"]
    assert says == first


def test_narrow_cross_targets_leave_the_other_compilers_out(request: pytest.FixtureRequest, second: Sdk) -> None:
    if not request.config.getoption("--all-arches"):
        pytest.skip("gathers the compilers once more; --all-arches runs it")
    checkout, gcc = second.checkout, f"/opt/gcc-{profile()['GCC_VERSION']}"
    narrow = f"CROSS_TARGETS={second.arch}"
    try:
        result = checkout.good(narrow, "compiler")
        assert set(result.nodes("built") + result.nodes("adopted")) == {"compiler:compiler", "compiler"}, result.text
        image = checkout.record("compiler")["image_id"]
        listed = f"ls -d {gcc}-native-* /opt/python-cross/* {gcc}/bin/*-linux-gnu-gcc"
        assert set(checkout.run_in(image, "sh", "-c", listed).split()) == {
            f"{gcc}-native-{second.arch}",
            f"/opt/python-cross/{second.arch}",
            *(f"{gcc}/bin/{triplet(arch)}-gcc" for arch in {"amd64", second.arch}),
        }
        assert "[arch-untargeted]" in checkout.scons(narrow, "TARGET_ARCHES=arm64,riscv64,amd64", "sdk").stderr
    finally:
        back = checkout.good("compiler")
    assert back.nodes("built") == []
