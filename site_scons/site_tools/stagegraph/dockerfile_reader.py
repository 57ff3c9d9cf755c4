"""What a Dockerfile says: its steps, and for each what it stands on, takes and declares.

The format is parsed by e2b-dockerfile-utils (BuildKit's parser in Python); this module gives the instructions
their meaning and refuses, with file and line, what engines disagree about, drop without a word, or what would
let a step read something that no signature sees. The library is imported only when a file is really parsed.
"""

from __future__ import annotations

import os
import re
from typing import NoReturn

from .dockerfile_text import join_lines, mount_fields, normal_form
from .errors import UserError
from .model import Arg, Dockerfile, ImageUse, Source, Step
from .names import COMPONENT

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")
_STEP_NAME = re.compile(rf"(?=[a-z]){COMPONENT}")
_ARG_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_PINNED = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/v[0-9]+)?")
_REMOTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://|git@|.*\.git(#.*)?$")
_AUTOMATIC_PLATFORMS = ("BUILDPLATFORM", "TARGETPLATFORM")
_FLAGS = {
    "FROM": ("platform",),
    "COPY": ("from", "chown", "chmod"),
    "ADD": ("chown", "chmod"),
    "RUN": ("mount",),
}
_MOUNT_TYPES = ("bind", "cache", "tmpfs", "secret")
_RESERVED_NAMES = ("scratch", "context")

#: Instructions that stop the reading, and why.
_REFUSED = {
    "SHELL": "is dropped from an OCI image; start the RUN with the shell you want",
    "ONBUILD": "is dropped from an OCI image; write the instruction in the step that needs it",
    "HEALTHCHECK": "is dropped from an OCI image; leave the check to what runs the container",
    "MAINTAINER": "is deprecated; use LABEL org.opencontainers.image.authors=…",
}


