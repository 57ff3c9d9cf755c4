"""Judge a wheel before it is handed on: is it for the target, whole, and made of nothing but its sources?

A wheel whose extension modules carry the suffix of another Python or are for another machine can be installed, and fails
when it is imported, hours later on the target.
"""

from __future__ import annotations

import csv
import tempfile
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import elf
import wheel_pack
from staging import SYSTEM_LIBRARIES


@dataclass(frozen=True)
class Expected:
    """What a wheel is to be.

    series:  of Python, for example 3.13
    modules: extension modules it has to bring, by dotted name
    epoch:   the time of all its members, in seconds
    build:   folder it was built in, which may show in no program
    """

    name: str
    version: str
    arch: str
    series: str
    modules: tuple[str, ...]
    epoch: int
    build: str

    @property
    def tag(self) -> str:
        """The compatibility tag: Python, ABI and platform."""
        python = "cp" + self.series.replace(".", "")
        return f"{python}-{python}-linux_{elf.TRIPLETS[self.arch].partition('-')[0]}"

    @property
    def file_name(self) -> str:
        """The wheel's name."""
        return f"{self.name.replace('-', '_')}-{self.version}-{self.tag}.whl"

    @property
    def suffix(self) -> str:
        """What an extension module's name ends with, so that the target's Python finds it and no other does."""
        return f".cpython-{self.series.replace('.', '')}-{elf.TRIPLETS[self.arch]}.so"


def offences(wheel: Path, expected: Expected) -> list[str]:
    """Return one sentence for each thing that is not as `expected`; none if the wheel is good."""
    if wheel.name != expected.file_name:
        return [f"{wheel.name} is not named {expected.file_name}"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "wheel"
        try:
            wheel_pack.unpack(wheel, folder)
        except (ValueError, zipfile.BadZipFile) as error:
            return [str(error)]
        found = [*_members(wheel, expected.epoch), *_facts(folder, expected), *_record(folder), *_programs(folder, expected)]
    return [f"{wheel.name}: {sentence}" for sentence in found]


def _members(wheel: Path, epoch: int) -> list[str]:
    """Order and times of the members."""
    with zipfile.ZipFile(wheel) as archive:
        infos = archive.infolist()
    names = [info.filename for info in infos]
    found = [] if names == sorted(names, key=wheel_pack.member_order) else ["its members are not in order"]
    wanted = wheel_pack.member_time(epoch)
    return found + [f"{info.filename} is of {info.date_time}" for info in infos if info.date_time != wanted]


def _facts(folder: Path, expected: Expected) -> list[str]:
    """What the dist-info folder says."""
    info = folder / f"{expected.name.replace('-', '_')}-{expected.version}.dist-info"
    lost = [name for name in ("METADATA", "WHEEL", "RECORD") if not (info / name).is_file()]
    if lost:
        return [f"{info.name} lacks {', '.join(lost)}"]
    wheel = Parser().parsestr((info / "WHEEL").read_text())
    metadata = Parser().parsestr((info / "METADATA").read_text(encoding="utf-8"))
    found = []
    for what, got, wanted in (
        ("tag", wheel.get_all("Tag", []), [expected.tag]),
        ("Root-Is-Purelib", wheel.get_all("Root-Is-Purelib", []), ["false"]),
        ("name", [name.lower() for name in metadata.get_all("Name", [])], [expected.name]),
        ("version", metadata.get_all("Version", []), [expected.version]),
    ):
        if got != wanted:
            found.append(f"{what} says {', '.join(got) or 'nothing'}, expected {wanted[0]}")
    names = [path.name.lower() for path in info.rglob("*") if path.is_file()]
    if not any("licen" in name or "copying" in name for name in names):
        found.append("it comes without its licence")
    return found


def _record(folder: Path) -> list[str]:
    """RECORD lists every file, each with its hash and size."""
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    records = [name for name in there if name.count("/") == 1 and name.endswith(".dist-info/RECORD")]
    if len(records) != 1:
        return [f"it has {len(records)} RECORD files"]
    found = []
    listed: set[str] = set()
    for row in csv.reader(there[records[0]].read_text(encoding="utf-8").splitlines()):
        name, said, size = row
        if name in listed:
            found.append(f"RECORD lists {name} twice")
        listed.add(name)
        if name not in there:
            found.append(f"RECORD lists {name}, which is not there")
        elif name == records[0]:
            continue
        else:
            data = there[name].read_bytes()
            if (said, size) != (wheel_pack.record_hash(data), str(len(data))):
                found.append(f"{name} is not what RECORD says")
    return found + [f"{name} is not in RECORD" for name in sorted(set(there) - listed)]


def _programs(folder: Path, expected: Expected) -> list[str]:
    """Machine, suffix, needed libraries of every ELF file; the extension modules that have to be there."""
    found = [sentence.removeprefix(f"{folder}/") for sentence in elf.check(expected.arch, folder)[1]]
    for path in elf.regular_files(folder):
        name = path.relative_to(folder).as_posix()
        if path.suffix in (".so", ".pyd") and not path.name.endswith(expected.suffix):
            found.append(f"{name} does not end in {expected.suffix}")
        try:
            facts = elf.read_elf(path)
        except elf.ForeignElf:
            continue  # named above
        if facts is None:
            if path.suffix == ".so":
                found.append(f"{name} is no ELF file")
            continue
        strange = sorted(set(facts.needed) - SYSTEM_LIBRARIES)
        if strange:
            found.append(f"{name} needs {', '.join(strange)}, which not every root has")
        if expected.build.encode() in path.read_bytes():
            found.append(f"{name} names the folder it was built in, {expected.build}")
    lost = [name for name in expected.modules if not (folder / (name.replace(".", "/") + expected.suffix)).is_file()]
    return found + [f"it lacks the extension module {name}" for name in lost]
