"""Versions and settings: versions.env, a profile over it, the command line over both.

The files are data, not shell: one ``KEY=value`` a line, the value exactly as written. Whatever a shell would
read differently (quotes, ``$``, a comment behind a value) is refused with file and line, because somebody
meant it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from .errors import UserError
from .model import Arg, Dockerfile

ARCHES = ("amd64", "arm64", "riscv64")

#: The variable that makes a step depend on the target arch.
ARCH_VARIABLE = "TARGET_ARCH"

#: How bytes arrive or how fast, never the result: handed to a RUN as a file, never part of a signature.
TRANSPORT = (
    "APT_MIRROR_URL",
    "USE_FAST_UBUNTU_MIRROR",
    "FAST_UBUNTU_MIRROR_URL",
    "FAST_UBUNTU_PORTS_MIRROR_URL",
    "JOBS",
    "MEMORY_MB",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)

#: ARGs that engines fill in by themselves from the platform, which is a named input of its own.
AUTOMATIC = tuple(
    f"{side}{part}" for side in ("BUILD", "TARGET") for part in ("PLATFORM", "OS", "ARCH", "VARIANT")
)

PROVIDERS = ("distro", "source", "absent")

#: What the key of a component's provider ends in.
PROVIDER_SUFFIX = "_PROVIDER"

_KEY = re.compile(r"[A-Z][A-Z0-9_]*")
_MARKER = re.compile(r"# noforward(?:[ :].*)?")
_LIKE_MARKER = re.compile(r"#\s*no[-_ ]?forward", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """One ``KEY=value``. ``forward`` is False under a ``# noforward`` marker: for the host, never for a build."""

    value: str
    line: int
    forward: bool = True


def read(path: str, shown: str = "") -> dict[str, Entry]:
    """The entries of a versions file or profile in written order; ``shown`` is its name in messages.

    Raises UserError: versions-missing, and versions-syntax at the first line that leaves any doubt.
    """
    shown = shown or path
    return parse(load(path, shown), shown)


