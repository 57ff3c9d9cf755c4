"""linux/scripts/03-media: the table of wheels, wheels that are equal when their content is, and what is refused."""

from __future__ import annotations

import csv
import os
import re
import runpy
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from elf_header import MACHINES, elf_header
from stagegraph.versions import read

ROOT = Path(__file__).resolve().parents[2]

ARCHES = ("amd64", "arm64", "riscv64")
CPUS = {"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64"}
EPOCH = 1767225600  # 2026-01-01
BUILD = "/tmp/wheelhouse"

Script = Callable[[str], ModuleType]


def content(arch: str) -> dict[str, bytes]:
    """Name → bytes of the members of a good wheel."""
    cpu = CPUS[arch]
    return {
        "one/__init__.py": b"from one._fast import one\n",
        f"one/_fast.cpython-313-{cpu}-linux-gnu.so": elf_header(MACHINES[arch]),
        "one-1.2.dist-info/METADATA": b"Metadata-Version: 2.1\nName: One\nVersion: 1.2\n",
        "one-1.2.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp313-cp313-linux_{cpu}\n".encode(),
        "one-1.2.dist-info/LICENSE": b"do what you like\n",
        "one-1.2.dist-info/RECORD": b"",
    }


def unpacked(folder: Path, members: dict[str, bytes]) -> Path:
    for name, data in members.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


class Judge:
    """Packs wheels of given members and judges them."""

    def __init__(self, script: Script, place: Path, arch: str) -> None:
        self.arch, self.place = arch, place
        self.pack, self.check = script("wheel_pack"), script("wheel_check")
        self.name = f"one-1.2-cp313-cp313-linux_{CPUS[arch]}.whl"

    def packed(self, members: dict[str, bytes], where: str = "a") -> Path:
        folder = unpacked(self.place / where / "content", members)
        self.pack.pack(folder, self.place / where / self.name, EPOCH)
        return self.place / where / self.name

    def said(self, wheel: Path) -> list[str]:
        expected = self.check.Expected("one", "1.2", self.arch, "3.13", ("one._fast",), EPOCH, BUILD)
        found: list[str] = self.check.offences(wheel, expected)
        return [sentence.removeprefix(f"{self.name}: ") for sentence in found]


@pytest.fixture
def judge(script: Script, tmp_path: Path) -> Judge:
    return Judge(script, tmp_path, "riscv64")


@pytest.mark.parametrize("arch", ARCHES)
def test_a_good_wheel_has_no_offences(script: Script, tmp_path: Path, arch: str) -> None:
    judge = Judge(script, tmp_path, arch)
    assert judge.said(judge.packed(content(arch))) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            {"one/_other.cpython-313-x86_64-linux-gnu.so": elf_header(243)},
            "one/_other.cpython-313-x86_64-linux-gnu.so does not end in .cpython-313-riscv64-linux-gnu.so",
            id="suffix of the build platform",
        ),
        pytest.param(
            {"one/_other.cpython-312-riscv64-linux-gnu.so": elf_header(243)},
            "one/_other.cpython-312-riscv64-linux-gnu.so does not end in .cpython-313-riscv64-linux-gnu.so",
            id="suffix of another Python",
        ),
        pytest.param(
            {"one/_other.so": elf_header(243)},
            "one/_other.so does not end in .cpython-313-riscv64-linux-gnu.so",
            id="no suffix",
        ),
        pytest.param(
            {"one/_fast.cpython-313-riscv64-linux-gnu.so": elf_header(62)},
            "one/_fast.cpython-313-riscv64-linux-gnu.so: machine 62, expected 243 (riscv64)",
            id="machine of the build platform",
        ),
        pytest.param({"one/tool": elf_header(183)}, "one/tool: machine 183, expected 243 (riscv64)", id="a program"),
        pytest.param(
            {"one/_fast.cpython-313-riscv64-linux-gnu.so": b"int main;"},
            "one/_fast.cpython-313-riscv64-linux-gnu.so is no ELF file",
            id="no ELF file",
        ),
        pytest.param(
            {"one/_fast.cpython-313-riscv64-linux-gnu.so": None},
            "it lacks the extension module one._fast",
            id="pure Python",
        ),
        pytest.param(
            {"one/_fast.cpython-313-riscv64-linux-gnu.so": elf_header(243) + b"\0/tmp/wheelhouse/one/fast.c\0"},
            "one/_fast.cpython-313-riscv64-linux-gnu.so names the folder it was built in, /tmp/wheelhouse",
            id="path of the build",
        ),
        pytest.param(
            {"one-1.2.dist-info/WHEEL": b"Root-Is-Purelib: false\nTag: cp313-cp313-linux_x86_64\n"},
            "tag says cp313-cp313-linux_x86_64, expected cp313-cp313-linux_riscv64",
            id="tag",
        ),
        pytest.param(
            {"one-1.2.dist-info/WHEEL": b"Root-Is-Purelib: true\nTag: cp313-cp313-linux_riscv64\n"},
            "Root-Is-Purelib says true, expected false",
            id="pure",
        ),
        pytest.param(
            {"one-1.2.dist-info/METADATA": b"Name: one\nVersion: 1.3\n"}, "version says 1.3, expected 1.2", id="version"
        ),
        pytest.param(
            {"one-1.2.dist-info/METADATA": b"Version: 1.2\n"}, "name says nothing, expected one", id="no name"
        ),
        pytest.param({"one-1.2.dist-info/METADATA": None}, "one-1.2.dist-info lacks METADATA", id="no metadata"),
        pytest.param({"one-1.2.dist-info/LICENSE": None}, "it comes without its licence", id="no licence"),
    ],
)
def test_what_is_wrong_in_a_wheel_is_said(judge: Judge, change: dict[str, bytes | None], said: str) -> None:
    members: dict[str, bytes | None] = {**content("riscv64"), **change}
    assert judge.said(judge.packed({name: data for name, data in members.items() if data is not None})) == [said]


