"""Options and settings: what the user says on the command line, in the environment and in files.

Command line beats environment beats file. Settings that decide a result are variables (``NAME=value``); how the work
is done and what is asked are options (``--name``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from SCons.Script import ARGUMENTS, AddOption, GetOption

from .errors import UserError

#: Settings that may also come from the environment, with what they mean (the README's table).
SETTINGS = {
    "PROFILE": "the set of providers and versions laid over versions.env",
    "TARGET_ARCHES": "target arches, by comma or blank",
    "TARGET_ARCH": "one target arch",
    "LANE": "which of the project's chains of stages is declared",
    "CROSS_TARGETS": "target arches the compiler stage has compilers for",
    "OUTPUT_ROOT": "where exports go instead of out/",
    "IMAGE_REPO": "repository of the tags for people",
    "IMAGE": "reference of the manifest, IMAGE_REPO:<its name> when not given",
    "LOG_DIR": "where this run's logs go instead of out/logs/<time>-<run>",
    "ROOT_IMAGE": "another root: name@sha256:… or oci:DIR",
    "ARTIFACT_BUILD_MODE": "what artifact images are built for: cross, linux/amd64, or native, linux/<arch>",
    "ARTIFACT_IMAGE_PREFIX": "artifact image in the store: <prefix>-<arch> in cross mode, the exact name in native mode",
    "ARTIFACT_CONTEXT_ROOT": "directory with a saved artifact <arch>/ for each arch",
    "ARTIFACT_CONTEXT_MODE": "what these are: oci, a layout, or dir, a root file system",
    "RUNTIME_CONTEXT_ROOT": "directory for contexts, roots and layouts that live as long as their build",
    "APT_MIRROR_URL": "package mirror for any root (transport)",
    "USE_FAST_UBUNTU_MIRROR": "use the Ubuntu mirror below (transport)",
    "FAST_UBUNTU_MIRROR_URL": "Ubuntu mirror (transport)",
    "FAST_UBUNTU_PORTS_MIRROR_URL": "Ubuntu ports mirror (transport)",
    "CA_BUNDLE": "file of certificates to check servers with; the host's own when not given",
    "http_proxy": "proxy for http (transport)",
    "https_proxy": "proxy for https (transport)",
    "no_proxy": "hosts reached without proxy (transport)",
}

TRANSPORT = tuple(name for name, meaning in SETTINGS.items() if meaning.endswith("(transport)"))

#: Not named "options": SCons calls a tool module's attribute of that name.
_registered = False


def register() -> None:
    """Add the tool's options to SCons, once however many environments load the tool."""
    global _registered
    if _registered:
        return
    _registered = True
    AddOption("--engine", dest="engine", default="auto", metavar="NAME",
              help="the engine that builds: auto (the first that works), buildah, podman")  # fmt: skip
    AddOption("--store", dest="store", default="", metavar="DIR", help="keep images in a store of its own below DIR")
    AddOption("--why", dest="why", action="store_true", help="print why each stale node is stale, build nothing")
    AddOption("--status", dest="status", action="store_true", help="print the table of all nodes, build nothing")
    AddOption("--disk", dest="disk", action="store_true", help="with --status: what each stage holds, and what is free")
    AddOption("--plan", dest="plan", action="store_true", help="print what would be built and how long it may take")
    AddOption("--refresh", dest="refresh", action="append", default=[], metavar="NODE",
              help="build NODE again although its inputs did not change; may be given more than once")  # fmt: skip
    AddOption("--verify", dest="verify", action="store_true", help="check whole exported trees and stored images")
    AddOption("--check-reproducible", dest="check_reproducible", action="store_true",
              help="build the targets' nodes again beside the first and compare")  # fmt: skip
    AddOption("--force", dest="force", action="store_true",
              help="make a manifest whatever its members stand on and their gates say; the index tells of it")  # fmt: skip
    AddOption("--repair", "--manifest-only", dest="repair", action="store_true",
              help="put a manifest together again from the images that are there, build none")  # fmt: skip
    AddOption("--list-targets", dest="list_targets", action="store_true", help="print the targets and exit")


def refuse_unsupported() -> None:
    """Raise ``UserError`` for a way to run SCons in which answers could be stale."""
    if GetOption("interactive"):
        raise UserError(
            "command-words",
            "--interactive would go by files as they were when it was started",
            hint="run scons once for each command; a run that has nothing to do takes a fraction of a second",
        )


def option(name: str) -> Any:
    """The value of a command-line option of SCons or of this tool."""
    return GetOption(name)


def setting(name: str, default: str = "") -> str:
    """A setting from the command line, else the environment, else ``default``."""
    return str(ARGUMENTS.get(name, os.environ.get(name, default)))


def arguments() -> Mapping[str, str]:
    """The ``NAME=value`` words of the command line."""
    return dict(ARGUMENTS)


def lane(known: Sequence[str]) -> str:
    """The lane asked for (LANE), the first known one when none is named; ``UserError`` for one that is not known."""
    chosen = setting("LANE") or known[0]
    if chosen not in known:
        raise UserError("lane-unknown", f"unknown lane {chosen!r}", hint=suggestion(chosen, known))
    return chosen


def arches(known: Iterable[str], default: str) -> list[str]:
    """The target arches asked for (TARGET_ARCHES, TARGET_ARCH), those of ``default`` when none is named."""
    return arch_list(setting("TARGET_ARCHES") or setting("TARGET_ARCH") or default, known)


def arch_list(text: str, known: Iterable[str]) -> list[str]:
    """The arches in ``text``, separated by commas or blanks, each once; ``UserError`` for one that is not known."""
    known = list(known)
    found: list[str] = []
    for arch in text.replace(",", " ").split():
        if arch not in known:
            raise UserError("arch-unknown", f"unknown arch {arch!r}", hint=suggestion(arch, known))
        if arch not in found:
            found.append(arch)
    return found


def suggestion(word: str, known: Iterable[str]) -> str:
    """A hint for a word that is not known: the nearest known ones."""
    import difflib

    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known are {', '.join(known)}" if len(known) <= 12 else ""
