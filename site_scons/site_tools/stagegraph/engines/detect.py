"""Which engine to use: the one that was asked for, or the first that works.

An engine works when it can list its images. That list is wanted anyway, so a run in which nothing is to do starts one
engine process and no more. Versions are compared only before the first build.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ..errors import UserError
from .base import Engine, EngineOptions
from .containers_store import ContainersStoreEngine


def _buildah(options: EngineOptions) -> Engine:
    from .buildah import Buildah

    return Buildah(options)


def _podman(options: EngineOptions) -> Engine:
    from .podman import Podman

    return Podman(options)


#: Name → factory, in the order in which --engine=auto tries them. A test may add its own.
ENGINES: dict[str, Callable[[EngineOptions], Engine]] = {"buildah": _buildah, "podman": _podman}


def unproven(name: str, options: EngineOptions) -> Engine:
    """The engine by this name without a question whether it works; ``auto`` gives the first installed, else the first.

    For the dry run, which prints commands and needs no engine.
    """
    if name != "auto":
        return _factory(name)(options)
    from shutil import which

    return ENGINES[next((known for known in ENGINES if which(known)), "buildah")](options)


def choose(name: str, options: EngineOptions) -> Engine:
    """The engine for ``--engine=auto|buildah|podman``, proven to work.

    Raises ``UserError``: engine-unknown for another name, engine-missing or engine-failed for a named engine that does not
    work, engine-none when auto found none that does, with what each of them said.
    """
    if name != "auto":
        engine = _factory(name)(options)
        _prove(engine)
        return engine
    said = []
    for known, factory in ENGINES.items():
        engine = factory(options)
        try:
            _prove(engine)
        except UserError as error:
            said.append(f"{known}: {error.message}")
        else:
            return engine
    raise UserError(
        "engine-none",
        f"no engine works ({'; '.join(said)})",
        hint="install the package buildah, or run ./sconsw setup",
    )


def check_version(engine: Engine) -> None:
    """Raise ``UserError`` code engine-too-old when the engine is older than what its builds need."""
    minimum = cast(str, getattr(engine, "minimum", ""))
    if not minimum:
        return
    from packaging.version import InvalidVersion, Version

    said = engine.version()
    try:
        old = Version(said) < Version(minimum)
    except InvalidVersion:
        raise UserError(
            "engine-too-old",
            f"'{engine.name}' tells the version '{said}', which is none",
            hint=f"install {minimum} or later",
        ) from None
    if old:
        raise UserError(
            "engine-too-old",
            f"{engine.name} {said} is older than {minimum}",
            hint=f"install {engine.name} {minimum} or later (Debian 12 has it)",
        )


def _factory(name: str) -> Callable[[EngineOptions], Engine]:
    factory = ENGINES.get(name)
    if factory is None:
        known = ", ".join(["auto", *ENGINES])
        raise UserError("engine-unknown", f"there is no engine '{name}'", hint=f"choose one of {known}")
    return factory


def _prove(engine: Engine) -> None:
    if isinstance(engine, ContainersStoreEngine):
        engine.prove()
    else:
        engine.images()
