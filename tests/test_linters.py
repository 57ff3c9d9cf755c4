"""The house rules that a program can check, each over what git tracks."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOL = "site_scons/site_tools/stagegraph/"

#: Longest file of ours, in lines. A file has one subject; one that grows past this has two.
MAX_LINES = 420
#: Written by programs or read as a whole table.
LONG_BY_NATURE = {"requirements.txt", "requirements-dev.txt"}

#: Names of package registries (spelled so that this file does not hold one) and paths of one machine.
FORBIDDEN = re.compile(
    "|".join(
        re.escape(name.replace("_", ""))
        for name in (
            *("deb.deb_ian.org", "security.deb_ian.org", "snapshot.deb_ian.org", "archive.ubu_ntu.com"),
            *(
                "ports.ubu_ntu.com",
                "security.ubu_ntu.com",
                "pypi_.org",
                "pythonhosted_.org",
                "registry.npm_js",
            ),
            *("/wo_rk/", "/tmp/br_ief", "/ho_me/"),
        )
    )
)


def tracked(*patterns: str) -> list[str]:
    """Paths that git tracks or would track (a new file counts before it is committed), relative to the root."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return sorted(path for path in set(listed.split("\0")) if path and (ROOT / path).is_file())


def ours(*patterns: str) -> list[str]:
    """Tracked paths without the projects that are wrong on purpose."""
    return [path for path in tracked(*patterns) if not path.startswith("tests/failing/")]