def load(path: str, shown: str) -> bytes:
    """The bytes of a versions file or profile. Raises UserError versions-missing."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        message = f"cannot read {shown}: {error.strerror}"
        hint = "check the name and the rights of the file"
        raise UserError("versions-missing", message, hint=hint, file=shown) from None


def parse(data: bytes, shown: str) -> dict[str, Entry]:
    """As ``read``, of bytes that were loaded. Raises UserError versions-syntax."""
    return _Lines(shown, data).read()


def write(entries: Mapping[str, Entry]) -> str:
    """The text from which ``read`` gets these entries back (without comments, line numbers in order)."""
    lines = []
    for key, entry in entries.items():
        if not entry.forward:
            lines.append("# noforward")
        lines.append(f"{key}={entry.value}")
    return "".join(f"{line}\n" for line in lines)


class _Lines:
    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data
        self.line = 0

    def _fail(self, message: str, hint: str) -> NoReturn:
        raise UserError("versions-syntax", message, hint=hint, file=self.path, line=self.line)

    def read(self) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        marked = 0
        for number, text in enumerate(self._text().split("\n"), start=1):
            self.line = number
            if text.startswith("#"):
                if marked:
                    self._detached(marked)
                marked = self.line if self._is_marker(text) else 0
            elif text == "":
                if marked:
                    self._detached(marked)
            else:
                key, value = self._pair(text)
                if key in entries:
                    self._fail(
                        f"{key} is set twice", f"it is set at line {entries[key].line} already; keep one"
                    )
                entries[key] = Entry(value, self.line, forward=not marked)
                marked = 0
        if marked:
            self._detached(marked)
        return entries

    def _text(self) -> str:
        self.line = 1
        if self.data.startswith(b"\xef\xbb\xbf"):
            self._fail("the file begins with a byte order mark", "save it as ASCII without one")
        for number, raw in enumerate(self.data.split(b"\n"), start=1):
            self.line = number
            if raw.endswith(b"\r"):
                self._fail("the line ends in CR LF", "save the file with Unix line ends")
            if b"\0" in raw:
                self._fail("the line holds a NUL byte", "save the file as plain text")
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError:
                self._fail("the line is not UTF-8", "save the file as plain text")
        return self.data.decode("utf-8")

    def _is_marker(self, text: str) -> bool:
        if _MARKER.fullmatch(text):
            return True
        if _LIKE_MARKER.match(text):
            self._fail(f"{text!r} looks like a marker but is none", "write exactly: # noforward")
        return False

    def _detached(self, marked: int) -> NoReturn:
        self.line = marked
        self._fail("the marker # noforward stands above no key", "put it directly above the key it is for")

    def _pair(self, text: str) -> tuple[str, str]:
        if text[0].isspace():
            self._fail(f"{text!r} begins with white space", "begin the line with the key or with #")
        if text.startswith(("export ", "declare ")):
            self._fail(f"{text!r} is shell", "the file is data: write KEY=value")
        key, mark, value = text.partition("=")
        if not mark:
            self._fail(f"{text!r} has no '='", "write KEY=value")
        if not key:
            self._fail(f"{text!r} has no key", "write KEY=value")
        if key != key.strip():
            self._fail(f"there is a blank before the '=' of {key.strip()}", "write KEY=value without blanks")
        if key.endswith("+"):
            self._fail(f"{key}= would add to a value", "write the whole value once")
        if not _KEY.fullmatch(key):
            hint = "a key is capital letters, digits and '_', and begins with a letter"
            self._fail(f"{key!r} is no key", hint)
        if key in TRANSPORT:
            hint = "it never changes a result; give it on the command line or in the environment"
            self._fail(f"{key} is a transport setting, not a version", hint)
        if value != value.strip():
            self._fail(
                f"the value of {key} has white space around it", "remove it; values are taken literally"
            )
        for character in value:
            if character in "\"'`$\\":
                hint = "no shell reads this file: write the plain value, without quotes, expansion or escapes"
                self._fail(f"the value of {key} holds {character}", hint)
            if not " " <= character <= "~":
                self._fail(f"the value of {key} holds {character!r}", "use printable ASCII")
        if re.search(r"(^|\s)#", value):
            self._fail(f"there is a comment behind the value of {key}", "put it on a line of its own above")
        return key, value


class Values:
    """What each variable is worth: command line over profile over versions.env.

    In each of the three, ``KEY_<ARCH>`` beats ``KEY`` in a build for that arch; a higher place beats both.
    Raises UserError (variable-unknown) for a key that versions.env does not know.
    """

    def __init__(
        self,
        file: Mapping[str, Entry],
        profile: Mapping[str, Entry] | None = None,
        command: Mapping[str, str] | None = None,
        *,
        path: str = "versions.env",
        profile_path: str = "",
    ) -> None:
        self.path = path
        self._profile_path = profile_path
        self.file = dict(file)
        self.profile = dict(profile or {})
        for key, entry in self.profile.items():
            if not self._known(key) and not key.endswith("_PROVIDER"):
                self._unknown(key, f"a key of {path}", profile_path, entry.line)
        chosen = {self._command_key(key): value for key, value in (command or {}).items()}
        for key, value in chosen.items():
            _check_provider(key, value, "", 0)
        for entries, where in ((self.profile, profile_path), (self.file, path)):
            for key, entry in entries.items():
                _check_provider(key, entry.value, where, entry.line)
        #: Highest first.
        self._places: tuple[Mapping[str, str], ...] = (
            chosen,
            {key: entry.value for key, entry in self.profile.items()},
            {key: entry.value for key, entry in self.file.items()},
        )

    @property
    def names(self) -> frozenset[str]:
        """Every key that has a value somewhere."""
        return frozenset().union(*self._places)

    def value(self, name: str, arch: str = "") -> str:
        """The value of ``name`` in a build for ``arch`` (empty: for none); UserError (variable-unset) if none."""
        found = self._find(name, arch)
        if found is None:
            hint = f"set it in {self.path}{self._suggest(name)}"
            raise UserError("variable-unset", f"{name} has no value", hint=hint, file=self.path)
        return found

    def for_step(
        self, args: Iterable[Arg], arch: str, builtin: Mapping[str, str], dockerfile: str = ""
    ) -> dict[str, str]:
        """The values of just the variables a step declares, transport and automatic ones left out.

        Each comes from ``builtin``, else from here, else from the ARG's default; a default that holds a
        variable is left to the engine, which sees the same text as the signature. Raises UserError:
        variable-unset, variable-noforward.
        """
        values: dict[str, str] = {}
        for arg in args:
            if arg.name in TRANSPORT or arg.name in AUTOMATIC:
                continue
            found = builtin.get(arg.name)
            if found is None:
                entry = self.file.get(arg.name)
                if entry is not None and not entry.forward:
                    hint = (
                        f"it is marked # noforward at {self.path}:{entry.line}; remove the marker or the ARG"
                    )
                    message = f"ARG {arg.name} is not for builds"
                    raise UserError("variable-noforward", message, hint=hint, file=dockerfile, line=arg.line)
                found = self._find(arg.name, arch)
            if found is None:
                if arg.default is None:
                    hint = f"give it a default, or set it in {self.path}{self._suggest(arg.name)}"
                    message = f"ARG {arg.name} has no value"
                    raise UserError("variable-unset", message, hint=hint, file=dockerfile, line=arg.line)
                if "$" in arg.default:
                    continue
                found = arg.default
            values[arg.name] = found
        return values

    def arch_dependent(self, args: Iterable[Arg]) -> bool:
        """Whether a step with these ARGs can differ between target arches."""
        names = self.names
        return any(
            arg.name == ARCH_VARIABLE or any(f"{arg.name}_{arch.upper()}" in names for arch in ARCHES)
            for arg in args
        )

    def check_drift(self, dockerfile: Dockerfile) -> None:
        """UserError (arg-drift) if the default of an ARG differs from versions.env.

        Defaults are what a build by hand gets, so they are compared with the file, not with the profile.
        """
        for arg in (*dockerfile.args, *(arg for step in dockerfile.steps for arg in step.args)):
            entry = self.file.get(arg.name)
            if entry is not None and arg.default is not None and arg.default != entry.value:
                message = (
                    f"ARG {arg.name}={arg.default} differs from {entry.value!r} at {self.path}:{entry.line}"
                )
                hint = f"write ARG {arg.name}={entry.value}"
                raise UserError("arg-drift", message, hint=hint, file=dockerfile.path, line=arg.line)

    def require_providers(self, able: Iterable[str], able_of: Mapping[str, Iterable[str]]) -> None:
        """UserError (provider-unable) if a component's provider is none that the steps can carry out.

        able: the providers for all components; able_of: instead of these for single ones, component → providers
        """
        able = tuple(able)
        for key in sorted(filter(_is_provider, self.names)):
            value, ways = self.value(key), tuple(able_of.get(key.partition(PROVIDER_SUFFIX)[0], able))
            if value not in ways:
                message = f"{key}={value}, but the steps of this project carry out {' and '.join(ways)} only"
                raise UserError("provider-unable", message, hint=f"set {key}={ways[0]}", **self._place(key))

    def _place(self, key: str) -> dict[str, Any]:
        """File and line of the value of ``key``, as keywords of UserError; none for the command line."""
        command, profile, _ = self._places
        if key in command:
            return {}
        if key in profile:
            return {"file": self._profile_path, "line": self.profile[key].line}
        return {"file": self.path, "line": self.file[key].line}

    def _find(self, name: str, arch: str) -> str | None:
        for place in self._places:
            if arch and f"{name}_{arch.upper()}" in place:
                return place[f"{name}_{arch.upper()}"]
            if name in place:
                return place[name]
        return None

    def _known(self, key: str) -> bool:
        if key in self.file:
            return True
        base, _, arch = key.rpartition("_")
        return base in self.file and arch.lower() in ARCHES

    def _command_key(self, key: str) -> str:
        """The key a word of the command line means: ``GCC=source`` is short for ``GCC_PROVIDER=source``."""
        if self._known(key) or key in self.profile:
            return key
        provider = f"{key}_PROVIDER"
        if provider in self.file or provider in self.profile:
            return provider
        self._unknown(key, "a variable", "", 0)

    def _unknown(self, key: str, what: str, file: str, line: int) -> NoReturn:
        hint = f"the keys are those of {self.path}{self._suggest(key)}"
        raise UserError("variable-unknown", f"{key} is not {what}", hint=hint, file=file, line=line)

    def _suggest(self, name: str) -> str:
        import difflib

        known = {*self.file, *self.profile}
        short = {key.removesuffix("_PROVIDER") for key in known}
        close = difflib.get_close_matches(name, sorted((known | short) - {name}), n=1)
        return f"; did you mean {close[0]}?" if close else ""


def _is_provider(key: str) -> bool:
    base, _, arch = key.rpartition("_")
    return key.endswith(PROVIDER_SUFFIX) or (arch.lower() in ARCHES and base.endswith(PROVIDER_SUFFIX))


def _check_provider(key: str, value: str, file: str, line: int) -> None:
    if _is_provider(key) and value not in PROVIDERS:
        hint = f"a provider is one of {', '.join(PROVIDERS)}"
        raise UserError(
            "provider-unknown", f"{key}={value} names no provider", hint=hint, file=file, line=line
        )
