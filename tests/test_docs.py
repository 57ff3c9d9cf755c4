"""The pages: they build without a warning, and what they name is there.

A row or paragraph with the words "comes with" speaks of what is not there yet. It is not asked whether that exists, but it
has to go when all of it does.
"""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from test_linters import ROOT, none, tracked

PAGES = [path for path in tracked("*.md") if not path.startswith("tests/")]

#: What a paragraph says that speaks of things to come.
PENDING = "comes with"

#: Folders at the root whose files are named by their paths from there.
FOLDERS = ("docs", "linux", "tests", "bench", "examples", "setup", "site_scons")

#: What looks like a path and is none.
PLATFORMS = {f"linux/{arch}" for arch in ("amd64", "arm64", "riscv64", "<arch>")}

#: Words behind `scons` that are shown to explain how another project has its own.
OTHERS = {"greeting-arm64.txt"}


class Block(NamedTuple):
    """A paragraph, a table row, a list entry or an indented text of a page."""

    page: str
    line: int
    text: str
    is_code: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page; an example of an error page is what somebody did wrong, so it is left out."""
    pending: list[str] = []
    start, is_code, is_example = 1, False, False
    for number, line in enumerate([*(ROOT / page).read_text(encoding="utf-8").splitlines(), ""], 1):
        code = line.startswith("    ") and (is_code or not pending)
        if pending and (not line.strip() or code != is_code or line.startswith(("|", "- ", "#")) or line[:2] == "1."):
            yield Block(page, start, "\n".join(pending), is_code)
            pending = []
        if line.startswith("#"):
            is_example = page.startswith("docs/errors/") and line == "## Example"
        elif line.strip() and not (is_example and code):
            if not pending:
                start, is_code = number, code
            pending.append(line)


ALL = [block for page in PAGES for block in blocks(page)]


def lost(named: Iterator[tuple[Block, str, bool]]) -> list[str]:
    """What is named (block, what, whether it is there) and not there; what is pending and there is a finding too."""
    findings = []
    pending: dict[Block, list[bool]] = {}
    for block, what, there in named:
        if PENDING in block.text:
            pending.setdefault(block, []).append(there)
        elif not there:
            findings.append(f"{block}: {what} is not there")
    return findings + [f"{block}: all of this is there, so '{PENDING}' is wrong" for block, all_ in pending.items() if all(all_)]


def scons(*words: str, directory: Path = ROOT) -> str:
    argv = [sys.executable, "-P", "-m", "SCons", "-Q", *words]
    return subprocess.run(argv, cwd=directory, check=True, stdout=subprocess.PIPE, text=True).stdout


def spans(block: Block) -> list[str]:
    """The pieces of code in a block: its lines when it is all code."""
    return block.text.splitlines() if block.is_code else re.findall(r"`([^`]+)`", block.text.replace("\n", " "))


def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    """The target `docs` itself, in a project that has no other one, over what an earlier build left."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "SConstruct").write_text(
        'DefaultEnvironment(tools=[])\nenv = Environment(tools=[])\nSConscript("docs/SConscript", exports="env")\n'
    )
    built = tmp_path / "out/docs/html"
    built.mkdir(parents=True)
    (built / "gone.html").touch()
    argv = [sys.executable, "-P", "-m", "SCons", "-Q", "docs"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    pages = {str(path.relative_to(built)) for path in built.rglob("*.html")}
    assert {"index.html", "decisions/README.html", "errors/engine-failed.html"} <= pages
    assert "gone.html" not in pages


@functools.cache
def anchors(page: Path) -> set[str]:
    """The anchors that code hosts and Sphinx give to a page's headings."""
    titles = re.findall(r"(?m)^#+ (.*)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_lead_somewhere() -> None:
    findings = []
    for page in PAGES:
        text = re.sub(r"`[^`\n]*`", "", (ROOT / page).read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            if target.startswith("https://"):
                continue
            there = (ROOT / page).parent / path if path else ROOT / page
            if not there.exists():
                findings.append(f"{page}: {target} leads nowhere")
            elif anchor and anchor not in anchors(there):
                findings.append(f"{page}: {target} names no heading")
    none(findings)


def test_paths_that_are_named_exist() -> None:
    def named() -> Iterator[tuple[Block, str, bool]]:
        for block in ALL:
            for span in spans(block):
                for path in re.findall(rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})/[\w./*<>-]*[\w*>]/?", span):
                    if path not in PLATFORMS:
                        yield block, path, any(ROOT.glob(re.sub(r"<\w+>", "*", path)))

    none(lost(named()))


def test_tests_that_are_named_exist() -> None:
    there = {path: set(re.findall(r"def (test_\w+)", (ROOT / path).read_text())) for path in tracked("tests/*.py")}
    everywhere = set().union(*there.values())

    def named() -> Iterator[tuple[Block, str, bool]]:
        for block in ALL:
            for file, name in re.findall(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`", block.text):
                yield block, name, name in (there.get(file, set()) if file else everywhere)

    none(lost(named()))


def test_functions_that_are_named_exist() -> None:
    """A name with brackets behind it, `like_this()`, is a function of ours."""
    there = set()
    for path in tracked("*.py", "*.sh", "sconsw"):
        if not path.startswith("tests/"):
            there |= set(re.findall(r"(?m)^ *(?:def )?(\w+)\(", (ROOT / path).read_text()))

    def named() -> Iterator[tuple[Block, str, bool]]:
        for block in ALL:
            for name in re.findall(r"`(\w+)\(\)`", block.text):
                yield block, f"{name}()", name in there

    none(lost(named()))


def test_the_lane_pages_name_every_step_of_the_graph() -> None:
    arches = re.compile(r"-(amd64|arm64|riscv64)(?=:|$)")
    listed = [line.split()[0] for line in scons("--list-targets").splitlines() if re.search(r" (step|root) on ", line)]
    text = "".join((ROOT / page).read_text() for page in PAGES if page.startswith("docs/lanes/"))
    said = set(re.findall(r"`([^`]+)`", text))
    none(sorted(f"no page of docs/lanes names {node}" for node in listed if not {node, arches.sub("-<arch>", node)} & said))


class Known:
    """What may stand behind `scons` on the command line."""

    def __init__(self) -> None:
        listed = scons("--list-targets") + scons("--list-targets", directory=ROOT / "examples" / "minimal")
        listed += scons("--list-targets", "LANE=native")
        self.targets = {line.split()[0] for line in listed.splitlines()} | {"gc", "lint", "test", "test-all", "docs", "setup"}
        settings = (ROOT / "site_scons/site_tools/stagegraph/settings.py").read_text()
        self.settings = set(re.findall(r'(?m)^    "(\w+)": "', settings))
        for page in ("versions.env", *tracked("linux/profiles/*.env")):
            keys = re.findall(r"(?m)^([A-Z]\w*)=", (ROOT / page).read_text())
            # A provider's key has a short form.
            self.settings |= {*keys, *(key.removesuffix("_PROVIDER") for key in keys)}
        self.options = set(re.findall(r"(?<![\w-])--?\w[\w-]*", scons("-H") + scons("-h")))

    def has(self, word: str) -> bool:
        if word.startswith("-"):
            option = re.sub(r"=.*|(?<=^-j).+", "", word)
            # Letters of options in one word (-Qk); N stands for a number.
            return option in self.options or all(f"-{letter}" in self.options for letter in option[1:])
        if "=" in word:
            return word.partition("=")[0] in self.settings
        return word in OTHERS or word in self.targets or any(target.startswith(f"{word.rstrip('/')}/") for target in self.targets)


@pytest.fixture(scope="module")
def known() -> Known:
    return Known()


def test_nodes_that_are_named_exist(known: Known) -> None:
    """A name like those of nodes and exports, for some arch or for any: `media-<arch>:ffmpeg`, `out/venv/<arch>`."""
    shape = re.compile(r"[a-z]+(?:-[a-z]+)*-(?:<arch>|amd64|arm64|riscv64)(?::[\w<>-]+)?|out/(?!images|logs|report)[\w<>/-]+")

    def named() -> Iterator[tuple[Block, str, bool]]:
        for block in ALL:
            if block.page.startswith(("docs/lanes/", "docs/five-fixes")) and not block.is_code:
                for span in filter(shape.fullmatch, spans(block)):
                    yield block, span, known.has(span.replace("<arch>", "arm64"))

    none(lost(named()))


def test_commands_that_are_named_exist(known: Known) -> None:

    def named() -> Iterator[tuple[Block, str, bool]]:
        for block in ALL:
            for span in spans(block):
                found = re.match(r"\s*(?:\$ )?(?:buildah unshare )?(?:\./sconsw|scons) +(?=\S)(.*)", span)
                if found is None:
                    continue
                for word in shlex.split(found[1], comments=True):
                    word = word.replace("<arch>", "arm64")
                    if not re.search(r"[<…*]|^[A-Z]+$", word):  # a placeholder
                        yield block, f"scons {word}", known.has(word)

    none(lost(named()))


def test_a_name_that_is_not_there_is_found() -> None:
    """The judge itself: what is lost, what is pending, and what is pending and there."""
    here, to_come = Block("a.md", 1, "`x`", False), Block("a.md", 2, f"`x` and `y` {PENDING} z", False)
    assert lost(iter([(here, "x", True), (to_come, "x", True), (to_come, "y", False)])) == []
    assert lost(iter([(here, "x", False)])) == ["a.md:1: x is not there"]
    assert len(lost(iter([(to_come, "x", True), (to_come, "y", True)]))) == 1
