"""Reading versions files and resolving values; malformed files are cases of tests/failing."""

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagegraph import versions
from stagegraph.errors import UserError
from stagegraph.model import Arg
from stagegraph.versions import Entry, Values


def read(directory: Path, text: str) -> dict[str, Entry]:
    path = directory / "versions.env"
    path.write_text(text)
    return versions.read(str(path), "versions.env")


def values(profile: str = "", command: str = "", **file: str) -> Values:
    def entries(words: str) -> dict[str, Entry]:
        pairs = (word.split("=", 1) for word in words.split())
        return {key: Entry(value, line) for line, (key, value) in enumerate(pairs, start=1)}

    given = {key: entry.value for key, entry in entries(command).items()}
    return Values({key: Entry(value, 1) for key, value in file.items()}, entries(profile), given)


def args(*names: str, default: str | None = None) -> tuple[Arg, ...]:
    return tuple(Arg(name, default, line) for line, name in enumerate(names, start=1))


def test_a_file_in_full(tmp_path: Path) -> None:
    text = "# versions\n\nGCC_VERSION=16.1.0\n# noforward: for the host\nTAG=a b;c/d:e@f\nEMPTY=\nX=a#b=c"
    assert read(tmp_path, text) == {
        "GCC_VERSION": Entry("16.1.0", 3),
        "TAG": Entry("a b;c/d:e@f", 5, forward=False),
        "EMPTY": Entry("", 6),
        "X": Entry("a#b=c", 7),
    }


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (b"A=1\r\nB=2\r\n", 1, "CR LF"),
        (b"A=1\nB=\0\n", 2, "NUL"),
        (b"A=1\nB=caf\xe9\n", 2, "not UTF-8"),
        (b"\xef\xbb\xbfA=1\n", 1, "byte order mark"),
        (b"A=1\x0cB=2\n", 1, "x0c"),
    ],
)
def test_bytes_that_are_refused(tmp_path: Path, data: bytes, line: int, said: str) -> None:
    path = tmp_path / "versions.env"
    path.write_bytes(data)
    with pytest.raises(UserError, match=said) as caught:
        versions.read(str(path))
    assert (caught.value.code, caught.value.line) == ("versions-syntax", line)


def test_a_missing_file_is_named_as_it_was_given(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^versions\.env: cannot read versions\.env: No such file") as caught:
        versions.read(str(tmp_path / "absent"), "versions.env")
    assert caught.value.code == "versions-missing"


KEY = st.from_regex(r"[A-Z][A-Z0-9_]{0,12}", fullmatch=True).filter(
    lambda key: key not in versions.TRANSPORT and not key.endswith("_PROVIDER")
)
VALUE = st.text(string.ascii_letters + string.digits + " .:/;,=+-@%()[]{}<>|&*?!~^#", max_size=20).filter(
    lambda value: value == value.strip() and not value.startswith("#") and " #" not in value
)


@given(st.dictionaries(KEY, st.tuples(VALUE, st.booleans()), max_size=8))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, pairs: dict[str, tuple[str, bool]]
) -> None:
    entries = {key: Entry(value, 0, forward) for key, (value, forward) in pairs.items()}
    found = read(tmp_path_factory.getbasetemp(), versions.write(entries))
    assert {key: (entry.value, entry.forward) for key, entry in found.items()} == pairs
    assert list(found) == list(pairs)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_at_a_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.env"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        found = versions.read(str(path), "any.env")
    except UserError as refused:
        assert (refused.code, refused.file) == ("versions-syntax", "any.env")
        assert 1 <= refused.line <= text.count("\n") + 1
    else:
        lines = text.split("\n")
        assert all(lines[entry.line - 1] == f"{key}={entry.value}" for key, entry in found.items())


# ── resolving ──


def test_command_line_over_profile_over_file() -> None:
    chosen = values("B=profile C=profile", "C=command", A="file", B="file", C="file")
    assert [chosen.value(name) for name in "ABC"] == ["file", "profile", "command"]


