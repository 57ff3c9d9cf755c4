"""What the text of a script (shell, Python, CMake) tells about itself: variables it reads, files it needs.

Read by pattern, not by running or fully parsing: a name built at run time is not seen, and text that only
looks like a use is rare enough to be mended where it stands.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

_SHELL_USE = re.compile(r"(?<!\\)\$\{?#?!?([A-Z][A-Z0-9_]*)\b")
_SHELL_SET = re.compile(r"(?:^|[\s;(&|])([A-Z][A-Z0-9_]*)\+?=(?![\"']?\$\{?\1\b)")
_SHELL_READ = re.compile(r"\b(?:for|read(?:\s+-\w+)*)\s+((?:[A-Za-z_]\w*\s*)+)")
_PYTHON_USE = re.compile(
    r"(?:environ\s*(?:\.get\s*\(|\[)|getenv\s*\()\s*[\"']([A-Z][A-Z0-9_]*)[\"']\]?(?!\s*=[^=])"
)
_CMAKE_USE = re.compile(r"\$ENV\{([A-Z][A-Z0-9_]*)\}")
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")

#: A shell variable that holds the directory of its script: here=$(dirname "${BASH_SOURCE[0]}") and the like.
_HERE = re.compile(r"\b(\w+)=[\"']?\$\(.*dirname.*(?:BASH_SOURCE|\$0)")
_INLINE_HERE = r"\$\(dirname [^)]*\)|\$\{BASH_SOURCE(?:\[0\])?%/\*\}|\$\{0%/\*\}"
_FILE = r"((?:[\w.-]+/)*[\w.-]+\.(?:sh|bash|py))\b"
_ABSOLUTE = re.compile(rf"(?<![\w.$}}/)-])/{_FILE}")
_IMPORT = re.compile(r"^\s*(?:from\s+([A-Za-z_]\w*)[\w.]*\s+import\b|import\s+([^#\n]+))")


def kind(path: str, text: str) -> str:
    """ "shell", "python", "cmake", or empty for what is no script."""
    suffix = os.path.splitext(path)[1]
    first = text.partition("\n")[0]
    if suffix in (".sh", ".bash") or re.match(r"#!.*\b(?:ba|da)?sh\b", first):
        return "shell"
    if suffix == ".py" or re.match(r"#!.*\bpython", first):
        return "python"
    return "cmake" if suffix == ".cmake" or os.path.basename(path) == "CMakeLists.txt" else ""


def variables_used(text: str, language: str) -> dict[str, int]:
    """Variable → line of its first use, of those the script does not set itself."""
    use = {"shell": _SHELL_USE, "python": _PYTHON_USE, "cmake": _CMAKE_USE}[language]
    used: dict[str, int] = {}
    for number, line in _code(text, language):
        for match in use.finditer(line):
            used.setdefault(match[1], number)
    return {
        name: line for name, line in used.items() if language != "shell" or name not in variables_set(text)
    }


def variables_set(text: str) -> set[str]:
    """The variables that shell text gives a value of its own (``X=${X:-…}`` does not count)."""
    names: set[str] = set()
    for _number, line in _code(text, "shell"):
        names.update(_SHELL_SET.findall(line))
        for match in _SHELL_READ.findall(line):
            names.update(match.split())
    return names


def files_needed(text: str, language: str, directory: str) -> dict[str, tuple[int, bool]]:
    """Path of a script it calls or sources → line, and whether it is looked for beside the script itself.

    ``directory`` is where the script lies when it runs.
    """
    needed: dict[str, tuple[int, bool]] = {}
    beside = None
    if language == "shell":
        names = "|".join(re.escape(name) for name in _HERE.findall(text)) or r"(?!)"
        beside = re.compile(rf"(?:\$\{{?(?:{names})\}}?|{_INLINE_HERE})[\"']?/{_FILE}")
    for number, line in _code(text, language):
        if beside:
            for match in beside.finditer(line):
                needed.setdefault(os.path.normpath(os.path.join(directory, match[1])), (number, True))
            line = beside.sub("", line)
        for match in _ABSOLUTE.finditer(line):
            needed.setdefault(os.path.normpath(f"/{match[1]}"), (number, False))
    return needed


def modules_imported(text: str) -> dict[str, int]:
    """Top-level name of each module that Python text imports, the standard library left out → line."""
    import sys

    found: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        match = _IMPORT.match(line)
        if match:
            names = (
                [match[1]] if match[1] else [part.split()[0] for part in match[2].split(",") if part.split()]
            )
            for name in names:
                if name.split(".")[0] not in sys.stdlib_module_names:
                    found.setdefault(name.split(".")[0], number)
    return found


def _code(text: str, language: str) -> Iterator[tuple[int, str]]:
    """The lines without comments, with their numbers."""
    for number, line in enumerate(text.split("\n"), start=1):
        yield number, line if language == "python" else _COMMENT.sub("", line)
