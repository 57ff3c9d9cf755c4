#!/usr/bin/env python3
"""Install the host packages a build needs and switch on the emulators for foreign programs.

Asks nothing, changes nothing that is there already, and says in one line each what it found or did. Only the standard
library is used: this runs before anything is installed.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """A Debian package; it is taken as there when one of its files is (a name without a slash is a program on PATH)."""

    name: str
    files: tuple[str, ...]
    why: str


#: Every package of the embedded default, once.
PACKAGES = (
    Package("buildah", ("buildah",), "builds the images"),
    Package("podman", ("podman",), "the other engine, for --engine=podman"),
    Package("skopeo", ("skopeo",), "reads OCI layouts"),
    Package("runc", ("runc",), "container runtime"),
    Package("crun", ("crun",), "container runtime of podman"),
    Package("uidmap", ("newuidmap",), "user namespaces without root"),
    Package("fuse-overlayfs", ("fuse-overlayfs",), "container storage without root"),
    Package("mmdebstrap", ("mmdebstrap",), "makes the root file systems"),
    Package(
        "debian-archive-keyring", ("/usr/share/keyrings/debian-archive-keyring.gpg",), "their signatures"
    ),
    Package("gpgv", ("gpgv",), "checks the signatures"),
    Package("arch-test", ("arch-test",), "tries whether foreign programs run"),
    Package("qemu-user-static", ("qemu-aarch64-static", "qemu-aarch64"), "runs foreign programs"),
    Package("binfmt-support", ("update-binfmts",), "has the kernel start it for them"),
    Package("patch", ("patch",), "puts source patches on, in the tests"),
    Package("python3-venv", (), "makes .venv"),
)

#: Foreign architectures: Debian's name → QEMU's.
EMULATED = {"arm64": "aarch64", "riscv64": "riscv64"}

BINFMT = Path("/proc/sys/fs/binfmt_misc")
HOST_HINT = "is this a container without the right to change binfmt_misc? then run setup on its host"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class SetupError(Exception):
    """What keeps the machine from being set up; the second argument is the hint."""

    def __str__(self) -> str:
        """The sentence and its hint on a line of its own."""
        return f"{self.args[0]}\nhint: {self.args[1]}"


def say(text: str) -> None:
    """One line for the user."""
    print(f"setup: {text}", flush=True)


def find_program(name: str) -> str | None:
    """The program's path; the system's own folders are looked through too, PATH of a user may lack sbin."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":" + SYSTEM_PATH)


def is_there(package: Package) -> bool:
    """Whether the host has what the package brings, from wherever it came."""
    if package.name == "python3-venv":
        probe = [sys.executable, "-c", "import ensurepip, venv"]
        return subprocess.run(probe, stderr=subprocess.DEVNULL, check=False).returncode == 0
    return any(os.path.exists(name) if "/" in name else find_program(name) for name in package.files)


def apt(*words: str) -> bool:
    """Run apt-get without questions; whether it succeeded.

    Upgrade-By-Source-Package is off: it would upgrade what is there already when it comes from the same source package
    as something that is installed (seen: uidmap brought new versions of login and passwd).
    """
    options = ("DPkg::Lock::Timeout=600", "APT::Get::Upgrade-By-Source-Package=false")
    command = ["apt-get", "--quiet", "--yes", *(word for option in options for word in ("-o", option)), *words]
    environment = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        "PATH": SYSTEM_PATH,
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode == 0


def knows_candidates(names: list[str]) -> bool:
    """Whether the package lists that were downloaded offer each of these packages."""
    command = ["apt-cache", "policy", *names]
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    offered = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("  Candidate: ")]
    return len(offered) == len(names) and "(none)" not in offered


