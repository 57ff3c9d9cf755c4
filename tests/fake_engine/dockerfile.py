"""Reads the Dockerfiles of tests: apart from the reader of the product, which it is to check.

It knows what tests use: FROM … AS, ARG, ENV, LABEL, USER, WORKDIR, CMD, COPY and RUN, comments, and lines continued by a
backslash.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass


@dataclass(frozen=True)
class Instruction:
    """A word in capitals, its ``--flags``, and the rest of the line."""

    word: str
    flags: tuple[tuple[str, str], ...]
    rest: str


@dataclass(frozen=True)
class Section:
    """A step: its name, what its FROM names, and its instructions."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]


def read(text: str) -> tuple[dict[str, str], list[Section]]:
    """The global ARG defaults and the steps."""
    defaults: dict[str, str] = {}
    sections: list[Section] = []
    for instruction in _instructions(text):
        if instruction.word == "FROM":
            words = instruction.rest.split()
            name = words[2] if len(words) == 3 else str(len(sections))
            sections.append(Section(name, words[0], ()))
        elif sections:
            last = sections[-1]
            sections[-1] = Section(last.name, last.base, (*last.instructions, instruction))
        elif instruction.word == "ARG":
            name, _, value = instruction.rest.partition("=")
            defaults[name] = value
        else:
            raise ValueError(f"{instruction.word} before the first FROM")
    return defaults, sections


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    result = []
    for line in joined.splitlines():
        word, _, rest = line.strip().partition(" ")
        flags = []
        rest = rest.strip()
        while word.upper() in ("COPY", "RUN", "FROM", "ADD") and rest.startswith("--"):
            flag, _, rest = rest.partition(" ")
            name, _, value = flag[2:].partition("=")
            flags.append((name, value))
            rest = rest.strip()
        result.append(Instruction(word.upper(), tuple(flags), rest))
    return result


def expand(text: str, values: dict[str, str]) -> str:
    """``text`` with ``$NAME``, ``${NAME}`` and ``${NAME:-default}`` filled in; unknown names are empty."""

    def value(match: re.Match[str]) -> str:
        name, default = match.group(1) or match.group(3), match.group(2) or ""
        return values.get(name, "") or default

    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)", value, text)


def pairs(text: str) -> list[tuple[str, str]]:
    """The ``KEY=value …`` of ENV and LABEL, quotes taken off."""
    found = []
    for word in shlex.split(text):
        key, _, value = word.partition("=")
        found.append((key, value))
    return found
