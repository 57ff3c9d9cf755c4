"""Checks that take seconds and spare hours: what the steps declare and mount against what their scripts use.

A variable that a script uses but its step does not declare is empty in the build and missing in the
signature; a script that is sourced but not mounted fails in the middle of a build. Both are seen by reading
the scripts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from . import script
from .dockerfile_text import mount_fields, split_flags
from .model import Dockerfile, Step
from .versions import ARCH_VARIABLE, AUTOMATIC, TRANSPORT, Values

_USE = re.compile(r"(?<!\\)\$\{?([A-Za-z_][A-Za-z0-9_]*)\b")


@dataclass(frozen=True)
class Finding:
    """One remark. severity: "error" or "warning"; code: page in docs/errors/; file and line: where to mend it."""

    severity: str
    file: str
    line: int
    message: str
    hint: str
    code: str

    def __str__(self) -> str:
        """As ``UserError`` reads, with the severity of a warning in front."""
        prefix = "warning: " if self.severity == "warning" else ""
        return f"{self.file}:{self.line}: {prefix}{self.message} [{self.code}]\nhint: {self.hint}"


@dataclass
class _State:
    """What a step has at one point: variables, and scripts by the path they have in the image."""

    args: set[str] = field(default_factory=set)
    env: set[str] = field(default_factory=set)
    scripts: dict[str, str] = field(default_factory=dict)


def lint(root: str, dockerfiles: Iterable[Dockerfile], values: Values) -> list[Finding]:
    """All remarks about these Dockerfiles and the scripts they take, in order of file and line.

    Codes: variable-undeclared, script-unmounted and env-order (errors), arg-unused (warning).
    """
    dockerfiles = list(dockerfiles)
    declared = {arg.name for file in dockerfiles for step in file.steps for arg in step.args}
    known = (values.names | declared | {ARCH_VARIABLE}) - {*TRANSPORT, *AUTOMATIC}
    set_somewhere = {
        name
        for file in dockerfiles
        for step in file.steps
        for line in step.instructions
        for name in _env(line)
    }
    folders = {
        os.path.dirname(source.pattern)
        if os.path.isfile(os.path.join(root, source.pattern))
        else source.pattern
        for file in dockerfiles
        for step in file.steps
        for source in step.sources
    }
    ours = {name for folder in folders for name in _names(os.path.join(root, folder))}
    findings: list[Finding] = []
    for file in dockerfiles:
        reached: dict[str, _State] = {}
        for step in file.steps:
            base = reached.get(step.base.ref) if step.base.kind == "step" else None
            # ENV of an image from another Dockerfile: any ENV of any of them may be in it.
            env = set(base.env) if base else (set(set_somewhere) if step.base.kind == "variable" else set())
            state = _State(env=env, scripts=dict(base.scripts) if base else {})
            reached[step.name] = state
            check = _StepCheck(root, file, step, state, known, ours)
            check.run()
            findings.extend(check.findings)
    unique = dict.fromkeys(findings)
    return sorted(unique, key=lambda finding: (finding.file, finding.line, finding.message))


class _StepCheck:
    def __init__(
        self, root: str, file: Dockerfile, step: Step, state: _State, known: Iterable[str], ours: set[str]
    ) -> None:
        self.root = root
        self.file = file
        self.step = step
        self.state = state
        self.known = set(known)
        self.ours = ours
        self.used: set[str] = set()
        self.findings: list[Finding] = []

    def run(self) -> None:
        for instruction in self.step.instructions:
            keyword, flags, rest = split_flags(instruction)
            if keyword == "ARG":
                self._text(rest, instruction)
                self.state.args.update(word.partition("=")[0] for word in rest.split())
            elif keyword == "RUN":
                self._run(flags, rest)
            elif keyword != "FROM":
                self._text(" ".join([*flags, rest]), instruction)
                self._check_env(instruction)
                self.state.env.update(_env(instruction))
                if keyword in ("COPY", "ADD") and not any(flag.startswith("--from=") for flag in flags):
                    self._copied(rest)
        for arg in self.step.args:
            if arg.name not in self.used and arg.name not in (*TRANSPORT, *AUTOMATIC):
                message = f"step {self.step.name} declares {arg.name} but nothing in it uses it"
                hint = "remove the ARG: its value rebuilds the step for nothing"
                self._add("warning", self.file.path, arg.line, message, hint, "arg-unused")

    def _check_env(self, instruction: str) -> None:
        """A variable is not seen by another one of the same ENV, which gets what it was before: mostly nothing."""
        names = _env(instruction)
        for name, value in re.findall(r"(?<=[ ])([A-Za-z_][A-Za-z0-9_]*)=(\"[^\"]*\"|\S*)", instruction):
            for used in dict.fromkeys(_USE.findall(value)):
                if used in names and used != name:
                    message = f"step {self.step.name} sets {name} by ${used}, which the same ENV sets only afterwards"
                    self._add("error", self.file.path, self.step.line, message, "write two ENV instructions", "env-order")

    def _add(self, severity: str, file: str, line: int, message: str, hint: str, code: str) -> None:
        self.findings.append(Finding(severity, file, line, message, hint, code))

    def _undeclared(self, name: str, given: set[str]) -> bool:
        return name in self.known and name not in given | self.state.args | self.state.env

    def _text(self, text: str, instruction: str, given: Iterable[str] = ()) -> None:
        """Check the variables that an instruction itself mentions."""
        for name in _USE.findall(text):
            self.used.add(name)
            if self._undeclared(name, set(given)):
                message = f"step {self.step.name} uses ${name} but does not declare it: {_short(instruction)}"
                hint = f"write ARG {name} above it, in the same step"
                self._add("error", self.file.path, self.step.line, message, hint, "variable-undeclared")

    def _run(self, flags: list[str], text: str) -> None:
        mounted: dict[str, str] = {}
        for flag in flags:
            fields = mount_fields(flag)
            if fields["type"] == "bind" and "from" not in fields and "target" in fields:
                mounted.update(self._files(fields["source"], fields["target"]))
        given = script.variables_set(text)
        self._text(text, f"RUN {text}", given)
        here = {**self.state.scripts, **mounted}
        for path in script.files_needed(text, "shell", "/"):
            if path not in here and os.path.basename(path) in self.ours:
                message = f"step {self.step.name} runs {path}, which is neither mounted nor copied"
                hint = f"add --mount=type=bind,source=…,target={path} to that RUN"
                self._add("error", self.file.path, self.step.line, message, hint, "script-unmounted")
        # A script that was copied counts where a RUN names it, or one that counts needs it; a mounted one always does.
        pending = [*mounted, *(path for path in self.state.scripts if path in text)]
        seen: set[str] = set()
        while pending:
            target = pending.pop(0)
            if target not in seen:
                seen.add(target)
                pending.extend(self._script(here[target], target, here, given))

    def _script(self, path: str, target: str, here: Mapping[str, str], given: set[str]) -> list[str]:
        """Check one script; returns the scripts beside it that it needs."""
        try:
            with open(os.path.join(self.root, path), encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError):
            return []  # a missing source is reported where files are taken, with its line
        language = script.kind(path, text)
        self.used.update(re.findall(r"\b[A-Za-z_][A-Za-z0-9_]*\b", text))
        if not language:
            return []
        for name, line in script.variables_used(text, language).items():
            if self._undeclared(name, given):
                where = f"step {self.step.name} of {self.file.path}"
                message = f"{name} is used here, but {where} does not declare it"
                hint = f"write ARG {name} in that step, above the RUN"
                self._add("error", path, line, message, hint, "variable-undeclared")
        needed = script.files_needed(text, language, os.path.dirname(target))
        # A module of a package imports what is on the path, not what lies beside it.
        if language == "python" and not os.path.exists(os.path.join(self.root, os.path.dirname(path), "__init__.py")):
            for module, line in script.modules_imported(text).items():
                if f"{module}.py" in self.ours:
                    needed.setdefault(os.path.join(os.path.dirname(target), f"{module}.py"), (line, True))
        found = []
        for wanted, (line, beside) in needed.items():
            if wanted in here:
                found.append(wanted)
            elif beside or os.path.basename(wanted) in self.ours:
                where = f"step {self.step.name} of {self.file.path}"
                message = f"{wanted} is needed here, but {where} neither mounts nor copies it"
                hint = f"add --mount=type=bind,source=…,target={wanted} to the RUN that uses this script"
                self._add("error", path, line, message, hint, "script-unmounted")
        return found

    def _copied(self, rest: str) -> None:
        import json

        words = json.loads(rest) if rest.startswith("[") else rest.split(" ")
        *sources, destination = words
        if not destination.startswith("/"):
            return
        for source in sources:
            path = os.path.normpath(source.lstrip("/") or ".")
            into = destination.endswith("/") and os.path.isfile(os.path.join(self.root, path))
            target = os.path.join(destination, os.path.basename(path)) if into else destination
            self.state.scripts.update(self._files(path, target))

    def _files(self, source: str, target: str) -> dict[str, str]:
        """Path in the image → path in the project, of a file or of everything below a directory."""
        full = os.path.join(self.root, source)
        if not os.path.isdir(full):
            return {os.path.normpath(target): os.path.normpath(source)}
        found = {}
        for folder, folders, names in os.walk(full):
            folders.sort()
            for name in sorted(names):
                inner = os.path.relpath(os.path.join(folder, name), full)
                found[os.path.normpath(os.path.join(target, inner))] = os.path.normpath(
                    os.path.join(source, inner)
                )
        return found


def _env(instruction: str) -> list[str]:
    """The variables that an ENV sets."""
    keyword, _, rest = instruction.partition(" ")
    if keyword != "ENV":
        return []
    names = re.findall(r"(?:^| )([A-Za-z_][A-Za-z0-9_]*)=", rest)
    return names or rest.split(" ")[:1]


def _names(directory: str) -> list[str]:
    try:
        return [name for name in os.listdir(directory) if name.endswith((".sh", ".bash", ".py"))]
    except OSError:
        return []


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"