def install(missing: list[Package]) -> None:
    """Install packages with apt-get; the lists are downloaded again only when they lack one or prove outdated."""
    names = [package.name for package in missing]
    if not find_program("apt-get"):
        raise SetupError(
            f"there is no apt-get here to install {', '.join(names)}",
            "this knows Debian and what descends from it; install these programs by hand, then try again",
        )
    say(f"installing {' '.join(names)}")
    command = ["install", "--no-remove", "--no-install-recommends", "--", *names]
    updated = not knows_candidates(names)
    if updated and not apt("update"):
        raise SetupError("apt-get update failed", "its messages stand above")
    if not apt(*command) and (updated or not apt("update") or not apt(*command)):
        raise SetupError(f"apt-get could not install {' '.join(names)}", "its messages stand above")
    for package in missing:
        if not is_there(package):
            raise SetupError(
                f"the package {package.name} was installed but brought none of {', '.join(package.files)}",
                "this distribution packs it otherwise; install the program by hand",
            )
        say(f"{package.name}: installed ({package.why})")


def handler(cpu: str) -> dict[str, str]:
    """What the kernel says about QEMU's handler for a CPU; empty when it is not registered."""
    try:
        lines = (BINFMT / f"qemu-{cpu}").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return {}
    facts = {"state": lines[0]}
    for line in lines[1:]:
        key, _, value = line.partition(" ")
        facts[key.rstrip(":")] = value.strip()
    return facts


def fault(arch: str, cpu: str) -> str:
    """Why programs of an architecture would not run in a container here; empty when they would."""
    if os.uname().machine == cpu:
        return ""
    facts = handler(cpu)
    if not facts:
        return f"no handler qemu-{cpu} is registered in {BINFMT}"
    if facts["state"] != "enabled":
        return f"the handler qemu-{cpu} is {facts['state']}"
    if not os.access(facts.get("interpreter", ""), os.X_OK):
        return f"the interpreter {facts.get('interpreter')} of qemu-{cpu} is not there"
    if "F" not in facts.get("flags", ""):
        return f"the handler qemu-{cpu} lacks the flag F, so it is lost inside a container"
    probe = find_program("arch-test")
    if probe and subprocess.run([probe, arch], capture_output=True, check=False).returncode != 0:
        return f"arch-test {arch} says that a program does not run"
    return ""


def switch_on(cpu: str) -> None:
    """Enable or register QEMU's handler for a CPU; the caller looks afterwards whether it took."""
    if not (BINFMT / "status").exists():
        mount = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)]
        if subprocess.run(mount, check=False).returncode != 0:
            raise SetupError(f"binfmt_misc cannot be mounted on {BINFMT}", HOST_HINT)
        say(f"binfmt_misc: mounted on {BINFMT}")
    entry = BINFMT / f"qemu-{cpu}"
    try:
        if entry.exists():
            entry.write_text("1", encoding="ascii")
        elif Path(f"/usr/share/binfmts/qemu-{cpu}").exists() and find_program("update-binfmts"):
            subprocess.run(["update-binfmts", "--enable", f"qemu-{cpu}"], check=False)
        else:
            for rule in sorted(glob.glob(f"/usr/lib/binfmt.d/qemu-{cpu}*.conf"))[:1]:
                (BINFMT / "register").write_text(Path(rule).read_text(encoding="ascii"), encoding="ascii")
    except OSError as error:
        raise SetupError(f"the handler qemu-{cpu} could not be enabled: {error}", HOST_HINT) from error


def main() -> int:
    """Set up the machine; 0 when everything is there afterwards."""
    os.environ.setdefault("PATH", SYSTEM_PATH)
    missing = []
    for package in PACKAGES:
        if is_there(package):
            say(f"{package.name}: there")
        else:
            missing.append(package)
    foreign = [arch for arch, cpu in EMULATED.items() if fault(arch, cpu)]
    if os.geteuid() != 0 and (missing or foreign):
        lacking = [package.name for package in missing] + [f"an emulator for {arch}" for arch in foreign]
        raise SetupError(
            f"only root may install what is missing: {', '.join(lacking)}",
            f"run: sudo {sys.executable} '{os.path.abspath(__file__)}'",
        )
    if missing:
        install(missing)
    for arch, cpu in EMULATED.items():
        if not fault(arch, cpu):
            say(f"{arch} programs: run")
            continue
        switch_on(cpu)
        why = fault(arch, cpu)
        if why:
            raise SetupError(f"{arch} programs do not run: {why}", "see docs/errors/emulator-missing.md")
        say(f"{arch} programs: run now, through qemu-{cpu}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
