"""Editing one script of the chain: what is rebuilt, why, and what is cut off. In a second checkout of the same store."""

from __future__ import annotations

import subprocess
import uuid

from .conftest import Sdk

SCRIPT = "linux/scripts/02-sdk/build-vulkan-loader.sh"


#: In every edit, so that a store that is kept between test runs does not hold its result already.
NOW = uuid.uuid4().hex


def _stale(answer: str) -> list[str]:
    mark = ": has to be built"
    return [line.removesuffix(mark) for line in answer.splitlines() if line.endswith(mark)]


def test_a_comment_rebuilds_one_step_and_is_cut_off_there(second: Sdk) -> None:
    checkout, node = second.checkout, f"sdk-{second.arch}:vulkan-loader"
    before = checkout.record(node)
    env, tree = (second.folder / "artifact.env").stat(), second.rootfs.stat()
    with checkout.edited(SCRIPT, f"# {NOW}: a comment changes the file and nothing that it does.\n"):
        answer = checkout.good("--why", second.target).stdout
        assert _stale(answer) == [node]
        assert f"    {SCRIPT} changed\n" in answer
        assert answer.count(" changed\n") == 1, answer
        assert checkout.scons("-q", second.target).status == 1

        printed = checkout.good("-n", second.target).stdout.splitlines()
        commands = [line for line in printed if line and not line.startswith("#") and not line.startswith("scons: ")]
        assert len(commands) == 2 and f"<image of {node}>" in commands[1], printed
        by_hand = subprocess.run(
            ["sh", "-c", commands[0]], cwd=checkout.folder, stdout=subprocess.PIPE, text=True, check=True
        ).stdout.splitlines()

        result = checkout.good(second.target)
        assert (result.nodes("built"), result.nodes("exported")) == ([node], []), result.text
        after = checkout.record(node)
        assert after["signature"] != before["signature"]
        assert after["content_id"] == before["content_id"]
        # The engine prints the id on a line of its own.
        assert after["image_id"].removeprefix("sha256:") in by_hand
        assert (second.folder / "artifact.env").stat() == env
        assert second.rootfs.stat().st_ino == tree.st_ino
        assert "is up to date" in checkout.good(second.target).stdout


def test_a_change_that_matters_reaches_the_export_and_goes_back(second: Sdk) -> None:
    checkout, node, final = second.checkout, f"sdk-{second.arch}:vulkan-loader", f"sdk-{second.arch}"
    checkout.good(second.target)
    first = second.artifact()
    with checkout.edited(SCRIPT, f'echo {NOW} >"$VULKAN_PREFIX/share/note"\n'):
        plan = checkout.good("--plan", second.target).stdout
        assert node in plan and second.target in plan
        result = checkout.good("-j2", second.target)
        assert result.nodes("built") == sorted([node, final]), result.text
        assert result.nodes("exported") == [second.target]
        notes = list(second.rootfs.glob("opt/vulkan/*/*/share/note"))
        assert [note.read_text() for note in notes] == [f"{NOW}\n"]
        says = second.artifact()
        assert says["ROOTFS_SHA256"] != first["ROOTFS_SHA256"]
        assert says["CONTENT_ID"] == checkout.record(final)["content_id"] != first["CONTENT_ID"]
    result = checkout.good(final)
    assert (result.nodes("built"), result.nodes("adopted")) == ([], sorted([node, final])), result.text
    assert checkout.record(final)["content_id"] == first["CONTENT_ID"]


def test_another_arch_shares_all_that_names_none(second: Sdk) -> None:
    other = "riscv64" if second.arch != "riscv64" else "arm64"
    second.checkout.good(f"sdk-{second.arch}")
    answer = second.checkout.good("--why", f"sdk-{other}").stdout
    stale = [line.partition(": ")[0] for line in answer.splitlines() if line.startswith("sdk")]
    assert stale and all(name.startswith(f"sdk-{other}") for name in stale), answer
    assert "compiler" not in [line.partition(":")[0] for line in answer.splitlines()]