def parse(path: str, data: bytes) -> Dockerfile:
    """The Dockerfile that ``data`` holds; ``path`` is its name in errors. Raises as ``dockerfile.read`` says."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            "dockerfile-encoding",
            f"byte 0x{data[error.start]:02x} is not UTF-8",
            hint="save the file as UTF-8",
            file=path,
            line=line,
        ) from None
    if "\0" in text:
        raise UserError(
            "dockerfile-encoding",
            "the file holds a NUL byte",
            hint="save the file as plain UTF-8 text",
            file=path,
            line=text[: text.index("\0")].count("\n") + 1,
        )
    return _Reader(path, text).read()


class _Reader:
    """Goes through one Dockerfile once, top to bottom."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.line = 0
        self.globals: dict[str, Arg] = {}
        self.steps: list[Step] = []
        self.names_to_come: dict[str, int] = {}
        # Of the step being read:
        self.base = ImageUse("", "", 0)
        self.name = ""
        self.platform = ""
        self.step_line = 0
        self.uses: list[ImageUse] = []
        self.args: dict[str, Arg] = {}
        self.sources: list[Source] = []
        self.instructions: list[str] = []

    def read(self) -> Dockerfile:
        from e2b_dockerfile_utils import DockerfileSyntaxError, parse_dockerfile_ast

        self._directives()
        # Lines as the parser counts them: only a line feed ends one.
        lines = self.text.split("\n")
        try:
            ast = parse_dockerfile_ast(self.text)
            parsed = []
            for entry in ast.instructions:
                self.line = entry.start_line
                if entry.heredocs:
                    self._unsupported(
                        "a heredoc", "buildah before 1.33 does not know it; put the text into a script"
                    )
                joined = join_lines(lines[entry.start_line - 1 : entry.end_line])
                one = parse_dockerfile_ast(joined).instructions[0]
                parsed.append((entry.start_line, one.name, one.flags, one.args, one.json))
        except DockerfileSyntaxError as error:
            self._syntax_error(error, error.line or self.line)
        if not parsed:
            self.line = 1
            self._fail(
                "dockerfile-syntax", "the Dockerfile holds no instruction", "begin it with ARG or FROM"
            )
        for line, keyword, _flags, args, _json in parsed:
            if keyword == "FROM" and len(args) == 3:
                self.names_to_come.setdefault(args[2], line)
        for self.line, keyword, flags, args, is_json in parsed:
            self._instruction(keyword, flags, args, is_json)
        if not self.name:
            self._fail("dockerfile-syntax", "the Dockerfile has no FROM", "a step begins with FROM … AS name")
        self._finish_step()
        return Dockerfile(self.path, tuple(self.steps), tuple(self.globals.values()))

    # ── errors ──

    def _fail(self, code: str, message: str, hint: str) -> NoReturn:
        raise UserError(code, message, hint=hint, file=self.path, line=self.line)

    def _unsupported(self, what: str, hint: str) -> NoReturn:
        self._fail("dockerfile-unsupported", f"{what} is not supported", hint)

    def _syntax_error(self, error: Exception, line: int) -> NoReturn:
        self.line = line
        message = re.sub(r"^Dockerfile parse error( on line \d+)?: ", "", str(error))
        if "heredoc" in message:
            self._unsupported("a heredoc", "buildah before 1.33 does not know it; put the text into a script")
        self._fail(
            "dockerfile-syntax", message, "see the Dockerfile reference for the form of this instruction"
        )

    def _directives(self) -> None:
        for number, line in enumerate(self.text.split("\n"), start=1):
            match = _DIRECTIVE.match(line.strip())
            if match is None or match[1].lower() not in ("syntax", "escape", "check"):
                return
            self.line = number
            if match[1].lower() != "escape":
                self._unsupported(
                    f"the directive # {match[1]}=", "only some engines obey it; remove the line"
                )
            if match[2] != "\\":
                self._unsupported(
                    f"the escape character {match[2]}", "use the backslash, which needs no directive"
                )

    # ── instructions ──

    def _instruction(self, keyword: str, flags: list[str], args: list[str], is_json: bool) -> None:
        if keyword in _REFUSED:
            self._unsupported(keyword, f"{keyword} {_REFUSED[keyword]}")
        fields = self._flags(keyword, flags)
        if args and args[0].startswith("--") and not is_json:
            self._unsupported(f"{keyword} -- {args[0]}", "it reads like a flag; begin with another word")
        if keyword == "FROM":
            self._from(fields, args)
        elif keyword == "ARG":
            self._arg(args)
        elif not self.name:
            self._fail(
                "dockerfile-syntax", f"{keyword} stands before the first FROM", "only ARG may stand there"
            )
        elif not args and not (is_json and keyword in ("CMD", "ENTRYPOINT")):
            self._fail(
                "dockerfile-syntax", f"{keyword} has no argument", "write what it should do, or remove it"
            )
        elif keyword in ("COPY", "ADD"):
            self._copy(keyword, fields, args, is_json)
        elif keyword == "RUN":
            for _name, value in fields:
                self._mount(value)
        if self.name:
            self.instructions.append(normal_form(keyword, flags, args, is_json))

    def _flags(self, keyword: str, flags: list[str]) -> list[tuple[str, str]]:
        fields = []
        for flag in flags:
            name, mark, value = flag.removeprefix("--").partition("=")
            if name not in _FLAGS.get(keyword, ()):
                self._unsupported(f"{keyword} --{name}", "engines differ in it or drop it; leave it out")
            if not mark or not value:
                self._fail("dockerfile-syntax", f"{keyword} --{name} has no value", f"write --{name}=…")
            if re.search(r"[\s\"'\\]", value):
                self._unsupported(
                    f"a blank, quote or backslash in --{name}={value}", "rename what it stands for"
                )
            fields.append((name, value))
        if keyword != "RUN" and len({name for name, _ in fields}) < len(fields):
            self._fail(
                "dockerfile-syntax", f"{keyword} has a flag twice: {' '.join(flags)}", "keep one of them"
            )
        return fields

    def _from(self, fields: list[tuple[str, str]], args: list[str]) -> None:
        if self.name:
            self._finish_step()
        if len(args) == 1:
            self._fail(
                "step-name", f"FROM {args[0]} has no name", "every step is a node: write FROM … AS name"
            )
        if len(args) != 3 or args[1].lower() != "as":
            self._fail("dockerfile-syntax", f"FROM {' '.join(args)} is malformed", "write FROM image AS name")
        name = args[2]
        if name != name.lower():
            hint = f"engines differ in how they compare names; write {name.lower()}"
            self._fail("step-name", f"the step name {name} is not in lower case", hint)
        if not _STEP_NAME.fullmatch(name) or name in _RESERVED_NAMES:
            hint = "a name is a letter followed by letters and digits, with single '.', '_' or '-' between them, "
            hint += "not scratch or context"
            self._fail("step-name", f"{name} cannot be the name of a step", hint)
        for step in self.steps:
            if step.name == name:
                self._fail(
                    "step-name", f"the step name {name} is taken by line {step.line}", "rename one of them"
                )
        self.base = self._from_image(args[0])
        self.name, self.step_line, self.platform = name, self.line, ""
        for _name, value in fields:
            self.platform = self._platform(value)

    def _from_image(self, ref: str) -> ImageUse:
        if "$" not in ref:
            return (
                ImageUse("scratch", ref, self.line) if ref == "scratch" else self._image(ref, f"FROM {ref}")
            )
        match = _VARIABLE.fullmatch(ref)
        variable = (match[1] or match[2]) if match else ""
        if not variable.endswith("_IMAGE"):
            hint = (
                "only a stage image can be variable: FROM ${BASE_IMAGE}, or another name that ends in _IMAGE"
            )
            self._fail("dockerfile-variable", f"FROM {ref} depends on a variable", hint)
        if variable not in self.globals:
            hint = f"write ARG {variable} above the first FROM"
            self._fail("dockerfile-variable", f"FROM {ref}: {variable} is not declared", hint)
        return ImageUse("variable", variable, self.line)

    def _platform(self, value: str) -> str:
        match = _VARIABLE.fullmatch(value)
        if match:
            name = match[1] or match[2]
            if name in self.globals or name in _AUTOMATIC_PLATFORMS:
                return value
            hint = f"write ARG {name} above the first FROM"
            self._fail("dockerfile-variable", f"--platform={value}: {name} is not declared", hint)
        if not _PLATFORM.fullmatch(value):
            hint = "write a platform such as linux/arm64, or one variable such as ${ARTIFACT_PLATFORM}"
            self._fail("dockerfile-syntax", f"--platform={value} is no platform", hint)
        return value

    def _image(self, ref: str, said: str) -> ImageUse:
        """What a literal reference names: an earlier step of this file, or an image pinned by digest."""
        if any(step.name == ref for step in self.steps):
            return ImageUse("step", ref, self.line)
        if ref in self.names_to_come:
            hint = "a step sees only the steps above it; move that step up"
            line = self.names_to_come[ref]
            self._fail("step-unknown", f"{said} names the step that begins at line {line}", hint)
        if any(step.name == ref.lower() for step in self.steps):
            hint = f"engines differ in how they compare names; write {ref.lower()}"
            self._fail("step-name", f"{said}: the step's name is in lower case", hint)
        if _PINNED.fullmatch(ref):
            return ImageUse("image", ref, self.line)
        if said.startswith("FROM") or re.search(r"[/:@]", ref):
            hint = "a tag can move unseen: write name@sha256:<digest>, or the name of a step above"
            self._fail("image-unpinned", f"{said} names an image without a digest", hint)
        known = ", ".join(step.name for step in self.steps) or "none"
        self._fail("step-unknown", f"{said}: there is no such step", f"steps above this one: {known}")

    def _other_image(self, ref: str, said: str) -> None:
        if "$" in ref:
            hint = "give it a name first: FROM ${X_IMAGE} AS name"
            self._fail("dockerfile-variable", f"{said} depends on a variable", hint)
        if ref.isdigit():
            self._unsupported(
                f"a step by its number ({said})", "a number moves when a step is added; use names"
            )
        self.uses.append(self._image(ref, said))

    def _arg(self, words: list[str]) -> None:
        if not words:
            self._fail("dockerfile-syntax", "ARG has no name", "write ARG NAME or ARG NAME=default")
        from e2b_dockerfile_utils import ShellLex

        for word in words:
            name, mark, raw = word.partition("=")
            if not _ARG_NAME.fullmatch(name):
                hint = "a name is letters, digits and '_', and does not begin with a digit"
                self._fail("dockerfile-syntax", f"ARG {word}: {name!r} is no name of a variable", hint)
            try:
                default = ShellLex("\\").process_word(raw) if mark else None
            except ValueError as error:
                self._fail("dockerfile-syntax", f"ARG {word}: {error}", "check its quotes and braces")
            scope = self.args if self.name else self.globals
            if name in scope:
                hint = f"it stands at line {scope[name].line} already; keep one"
                self._fail("dockerfile-syntax", f"ARG {name} is declared twice", hint)
            if not self.name and default is not None and "$" in raw:
                hint = "a step that declares it would not see the change; write the value, or move it into the steps"
                self._fail(
                    "dockerfile-variable", f"the global ARG {name} has a variable in its default", hint
                )
            if self.name and name in self.globals and name.endswith("_IMAGE"):
                hint = "an image's name must not get into the result; use it in FROM only"
                self._fail(
                    "dockerfile-variable", f"the step {self.name} declares the image variable {name}", hint
                )
            if self.name and default is None and name in self.globals:
                default = self.globals[name].default
            scope[name] = Arg(name, default, self.line)

    def _copy(self, keyword: str, fields: list[tuple[str, str]], args: list[str], is_json: bool) -> None:
        if len(args) < 2:
            self._fail(
                "dockerfile-syntax", f"{keyword} has no destination", f"write {keyword} source… destination"
            )
        *sources, destination = args
        if len(sources) > 1 and not destination.endswith("/"):
            hint = f"with several sources the destination is a directory: write {destination}/"
            self._fail("dockerfile-syntax", f"{keyword} takes {len(sources)} sources to {destination}", hint)
        images = [value for name, value in fields if name == "from"]
        for source in sources:
            if keyword == "ADD" and _REMOTE.match(source):
                self._unsupported(
                    f"ADD of {source}", "what it gives can change unseen; fetch and verify it in a RUN"
                )
            if not images:
                self._no_variable(source, keyword)
            if re.search(r"[\"'\\]", source):
                hint = "engines read them differently; rename the file, or for a blank use the JSON form"
                self._unsupported(f"a quote or backslash in {keyword} {source}", hint)
        if images:
            self._other_image(images[0], f"{keyword} --from={images[0]}")
        else:
            self.sources.extend(Source(self._inside(source), self.line) for source in sources)

    def _mount(self, value: str) -> None:
        fields = mount_fields(value)
        kind, image, source = fields["type"], fields.get("from", ""), fields.get("source", "")
        if kind not in _MOUNT_TYPES:
            self._unsupported(f"RUN --mount=type={kind}", f"use one of {', '.join(_MOUNT_TYPES)}")
        if kind == "bind" and fields.get("rw", "false") != "false":
            self._unsupported(
                "a writable bind mount", "buildah writes through to your files; copy them in the RUN"
            )
        if kind in ("bind", "cache"):
            self._no_variable(source, "RUN --mount source")
            if image:
                self._other_image(image, f"RUN --mount from={image}")
            elif kind == "bind" and not source:
                hint = "without a source it takes the whole context: write source=path"
                self._fail("dockerfile-syntax", f"the bind mount {value} has no source", hint)
            elif kind == "bind":
                self.sources.append(Source(self._inside(source), self.line, mount=True))

    def _no_variable(self, text: str, where: str) -> None:
        if "$" in text:
            hint = "what a step takes must be known before it runs; write the path"
            self._fail("dockerfile-variable", f"{where} {text} depends on a variable", hint)

    def _inside(self, source: str) -> str:
        """The source relative to the context, in the shortest form; an absolute path begins at the context."""
        path = os.path.normpath(source.lstrip("/") or ".")
        if path == ".." or path.startswith("../"):
            hint = "only files below the project's root can be taken"
            self._fail("source-outside", f"{source} leads out of the build context", hint)
        return path

    def _finish_step(self) -> None:
        step = Step(
            name=self.name,
            line=self.step_line,
            base=self.base,
            uses=tuple(self.uses),
            args=tuple(self.args.values()),
            sources=tuple(self.sources),
            instructions=tuple(self.instructions),
            platform=self.platform,
        )
        self.steps.append(step)
        self.uses, self.args, self.sources, self.instructions = [], {}, [], []
