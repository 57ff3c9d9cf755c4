"""What edits of this repository cost: the exact nodes that become stale, for all arches, without building anything."""

from __future__ import annotations

import fnmatch
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import make_place
from .edit_table import EDITS, PREBUILT, allow_source, append, pinned, replace, version
from .planning import LANES, TOP, Copy, Planned, tracked

#: What no step takes so far, and why it lies there.
SPARE = {
    "linux/patches/*": "comes with OPENCV=source",
    "linux/scripts/03-media/apply_patches.py": "comes with OPENCV=source",
}

#: Files below linux/ that are read, not taken.
READ = ("linux/SConscript", "linux/*/SConscript", "linux/Dockerfile.*", "linux/profiles/*")

TAKEN = [path for path in tracked() if path.startswith("linux/") and not any(fnmatch.fnmatch(path, one) for one in READ)]


def keys(forwarded: bool) -> list[str]:
    """The keys of versions.env that are build arguments, or those that are not."""
    found = re.findall(r"(?m)^(# noforward\n)?([A-Z0-9_]+)=", (TOP / "versions.env").read_text())
    return [key for mark, key in found if bool(mark) != forwarded]


@pytest.fixture(scope="session")
def original() -> Iterator[Copy]:
    """A copy that no test edits."""
    place = make_place()
    yield Copy.make(place)
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def untouched(original: Copy) -> Planned:
    """The plan of it."""
    return original.plan()


@pytest.fixture
def copy(original: Copy, place: Path) -> Copy:
    """A copy for one test."""
    return original.clone(place)


def expand(words: str, nodes: set[str]) -> set[str]:
    """The nodes that the words of a row mean; each word has to mean one."""
    found: set[str] = set()
    for word in words.split():
        pattern = re.compile(re.escape(word).replace(r"\*", "[^:/]*"))
        meant = {name for name in nodes if pattern.fullmatch(name)}
        assert meant, f"{word} means no node"
        found |= meant
    return found


@pytest.mark.parametrize("words", LANES)
def test_nothing_is_stale_without_an_edit(original: Copy, words: tuple[str, ...]) -> None:
    planned = original.plan(*words)
    assert set(planned.states.values()) == {"up to date"}
    assert {arch for _, _, arch in planned.origins.values() if arch} == {"amd64", "arm64", "riscv64"}
    assert len(EDITS) >= 40


@pytest.mark.parametrize("name", EDITS)
def test_edit(copy: Copy, name: str) -> None:
    row = EDITS[name]
    row.edit(copy)
    planned = copy.plan(*row.words)
    assert planned.stale == expand(row.stale, set(planned.states)), planned.reasons
    assert planned.renamed == expand(row.renamed, set(planned.states))


def test_word_of_a_row_has_to_mean_a_node() -> None:
    assert expand("media-*:ffmpeg", {"media-arm64:ffmpeg", "media-arm64:x", "media-arm64"}) == {"media-arm64:ffmpeg"}
    assert expand("media-*", {"media-arm64:ffmpeg", "media-arm64"}) == {"media-arm64"}
    with pytest.raises(AssertionError, match="media-\\*:vlc means no node"):
        expand("media-*:vlc", {"media-arm64:ffmpeg"})


# What an edit must leave alone


def test_ffmpeg_leaves_its_neighbours_alone(copy: Copy) -> None:
    append("linux/scripts/03-media/ffmpeg.py")(copy)
    planned = copy.plan()
    alone = (
        "bootstrap-* base base:* compiler compiler:* sdk:sources sdk-* sdk-*:* out/linux-sdk/* runtime-base-* "
        "media-*:onnxruntime media-*:litert media-*:opencv media-*:app-wheelhouse"
    )
    above = "media-*:media-inputs media-* android-* package-* torch-* out/linux-runtime/* out/manifest/*"
    assert not (planned.stale | planned.followers) & expand(alone, set(planned.states))
    assert expand(above, set(planned.states)) <= planned.followers


