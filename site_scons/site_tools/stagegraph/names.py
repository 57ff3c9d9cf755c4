"""Names of images: what they may be, and the form in which engines list them.

The grammar is that of the OCI distribution specification (pulling manifests: ``<name>`` and ``<reference>``), with the
registry in front as container tools have it. An engine refuses other names, but only when an image was built.
"""

from __future__ import annotations

import re

from .errors import UserError

#: A part of a repository between two slashes.
COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{COMPONENT}(?:/{COMPONENT})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REGISTRY = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")

_HUB = "docker.io"


def tagged(repository: str, tag: str) -> str:
    """The full name ``registry/path:tag`` as engines list it; ``UserError`` code image-name for what is no name.

    Measured with buildah 1.28 and podman 4.3: a name without a registry is one of ``localhost``, one of the hub without
    a path is one of its ``library``.
    """
    registry, slash, path = repository.partition("/")
    if not slash or not (registry == "localhost" or "." in registry or ":" in registry):
        registry, path = "localhost", repository
    if registry == f"index.{_HUB}":
        registry = _HUB
    if registry == _HUB and "/" not in path:
        path = f"library/{path}"
    if not _REGISTRY.fullmatch(registry) or not _PATH.fullmatch(path):
        raise UserError(
            "image-name",
            f"{repository!r} is no repository of images",
            hint="a repository is in lower case, as in ghcr.io/owner/name, without a tag",
        )
    if not _TAG.fullmatch(tag):
        raise UserError(
            "image-name",
            f"{tag!r} is no tag of an image",
            hint="a tag is at most 128 letters, digits, '_', '.' or '-', and begins with neither '.' nor '-'",
        )
    return f"{registry}/{path}:{tag}"


def full(reference: str) -> str:
    """A whole ``repository:tag`` as engines list it; ``UserError`` code image-name for what is none."""
    repository, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        raise UserError(
            "image-name", f"{reference!r} names no tag", hint="write the tag too, as in ghcr.io/owner/name:latest"
        )
    return tagged(repository, tag)


def check_component(what: str, name: str) -> None:
    """Raise ``UserError`` code image-name unless ``name`` can be a part of a repository."""
    if not re.fullmatch(COMPONENT, name):
        raise UserError(
            "image-name",
            f"{name!r} cannot be the name of {what}",
            hint="a name is lower-case letters and digits, with single '.', '_' or any number of '-' between them",
        )