def text_files() -> Iterator[tuple[str, str]]:
    for path in tracked():
        try:
            yield path, (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def imported(path: str) -> set[str]:
    """The modules a Python file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
            found |= {
                "." * node.level + (node.module or "") + "." * bool(node.module) + name.name
                for name in node.names
            }
    return found


def is_scons_side(path: str) -> bool:
    return any(name.split(".")[0] == "SCons" for name in imported(path))


def scons_side() -> set[str]:
    """Modules of the tool that import SCons, and those that import these: the other side of the house."""
    modules = {path: imported(path) for path in tracked(f"{TOOL}*.py")}
    found = {path for path in modules if is_scons_side(path)} | {TOOL + "__init__.py"}
    while True:  # until no more module is drawn in
        names = {"." + Path(path).stem for path in found} - {".__init__"}
        more = {
            path for path, imports in modules.items() if "/engines/" not in path and imports & names
        } - found
        if not more:
            return found
        found |= more


def pure_side() -> list[str]:
    return sorted(set(tracked(f"{TOOL}*.py")) - scons_side())


def shell_scripts() -> list[str]:
    """Files with a shell's first line."""
    scripts = []
    for path in ours():
        with open(ROOT / path, "rb") as stream:
            first = stream.readline(80)
        if path.endswith(".sh") or re.match(rb"#!.*\b(ba|da)?sh\b", first):
            scripts.append(path)
    return scripts


def run(program: str, *words: str) -> None:
    """Run a linter of our requirements; its findings are the failure."""
    beside = Path(sys.executable).parent / program
    found = str(beside) if beside.exists() else shutil.which(program)
    assert found, f"{program} is not installed: run ./sconsw test"
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        [found, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(f"{program}:\n{done.stdout}{done.stderr}", pytrace=False)


def none(findings: list[str]) -> None:
    if findings:
        pytest.fail("\n".join(findings), pytrace=False)


def test_ruff() -> None:
    files = [*ours("*.py"), *ours("SConstruct", "*/SConstruct", "SConscript", "*/SConscript")]
    # Names that SCons gives to its own files come from nowhere a linter can see.
    run("ruff", "check", "--quiet", "--per-file-ignores=SCons*:F821", *files)


def test_mypy_is_strict_on_the_pure_side() -> None:
    pure = pure_side()
    assert f"{TOOL}model.py" in pure
    run("mypy", "--strict", "--no-error-summary", *pure, "setup/install.py")


def test_shellcheck() -> None:
    scripts = shell_scripts()
    assert "sconsw" in scripts
    run("shellcheck", "--external-sources", "--source-path=SCRIPTDIR", *scripts)


def test_hadolint() -> None:
    dockerfiles = [
        path for path in ours("linux/Dockerfile.*", "examples/*Dockerfile*") if not path.endswith("ignore")
    ]
    assert dockerfiles, "there is no Dockerfile to check"
    # DL3008 and DL3013 want versions in each apt-get line; what is installed is asserted against versions.env instead.
    run("hadolint", "--ignore=DL3008", "--ignore=DL3013", *dockerfiles)


def test_files_stay_short() -> None:
    lengths = {path: text.count("\n") for path, text in text_files() if path not in LONG_BY_NATURE}
    none([f"{path} has {length} lines" for path, length in lengths.items() if length > MAX_LINES])


def test_no_registry_hosts_and_no_machine_paths() -> None:
    findings = []
    for path, text in text_files():
        for number, line in enumerate(text.splitlines(), 1):
            if found := FORBIDDEN.search(line):
                findings.append(f"{path}:{number}: {found[0]}")
    none(findings)


def error_codes() -> dict[str, str]:
    """Error codes that the source raises → where: UserError's first argument, by name or through a subclass."""
    found: dict[str, str] = {}
    for path in tracked(f"{TOOL}*.py"):
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            for code in _codes(node):
                found.setdefault(code, f"{path}:{getattr(node, 'lineno', 0)}")
    return found


_CODE = re.compile(r"[a-z]+(-[a-z0-9]+)+\Z")


def _codes(node: ast.AST) -> Iterator[str]:
    """Codes in a call that makes a UserError: by name, by a helper that fails, or by anything that takes a hint."""
    if not isinstance(node, ast.Call) or len(node.args) < 2:
        return
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    makes = name.endswith(("Error", "__init__", "fail", "_add")) or any(
        word.arg == "hint" for word in node.keywords
    )
    for argument in node.args if makes else []:
        if isinstance(argument, ast.Constant) and _CODE.match(str(argument.value)):
            yield str(argument.value)


def test_each_error_code_has_its_page() -> None:
    codes = error_codes()
    assert "rootfs-archive" in codes
    none([f"docs/errors/{code}.md is missing ({where})" for code, where in sorted(codes.items())
          if not (ROOT / "docs" / "errors" / f"{code}.md").is_file()])  # fmt: skip


def test_each_page_has_its_error_code() -> None:
    """A page whose error is gone misleads; the index lists every page."""
    pages = {Path(path).stem for path in tracked("docs/errors/*.md")} - {"README"}
    source = "".join(text for path, text in text_files() if path.startswith((TOOL, "setup/", "sconsw")))
    none([f"docs/errors/{page}.md: no error has this code" for page in sorted(pages) if page not in source])
    if pages:
        index = (ROOT / "docs" / "errors" / "README.md").read_text(encoding="utf-8")
        none(
            [
                f"docs/errors/README.md does not list {page}"
                for page in sorted(pages)
                if f"({page}.md)" not in index
            ]
        )


def test_the_pure_side_knows_nothing_of_scons() -> None:
    """Nothing but the public face's modules may import SCons; the model imports nothing of ours."""
    pure = pure_side()
    none([f"{path} imports SCons" for path in pure if is_scons_side(path)])
    none(
        [
            f"{path} belongs to the engines but is on the SCons side"
            for path in scons_side()
            if "/engines/" in path
        ]
    )
    none([f"model.py imports {name}" for name in imported(f"{TOOL}model.py") if name.startswith(".")])


def test_the_no_op_path_imports_nothing_slow() -> None:
    """Modules that cost milliseconds are imported where they are used, not at the top of a file."""
    slow = {
        "argparse",
        "tempfile",
        "urllib",
        "asyncio",
        "importlib.metadata",
        "packaging",
        "tarfile",
        "ctypes",
        "ssl",
    }
    findings = []
    for path in tracked(f"{TOOL}*.py"):
        for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            findings += [
                f"{path}:{node.lineno}: {name} is imported at module level"
                for name in names
                if name in slow or name.split(".")[0] in slow
            ]
    none(findings)


def test_scons_lint_has_no_findings() -> None:
    """Steps and the scripts they use agree: what a script reads is declared, what it sources is mounted."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "SCons", "-Q", "lint"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "0 findings\n"), done.stdout + done.stderr


def test_every_error_has_a_hint() -> None:
    findings = []
    for path in tracked(f"{TOOL}*.py"):
        for call in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                named = call.func.id in ("UserError", "CommandError")
                if named and not any(word.arg in ("hint", None) for word in call.keywords):
                    findings.append(f"{path}:{call.lineno}: an error without a hint")
    none(findings)


def test_failure_classes_name_tests_that_exist() -> None:
    text = (ROOT / "docs" / "failure-classes.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    there = {name for path in tracked("tests/*.py") for name in re.findall(r"def (test_\w+)", (ROOT / path).read_text())}
    assert len(re.findall(r"^\| \d+ \|", text, re.MULTILINE)) == 88
    none(sorted(named - there))