def test_version_of_the_media_stage_leaves_the_compiler_alone(copy: Copy) -> None:
    version("OPENCV_VERSION", "5.1.0")(copy)
    planned = copy.plan()
    touched = planned.stale | planned.followers
    assert touched and not touched & expand("compiler compiler:* sdk:sources sdk-* sdk-*:* out/linux-sdk/*", set(planned.states))


def test_version_for_one_arch_leaves_the_others_alone(copy: Copy) -> None:
    append(PREBUILT, "FFMPEG_VERSION_ARM64=n8\n")(copy)
    planned = copy.plan()
    touched = planned.stale | planned.followers
    assert {planned.origins[name][2] for name in touched - {"out/manifest/latest-cross"}} == {"arm64"}


def test_arches_that_are_left_out_leave_the_plan(copy: Copy, untouched: Planned) -> None:
    planned = copy.plan("TARGET_ARCHES=arm64,amd64")
    assert set(untouched.states) - set(planned.states) == {name for name in untouched.states if "riscv64" in name} - {
        name for name in planned.states if "riscv64" in name
    }
    assert not [name for name in planned.states if planned.origins[name][2] == "riscv64"]


# Edits with which the project cannot be read: nobody builds on them

REFUSED = {
    "default of an ARG that is not the pinned version": (
        replace("linux/Dockerfile.media", "ARG FFMPEG_VERSION=", "ARG FFMPEG_VERSION=x"), "arg-drift",
    ),
    "pinned version that is not the default": (
        lambda copy: copy.write("versions.env", re.sub(r"(?m)^FFMPEG_VERSION=.*$", "FFMPEG_VERSION=x", copy.read("versions.env"))),
        "arg-drift",
    ),
    "ignore file hides what a step takes": (
        append("linux/Dockerfile.media.dockerignore", "linux/scripts/03-media/ffmpeg.py\n"), "source-ignored",
    ),
    "script that is gone": (lambda copy: (copy.path / "linux/scripts/03-media/ffmpeg.py").unlink(), "source-missing"),
    "provider that no step carries out": (version("GCC_PROVIDER", "source"), "provider-unable"),
    "arch that nobody knows": (pinned("CROSS_TARGETS", "amd64,mips"), "arch-unknown"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_edit(copy: Copy, name: str) -> None:
    edit, code = REFUSED[name]
    edit(copy)
    assert f"[{code}]" in copy.refused()


# Every file and every key, against a second opinion: the Dockerfiles read as plain text


def steps(copy: Copy) -> dict[tuple[str, str], str]:
    """(Dockerfile, step) → its text on long lines, without comments."""
    found = {}
    for path in sorted((copy.path / "linux").glob("Dockerfile.*")):
        if path.suffix != ".dockerignore":
            text = re.sub(r"(?m)^\s*#.*\n", "", path.read_text()).replace("\\\n", " ")
            for part in re.split(r"(?m)^(?=FROM )", text)[1:]:
                found[f"linux/{path.name}", part.splitlines()[0].split()[-1]] = part
    return found


def takes(text: str, path: str) -> bool:
    """Whether a step has a file, or a folder that it is in, mounted or copied from the context."""
    mounts = [mount for mount in re.findall(r"--mount=type=bind,(\S+)", text) if "from=" not in mount]
    named = [source for mount in mounts for source in re.findall(r"source=([^,]+)", mount)]
    for words in re.findall(r"(?m)^(?:COPY|ADD) (.*)$", text):
        if "--from=" not in words:
            named += [word for word in words.split()[:-1] if not word.startswith("--")]
    return any(fnmatch.fnmatch(path, one) or path.startswith(one.rstrip("/") + "/") for one in named)


def nodes_of(copy: Copy, planned: Planned, holds: Callable[[str], object]) -> set[str]:
    """The nodes of all steps for whose text ``holds`` is true."""
    wanted = {place for place, text in steps(copy).items() if holds(text)}
    return {name for name, (dockerfile, step, _) in planned.origins.items() if (dockerfile, step) in wanted}


@pytest.mark.parametrize("path", TAKEN)
def test_every_file(copy: Copy, untouched: Planned, path: str) -> None:
    """A file makes exactly the steps stale that take it, and there is no file that none takes."""
    expected = nodes_of(copy, untouched, lambda text: takes(text, path))
    why = [why for pattern, why in SPARE.items() if fnmatch.fnmatch(path, pattern)]
    assert bool(expected) != bool(why), f"{path}: {why or 'no step takes it; remove it, or say in SPARE why it is there'}"
    with (copy.path / path).open("ab") as file:
        file.write(b"\n")
    planned = copy.plan()
    assert planned.stale == expected
    assert not planned.renamed


@pytest.mark.parametrize("key", keys(forwarded=True))
def test_every_key(copy: Copy, untouched: Planned, key: str) -> None:
    """A key makes exactly the steps stale that declare it, wherever its value comes from."""
    expected = nodes_of(copy, untouched, lambda text: re.search(rf"(?m)^ARG {key}\b", text))
    assert expected, f"no step declares {key}"
    allow_source(copy)
    value = other_value(copy, key)
    assert copy.plan(f"{key}={value}").stale == expected
    version(key, value)(copy)
    assert copy.plan().stale == expected


@pytest.mark.parametrize("key", sorted(set(keys(forwarded=True)) & set(re.findall(r"(?m)^([A-Z0-9_]+)=", (TOP / PREBUILT).read_text()))))
def test_every_key_that_the_profile_gives(copy: Copy, key: str) -> None:
    """What versions.env says of it is for other profiles."""
    allow_source(copy)
    text = re.search(rf"(?m)^{key}=(.*)$", copy.read("versions.env"))
    assert text
    value = next(word for word in ("distro", "absent") if word != text[1]) if key.endswith("_PROVIDER") else f"{text[1]}.1"
    pinned(key, value)(copy)
    planned = copy.plan()
    assert (planned.stale, planned.renamed) == (set(), set())


@pytest.mark.parametrize("key", keys(forwarded=False))
def test_no_step_declares_what_is_not_forwarded(copy: Copy, key: str) -> None:
    assert not [place for place, text in steps(copy).items() if re.search(rf"(?m)^ARG {key}\b", text)]


def other_value(copy: Copy, key: str) -> str:
    """A value that the key does not have now and may have."""
    if key == "CROSS_TARGETS":
        return "riscv64,arm64,amd64"
    now = re.search(rf"(?m)^{key}=(.*)$", copy.read(PREBUILT)) or re.search(rf"(?m)^{key}=(.*)$", copy.read("versions.env"))
    assert now
    if key.endswith("_PROVIDER"):
        return next(word for word in ("distro", "source", "absent") if word != now[1])
    return f"{now[1]}.1"


# The same by real processes

REAL = ("comments in Dockerfile.media", "ffmpeg", "GCC_VERSION", "version for one arch", "mode of a script", "mirror")


def why(copy: Copy, place: Path, *words: str) -> set[str]:
    """The nodes that ``scons --why`` calls stale, of all images; no engine is found, so none is asked."""
    (place / "none").mkdir(exist_ok=True)
    result = copy.scons("-Q", "--why", *words, "smoke", "android", "sdk", path=place / "none")
    assert result.rc == 0, result.text
    return set(re.findall(r"(?m)^(\S+): has to be built$", result.stdout))


@pytest.mark.parametrize("name", REAL)
def test_scons_says_the_same(copy: Copy, place: Path, name: str) -> None:
    row = EDITS[name]
    assert why(copy, place) == set()
    row.edit(copy)
    planned = copy.plan(*row.words)
    assert why(copy, place, *row.words) == expand(row.stale, set(planned.states))


def test_code_of_the_tool_makes_nothing_stale(copy: Copy, place: Path) -> None:
    for path in sorted((copy.path / "site_scons").rglob("*.py")):
        path.write_text(path.read_text("utf-8") + "\n# another line\n", "utf-8")
    assert why(copy, place) == set()
