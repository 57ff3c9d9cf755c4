"""The text of one Dockerfile instruction: wrapped lines joined to one line, and what its words mean.

A signature sees this normal form, so that a comment, a blank line or another wrapping is no change. Where it
is not certain that two texts mean the same (white space inside quotes), the text is left as it stands: a
needless rebuild is a nuisance, a missed one is a wrong result.
"""

from __future__ import annotations

import json
import re

#: A backslash that is the last thing on its line and not itself escaped, as BuildKit's parser reads it.
_CONTINUATION = re.compile(r"([^\\])\\[ \t]*$|^\\[ \t]*$")
_COMMENT = re.compile(r"\s*#")


def join_lines(lines: list[str]) -> str:
    """One line of text from the lines of one instruction, comments, blank lines and wrapping taken out.

    At each join the white space around it becomes one blank (none if there was none), unless the join lies
    inside quotes or next to an escaped blank, where white space has a meaning.
    """
    text = ""
    ended = False
    for number, raw in enumerate(lines):
        line = raw.rstrip("\r\n")
        if ended or not line.strip() or (number > 0 and _COMMENT.match(line)):
            continue
        trimmed = _CONTINUATION.sub(r"\1", line)
        ended = trimmed == line
        text = _join(text, trimmed)
    return text.strip()


def _join(left: str, right: str) -> str:
    if not left:
        return right.lstrip()
    stripped, tail = left.rstrip(), right.lstrip()
    if _white_space_matters(left):
        return left + right
    blank = " " if stripped != left or tail != right else ""
    return stripped + blank + tail


def _white_space_matters(text: str) -> bool:
    """Whether white space after ``text`` may be part of a word: inside quotes, or after an escaping backslash.

    Follows the shell's nesting of quotes, ``$(…)`` and ``${…}``; answers yes where it would have to guess.
    """
    if "$'" in text or ("$(" in text and re.search(r"\bcase\b", text)):
        return True
    open_marks: list[str] = []
    position = 0
    while position < len(text):
        character = text[position]
        inside = open_marks[-1] if open_marks else ""
        position += 1
        if inside == "'":
            if character == "'":
                open_marks.pop()
        elif character == "\\":
            if text[position:].isspace():
                return True
            position += 1
        elif (character in "'\"`" and "}" in open_marks) or (character == "`" and open_marks):
            return True
        elif character == inside:
            open_marks.pop()
        elif character == '"' or (character == "'" and inside != '"'):
            open_marks.append(character)
        elif character == "$" and text.startswith(("(", "{"), position):
            open_marks.append(")" if text[position] == "(" else "}")
            position += 1
        elif character == "(" and inside == ")":
            open_marks.append(")")
    return bool(open_marks) and open_marks[-1] != ")"


def normal_form(keyword: str, flags: list[str], args: list[str], is_json: bool) -> str:
    """The instruction as one line: keyword in upper case, flags in written order, then its arguments."""
    if is_json:
        rest = json.dumps(args, ensure_ascii=False)
    elif keyword in ("ENV", "LABEL"):
        rest = " ".join(
            f"{name}{mark or ' '}{value}"
            for name, value, mark in zip(args[0::3], args[1::3], args[2::3], strict=True)
        )
    else:
        rest = " ".join(args)
    return " ".join(part for part in (keyword, *flags, rest) if part)


def split_flags(instruction: str) -> tuple[str, list[str], str]:
    """Keyword, flags and the rest of an instruction in normal form (flags there hold no blanks)."""
    keyword, _, rest = instruction.partition(" ")
    flags = []
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        flags.append(flag)
    return keyword, flags, rest


def mount_fields(flag: str) -> dict[str, str]:
    """The fields of ``--mount=…`` by their long names; a bare field such as ``ro`` has the value "true"."""
    names = {"src": "source", "dst": "target", "destination": "target", "readonly": "ro", "readwrite": "rw"}
    fields: dict[str, str] = {}
    for item in flag.removeprefix("--mount=").split(","):
        name, mark, value = item.partition("=")
        name = name.strip().lower()
        fields[names.get(name, name)] = value if mark else "true"
    fields.setdefault("type", "bind")
    return fields