def test_a_library_that_not_every_root_has_is_said(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = judge.packed(content("riscv64"))
    elf = judge.check.elf
    monkeypatch.setattr(
        elf, "read_elf", lambda path: elf.Elf(243, ["libc.so.6", "libopenblas.so.0"]) if path.suffix == ".so" else None
    )
    said = "one/_fast.cpython-313-riscv64-linux-gnu.so needs libopenblas.so.0, which not every root has"
    assert judge.said(wheel) == [said]


def test_another_file_name_is_said(judge: Judge) -> None:
    wheel = judge.packed(content("riscv64"))
    other = wheel.rename(wheel.with_name("one-1.2-cp313-cp313-linux_x86_64.whl"))
    assert judge.said(other) == [f"{other.name} is not named {judge.name}"]


def rewritten(wheel: Path, change: Callable[[str, bytes], bytes | None], more: tuple[str, ...] = ()) -> Path:
    """The wheel with other members, times and order kept, RECORD as it was."""
    with zipfile.ZipFile(wheel) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(wheel, "w") as archive:
        for info, data in members:
            changed = change(info.filename, data)
            if changed is not None:
                archive.writestr(info, changed)
        for name in more:
            archive.writestr(zipfile.ZipInfo(name, members[0][0].date_time), b"")
    return wheel


def test_record_is_compared_with_what_is_there(judge: Judge) -> None:
    wheel = judge.packed(content("riscv64"))
    first = "one/__init__.py"
    rewritten(wheel, lambda name, data: b"import nothing\n" if name == first else data)
    assert judge.said(wheel) == [f"{first} is not what RECORD says"]
    rewritten(wheel, lambda name, data: None if name == first else data)
    assert judge.said(wheel) == [f"RECORD lists {first}, which is not there"]
    rewritten(wheel, lambda name, data: data, more=("two.py",))
    assert f"{judge.name}: two.py is not in RECORD".removeprefix(f"{judge.name}: ") in judge.said(wheel)
    assert "its members are not in order" in judge.said(wheel)


@pytest.mark.parametrize("name", ["../outside", "/outside", "one/../../outside"])
def test_a_member_outside_of_the_wheel_is_refused(judge: Judge, name: str) -> None:
    wheel = rewritten(judge.packed(content("riscv64")), lambda name, data: data, more=(name,))
    assert judge.said(wheel) == [f"{wheel.name} has a member outside of itself: {name}"]
    assert not (judge.place / "outside").exists()


def test_a_member_that_comes_twice_is_refused(judge: Judge) -> None:
    wheel = judge.packed(content("riscv64"))
    with pytest.warns(UserWarning, match="Duplicate name"):
        rewritten(wheel, lambda name, data: data, more=("one/__init__.py",))
    assert judge.said(wheel) == [f"{wheel.name} has one/__init__.py twice"]


def test_equal_content_is_an_equal_wheel(judge: Judge) -> None:
    members = content("riscv64")
    first = judge.packed(members)
    turned = dict(reversed(members.items())) | {"one-1.2.dist-info/RECORD": b"another tool's\n"}
    second = judge.packed(turned, "b")
    os.utime(judge.place / "b" / "content" / "one" / "__init__.py", (0, 0))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        infos = archive.infolist()
        record = archive.read("one-1.2.dist-info/RECORD").decode()
    assert {info.date_time for info in infos} == {(2026, 1, 1, 0, 0, 0)}
    assert [info.filename for info in infos][-1] == "one-1.2.dist-info/RECORD"
    rows = {name: (said, size) for name, said, size in csv.reader(record.splitlines())}
    assert set(rows) == set(members)
    # sha256 of b"do what you like\n", urlsafe base64 without padding, by coreutils
    assert rows["one-1.2.dist-info/LICENSE"] == ("sha256=pgjezj4n5JavyPDzseW6W0BiEimQHdllRZU_dJY7jkg", "17")
    assert rows["one-1.2.dist-info/RECORD"] == ("", "")


def test_executable_bits_survive(judge: Judge) -> None:
    folder = unpacked(judge.place / "content", {**content("riscv64"), "one-1.2.data/scripts/one": b"#!python\n"})
    (folder / "one-1.2.data/scripts/one").chmod(0o755)
    (folder / "one/__init__.py").chmod(0o600)
    judge.pack.pack(folder, judge.place / judge.name, EPOCH)
    judge.pack.unpack(judge.place / judge.name, judge.place / "again")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (judge.place / "again").rglob("*") if path.is_file()}
    assert (modes.pop("one"), set(modes.values())) == (0o755, {0o644})