def test_an_override_counts_for_its_arch_alone() -> None:
    chosen = values(CMAKE="4.4.3", CMAKE_RISCV64="4.4.2")
    assert [chosen.value("CMAKE", arch) for arch in ("", "amd64", "arm64", "riscv64")] == [
        "4.4.3",
        "4.4.3",
        "4.4.3",
        "4.4.2",
    ]


def test_a_higher_place_beats_an_override_below_it() -> None:
    assert values("CMAKE=3", "", CMAKE="4", CMAKE_RISCV64="5").value("CMAKE", "riscv64") == "3"
    assert values("CMAKE_RISCV64=3", "", CMAKE="4").value("CMAKE", "riscv64") == "3"
    assert values("CMAKE_RISCV64=3", "CMAKE=2", CMAKE="4").value("CMAKE", "riscv64") == "2"


def test_provider_shorthand() -> None:
    chosen = values("GCC_PROVIDER=distro", "GCC=source LLVM_PROVIDER=absent", LLVM_PROVIDER="source")
    assert (chosen.value("GCC_PROVIDER"), chosen.value("LLVM_PROVIDER")) == ("source", "absent")


def test_a_key_named_like_a_shorthand_is_itself() -> None:
    chosen = values("", "GCC=16", GCC="15", GCC_PROVIDER="source")
    assert (chosen.value("GCC"), chosen.value("GCC_PROVIDER")) == ("16", "source")


def test_a_value_is_taken_as_it_is() -> None:
    hostile = "$(touch /tmp/x) 'a\" \n`b` \\"
    chosen = Values({"A": Entry("1", 1)}, {}, {"A": hostile})
    assert chosen.for_step(args("A"), "", {}) == {"A": hostile}


def test_no_value_at_all() -> None:
    with pytest.raises(UserError, match="did you mean GCC_VERSION") as caught:
        values(GCC_VERSION="1").value("GCC_VERSON")
    assert caught.value.code == "variable-unset"


def test_a_step_gets_just_what_it_declares() -> None:
    chosen = values("", "", GCC_VERSION="16", LLVM_RELEASE="22", EMPTY="")
    declared = (*args("GCC_VERSION", "TARGET_ARCH", "EMPTY"), *args("OWN", default="x"))
    assert chosen.for_step(declared, "arm64", {"TARGET_ARCH": "arm64", "BUILD_MODE": "cross"}) == {
        "GCC_VERSION": "16",
        "TARGET_ARCH": "arm64",
        "EMPTY": "",
        "OWN": "x",
    }


def test_transport_and_automatic_variables_are_left_out() -> None:
    declared = args(*versions.TRANSPORT, "TARGETARCH", "BUILDPLATFORM", "TARGETVARIANT")
    assert values().for_step(declared, "arm64", {}) == {}


def test_a_default_with_a_variable_is_left_to_the_engine() -> None:
    assert values().for_step(args("PREFIX", default="/opt/gcc-${GCC_VERSION}"), "", {}) == {}
    assert values("", "", PREFIX="/x").for_step(args("PREFIX", default="/$Y"), "", {}) == {"PREFIX": "/x"}


def test_which_steps_depend_on_the_arch() -> None:
    chosen = values(CMAKE="4", CMAKE_RISCV64="5", NINJA="1")
    assert chosen.arch_dependent(args("TARGET_ARCH"))
    assert chosen.arch_dependent(args("NINJA", "CMAKE"))
    assert not chosen.arch_dependent(args("NINJA", "TARGETARCH", "JOBS"))
    assert not chosen.arch_dependent(())
    assert values("NINJA_ARM64=2", "", NINJA="1").arch_dependent(args("NINJA"))
    assert values("", "NINJA_ARM64=2", NINJA="1").arch_dependent(args("NINJA"))
