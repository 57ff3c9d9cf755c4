"""What a media component is, and what a staged one says of itself for the steps and stages above.

Each component has a module of its own (ffmpeg.py …), so that a change of one is no change of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Where a staged component says what it is: <name>/component.env and <name>/runtime-packages.
RECORDS = Path("/opt/media")


@dataclass(frozen=True)
class Component:
    """One component of the media stage.

    prefix:   where it lives in the image
    packages: the distribution's packages that it is unpacked from, as Debian stable names them; {series} stands for the
              first two numbers of its version
    version:  the package whose upstream version is the component's
    promises: paths below the prefix that have to exist
    headers:  the component is headers alone: its prefix is the folder of this name below usr/include
    modules:  names for pkg-config that have to resolve within the prefixes
    below:    components on whose prefixes its programs and libraries may stand
    left_out: paths below the prefix that nothing of the chain uses
    """

    name: str
    prefix: str
    packages: tuple[str, ...] = ()
    version: str = ""
    promises: tuple[str, ...] = ()
    headers: bool = False
    modules: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def plain_version(version: str) -> str:
    """Return a version without the letter that some projects put before it (v1.27.0, n9.0.2)."""
    return version[1:] if version[:1] in ("v", "n") else version


def write_record(root: Path, component: Component, provider: str, version: str, runtime_packages: list[str]) -> None:
    """Write what a staged component is, and what it needs of the distribution at run time; `root` is where / is."""
    folder = root / RECORDS.relative_to("/") / component.name
    folder.mkdir(parents=True)
    facts = {"PROVIDER": provider, "PREFIX": component.prefix}
    if provider != "absent":
        facts |= {"VERSION": version, "PROMISES": " ".join(component.promises), "MODULES": " ".join(component.modules)}
    (folder / "component.env").write_text("".join(f"{key}={value}\n" for key, value in facts.items()))
    (folder / "runtime-packages").write_text("".join(f"{package}\n" for package in runtime_packages))


def read_record(root: Path, name: str) -> dict[str, str]:
    """Return what a staged component says of itself, empty when it was never staged; `root` is where / is."""
    path = root / RECORDS.relative_to("/") / name / "component.env"
    if not path.exists():
        return {}
    return dict(line.split("=", 1) for line in path.read_text().splitlines())