def test_an_epoch_of_an_odd_second_is_one_that_a_zip_file_can_hold(script: Script) -> None:
    assert script("wheel_pack").member_time(EPOCH + 3) == (2026, 1, 1, 0, 0, 2)


def test_the_wheelhouse_and_the_lock_of_the_app_name_the_same_versions(script: Script) -> None:
    """What is built for one target is what the others take from the registry; a bump of one file alone is seen here."""
    entries = read(str(ROOT / "versions.env"))
    lock = (ROOT / "linux/app/requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", lock))
    decided = {row.name: entries[row.version].value for row in script("wheel_table").ROWS if row.version}
    assert set(decided) == {"numpy", "msgpack", "markupsafe"}
    assert {name: locked.get(name) for name in decided} == decided


@pytest.mark.parametrize("arch", ARCHES)
def test_the_table_says_of_everything_once_what_becomes_of_it(script: Script, arch: str) -> None:
    table = script("wheel_table")
    rows = table.rows(arch)
    assert [row.name for row in rows] == [
        "numpy",
        "msgpack",
        "markupsafe",
        "torch",
        "torchvision",
        "opencv-python",
        "iree",
    ]
    hows = {row.name: row.how for row in rows}
    assert hows["numpy"] == ("built" if arch == "riscv64" else "registry")
    assert (hows["msgpack"], hows["markupsafe"], hows["torch"]) == ("built", "built", "distro")
    assert {hows[name] for name in ("torchvision", "opencv-python", "iree")} == {"absent"}
    for row in rows:
        assert row.how in ("built", "registry", "distro", "absent") and row.reason
        assert (row.recipe is not None) == (row.how == "built"), row.name
        if row.recipe:
            assert row.version and row.recipe.modules and row.recipe.backend in script("wheelhouse").BACKEND_TOOLS
            assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in row.recipe.sha256.values())
            compile(row.recipe.proof, row.name, "exec")


def test_the_list_has_a_line_for_each_row(script: Script) -> None:
    versions = {"NUMPY_VERSION": "2.2.4", "MSGPACK_VERSION": "1.2.4", "MARKUPSAFE_VERSION": "3.0.3"}
    lines = list(csv.DictReader(script("wheel_table").listing("riscv64", versions).splitlines(), delimiter="\t"))
    assert lines[0] == {
        "name": "numpy",
        "version": "2.2.4",
        "how": "built",
        "reason": "the registry has no wheel for riscv64",
    }
    assert {line["name"]: line["version"] for line in lines if line["how"] != "built"} == dict.fromkeys(
        ("torch", "torchvision", "opencv-python", "iree"), "-"
    )


