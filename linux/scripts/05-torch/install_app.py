#!/usr/bin/env python3
"""Make /opt/venv with the app and what it needs, by uv.

    install_app.py APP_VERSION MODE

MODE is install (the environment alone) or all (the app's sources in /opt/app as well). The app says by its own lock what it
needs: a uv.lock is followed by `uv sync --frozen`, a requirements.lock by hash. A wheel of /opt/wheels takes the place of
what the lock says of the same package, which is not fetched. Without wheels there everything is the lock's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

VENV, WHEELS = Path("/opt/venv"), Path("/opt/wheels")
# Always the same folder, so that no path of it makes two builds differ.
BUILD = Path("/tmp/app")
MODES = ("install", "all")

_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==[^\s;]+(?:\s*;[^\\]*?)?\s+--hash=sha256:")


def fail(sentence: str, hint: str) -> NoReturn:
    """Stop with one sentence and a hint."""
    sys.exit(f"error: {sentence}\nhint: {hint}")


def normal(name: str) -> str:
    """Return the form of a package's name by which packages are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class App:
    """The app's sources and how they call themselves."""

    folder: Path
    name: str
    version: str


def read_app(folder: Path, version: str) -> App:
    """Return the app in `folder`; stop unless its version is `version`."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if project.get("version") != version:
        fail(f"APP_VERSION={version}, but the app says {project.get('version')}", "both are changed together")
    return App(folder, project["name"], version)


def wheelhouse(folder: Path) -> dict[str, str]:
    """Return package → version of the wheels in `folder`, which has to be there but may be empty."""
    if not folder.is_dir():
        fail(f"there is no {folder}", "an empty folder says that there are no wheels")
    found: dict[str, str] = {}
    for wheel in sorted(folder.glob("*.whl")):
        parts = wheel.name.removesuffix(".whl").split("-")
        if len(parts) not in (5, 6):
            fail(f"{wheel} is not named as a wheel is", "name-version-python-abi-platform.whl")
        name = normal(parts[0])
        if name in found:
            fail(f"{folder} holds {name} twice: {found[name]} and {parts[1]}", "keep one of them")
        found[name] = parts[1]
    return found


def without(lock: str, packages: Collection[str]) -> tuple[str, list[str]]:
    """Return the text of a requirements.lock without `packages`, and the names of those that are left.

    Stops at a line that pins no version by hash: nothing comes from elsewhere than the client's default.
    """
    kept, names = [], []
    lines = [line for line in lock.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for requirement in "\n".join(lines).replace("\\\n", "").splitlines():
        match = _REQUIREMENT.match(requirement)
        if match is None:
            fail(f"requirements.lock: {requirement.strip()!r} pins nothing by hash", "name==version --hash=sha256:…")
        if normal(match[1]) not in packages:
            kept.append(" ".join(requirement.split()) + "\n")
            names.append(normal(match[1]))
    return "".join(kept), names


def commands(uv: str, app: App, wheels: Mapping[str, str], build: Path) -> list[list[str]]:
    """Return what is to be run, in order; a command that talks to servers starts with online.sh.

    Writes what is left of a requirements.lock into `build`.
    """
    install = [uv, "pip", "install", "--python", str(VENV), "--no-deps"]
    planned = [[uv, "venv", "--offline", "--system-site-packages", "--python", "/usr/bin/python3", str(VENV)]]
    lock = app.folder / "requirements.lock"
    if (app.folder / "uv.lock").exists():
        skipped = [f"--no-install-package={name}" for name in sorted(wheels)]
        sync = [uv, "sync", "--frozen", "--no-dev", "--no-install-project", "--project", str(app.folder), *skipped]
        planned.append(["/run/online.sh", *sync])
    elif lock.exists():
        text, names = without(lock.read_text(encoding="utf-8"), set(wheels))
        rest = build / "requirements.lock"
        rest.write_text(text, encoding="utf-8")
        if names:
            hashed = ["--require-hashes", "--only-binary", ":all:", "--requirement", str(rest)]
            planned.append(["/run/online.sh", *install, *hashed])
    else:
        fail(f"{app.name} has neither a uv.lock nor a requirements.lock", "lock what it needs")
    if wheels:
        pinned = [f"{name}=={version}" for name, version in sorted(wheels.items())]
        planned.append([*install, "--offline", "--no-index", "--find-links", str(WHEELS), *pinned])
    made = str(build / "made")
    planned.append([uv, "build", "--offline", "--wheel", "--out-dir", made, str(app.folder)])
    planned.append([*install, "--offline", "--no-index", "--find-links", made, f"{app.name}=={app.version}"])
    return planned


def tidy(venv: Path) -> None:
    """Take out what uv keeps for itself in an environment: locks, and notes with the times of the wheels."""
    for name in (".lock", "CACHEDIR.TAG"):
        (venv / name).unlink(missing_ok=True)
    for note in sorted(venv.glob("lib/python3*/site-packages/*.dist-info/uv_cache.json")):
        record = note.with_name("RECORD")
        line = f"{note.parent.name}/{note.name},"
        kept = [each for each in record.read_text(encoding="utf-8").splitlines(keepends=True) if not each.startswith(line)]
        record.write_text("".join(kept), encoding="utf-8")
        note.unlink()


def main(version: str, mode: str) -> None:
    if mode not in MODES:
        fail(f"TORCH_APP_MODE='{mode}' is no mode", " or ".join(MODES))
    wheels = wheelhouse(WHEELS)
    for name, has in wheels.items():
        print(f"{name} {has} comes from {WHEELS}")
    sources = BUILD / "sources"
    shutil.copytree("/run/app", sources, ignore=shutil.ignore_patterns("__pycache__"))
    app = read_app(sources, version)
    environment = {
        **os.environ,
        "UV_CACHE_DIR": str(BUILD / "cache"),
        "UV_LINK_MODE": "copy",
        "UV_NO_CONFIG": "1",
        "UV_NO_PROGRESS": "1",
        "UV_PROJECT_ENVIRONMENT": str(VENV),
        "UV_PYTHON_DOWNLOADS": "never",
    }
    for command in commands("/run/uv/uv", app, wheels, BUILD):
        if subprocess.run(command, check=False, env=environment).returncode:
            fail(f"{' '.join(command[:4])} … failed; its own message is above", "it ran in the torch step")
    tidy(VENV)
    if mode == "all":
        shutil.copytree("/run/app", "/opt/app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(BUILD)


if __name__ == "__main__":
    main(*sys.argv[1:])
