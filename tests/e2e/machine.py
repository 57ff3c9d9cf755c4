"""The machine under the tests: what it must have, its processes, and programs run inside an exported tree."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from stagegraph.engines.base import EngineOptions

#: Debian's name of an architecture → the kernel's.
CPUS = {"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64"}

#: In a way that a machine allows too which has cgroups of both versions and no right to raise limits.
PODMAN_RUN = (
    *("--runtime", "runc", "--cgroup-manager", "cgroupfs", "run", "--rm", "--network", "none"),
    *("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"),
)

_ENTER = """\
set -eu
root=$1 work=$2
shift 2
mount --bind "$work" "$root/mnt"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
cd /
exec chroot "$root" "$@"
"""


def require_engine(program: str = "buildah") -> None:
    """Skip, with the reason, where no real engine can run."""
    if os.geteuid() != 0:
        pytest.skip("needs root: exports keep owners, and the tests enter the exported tree")
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed; ./sconsw setup installs it")


def remove_store(options: EngineOptions, place: Path) -> None:
    """Remove a store of a test with its state; engines leave a mount on it."""
    shutil.rmtree(options.runroot, ignore_errors=True)
    with open("/proc/self/mounts", encoding="utf-8") as stream:
        mounts = [line.split()[1] for line in stream]
    for mount in sorted((each for each in mounts if each.startswith(f"{place}/")), reverse=True):
        subprocess.run(["umount", mount], check=True)
    shutil.rmtree(place)


def host_mirror() -> str:
    """The Debian mirror this host's own apt uses; a test that needs one is skipped where there is none."""
    mirror = os.environ.get("APT_MIRROR_URL", "")
    if mirror:
        return mirror.rstrip("/")
    if shutil.which("apt-get") is None:
        pytest.skip("this host has no apt that could name a package mirror; set APT_MIRROR_URL")
    argv = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN)/$(LABEL)", "Created-By: Packages"]
    told = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
    found = re.search(r"(?m)^(\S+) Debian/Debian$", told)
    if found is None:
        pytest.skip("the apt of this host has fetched no package list of Debian; run apt-get update")
    return found[1].rstrip("/")


def triplet(arch: str) -> str:
    """The GNU triplet of an architecture."""
    return f"{CPUS[arch]}-linux-gnu"


def elf_machine(path: Path) -> int:
    """The machine number in the header of an ELF file."""
    head = path.open("rb").read(20)
    assert head[:4] == b"\x7fELF" and head[5] == 1, f"{path} is no little-endian ELF file"
    return int(struct.unpack_from("<H", head, 18)[0])


class Tree:
    """An exported root file system, entered with a directory of ours at /mnt; nothing in it is changed.

    work: the directory that programs in it see as /mnt
    """

    def __init__(self, root: Path, work: Path, versions: Mapping[str, str]) -> None:
        self.root = root
        self.work = work
        self.gcc = f"/opt/gcc-{versions['GCC_VERSION']}"
        self.path = f"{self.gcc}/bin:/opt/llvm-{versions['LLVM_RELEASE']}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin"
        self.vulkan = f"/opt/vulkan/{versions['VULKAN_VERSION']}"

    def call(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the tree; its mounts go with it."""
        outer = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh"]
        inner = ["env", "-i", f"PATH={self.path}", "LC_ALL=C.UTF-8", *(f"{k}={v}" for k, v in env.items())]
        return subprocess.run(
            [*outer, str(self.root), str(self.work), *inner, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def run(self, *argv: str, **env: str) -> str:
        """What a command in the tree prints; it has to end well."""
        done = self.call(*argv, **env)
        assert done.returncode == 0, f"{' '.join(argv)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def emulated(self, arch: str, *argv: str) -> list[str]:
        """The command that runs a program of ``arch`` in the tree."""
        if arch == "amd64":
            return list(argv)
        return [f"/usr/local/bin/qemu-{CPUS[arch]}", "-L", f"{self.gcc}/{triplet(arch)}", *argv]


def processes(word: str) -> list[str]:
    """The command lines of all running processes that hold ``word``, our own left out."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                line = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if word in line:
                found.append(line)
    return found


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until ``condition`` holds; ten minutes in vain are a failure."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.05)


def files_with(word: bytes, *places: Path) -> list[str]:
    """The files below these places that hold ``word``."""
    found = []
    for place in places:
        for folder, _, names in os.walk(place):
            for name in names:
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink() and word in path.read_bytes():
                    found.append(str(path))
    return found