def refused(capsys: pytest.CaptureFixture[str], call: Callable[[], object]) -> str:
    """What a call says that stops."""
    with pytest.raises(SystemExit) as caught:
        call()
    assert caught.value.code == 1
    return capsys.readouterr().err


def test_unfit_arguments_are_refused(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    house = script("wheelhouse")
    running = house.platform.python_version()
    assert "TARGET_ARCH='mips' is no target" in refused(capsys, lambda: house.main("mips", "14.2.0", running))
    assert "PYTHON_VERSION=2.7.18, but" in refused(capsys, lambda: house.main("amd64", "14.2.0", "2.7.18"))
    said = refused(capsys, lambda: house.main("arm64", "14.2.0", running, "NUMPY_VERSION=2.2.4", "MSGPACK_VERSION="))
    assert said == "error: MARKUPSAFE_VERSION, MSGPACK_VERSION has no value\n"


def test_a_version_without_a_known_hash_is_refused(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    house = script("wheelhouse")
    monkeypatch.setattr(house, "BUILD", tmp_path)
    versions = {"NUMPY_VERSION": "2.2.4", "MSGPACK_VERSION": "0.1", "MARKUPSAFE_VERSION": "3.0.3"}
    made = house.Wheelhouse("amd64", "14.2.0", "3.13.5", versions, EPOCH)
    said = refused(capsys, made.fetch)
    assert said.startswith("error: MSGPACK_VERSION=0.1, but no hash of that source is known\nhint: known are 1.2.4")


def test_a_build_that_fails_is_an_error(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the fetching, and of the import on the target; the compiler's own failures are those of real builds."""
    house, table = script("wheelhouse"), script("wheel_table")
    monkeypatch.setattr(house, "BUILD", tmp_path)
    versions = {"NUMPY_VERSION": "2.2.4", "MSGPACK_VERSION": "1.2.4", "MARKUPSAFE_VERSION": "3.0.3"}
    made = house.Wheelhouse("riscv64", "14.2.0", "3.13.5", versions, EPOCH)
    asked: list[list[str]] = []

    def run(command: list[str], **_options: object) -> object:
        asked.append(command)
        return house.subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(house.subprocess, "run", run)
    assert "the sources could not be fetched" in refused(capsys, made.fetch)
    assert asked[0][0] == "/run/fetch-sdists.sh"
    lines = (tmp_path / "requirements").read_text().splitlines()
    assert [line.split("==")[0] for line in lines] == ["numpy", "msgpack", "markupsafe"]
    assert all(re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    judge = Judge(script, tmp_path, "riscv64")
    wheel = judge.packed(content("riscv64"))
    row, recipe = table.built("riscv64")[1]
    assert "cannot use it" in refused(capsys, lambda: made.prove(row, recipe, wheel))
    assert asked[1][:3] == ["/usr/local/bin/qemu-riscv64", "-L", "/opt/gcc-14.2.0/riscv64-linux-gnu"]


def test_pip_gets_an_answer_without_numpys_build_system(script: Script, tmp_path: Path) -> None:
    (tmp_path / "mesonpy.py").write_text(script("wheelhouse").STAND_IN.format(identity="numpy-2.2.4"))
    answers = runpy.run_path(str(tmp_path / "mesonpy.py"))
    assert answers["prepare_metadata_for_build_wheel"](str(tmp_path)) == "numpy-2.2.4.dist-info"
    said = (tmp_path / "numpy-2.2.4.dist-info" / "METADATA").read_text()
    assert said == "Metadata-Version: 2.1\nName: numpy\nVersion: 2.2.4\n"


def test_cython_is_told_where_its_files_lie(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.pyx").write_text("")
    given = ["-M", "--fast-fail", "-3", "one.pyx", "-o", "one.c"]
    wanted = ["-M", "--fast-fail", "-3", f"{tmp_path}/one.pyx", "-o", f"{tmp_path}/one.c"]
    assert script("cython_here").absolute(given) == wanted
    assert script("cython_here").absolute(["-V"]) == ["-V"]
