"""stagegraph: an SCons tool that builds container images as a graph of Dockerfile steps.

    env = Environment(tools=[("stagegraph", {"versions_file": "versions.env", "dockerfiles": "linux"})])
    root = env.Root("bootstrap", "amd64", suite="stable")
    base = env.Stage("base", parent=root)
    for arch in env["ARCHES"]:
        sdk = env.Stage("sdk", arch, parent=base)
        env.Rootfs("linux-sdk", arch, image=sdk)
    env.StageGraph()

``generate`` adds the builders Root, Stage and Rootfs to an environment, and StageGraph, which the SConstruct calls
last. Everything else in this package is private to it.
"""

from __future__ import annotations

from typing import Any

from . import public


def generate(env: Any, **given: Any) -> None:
    """Add the tool to ``env``; ``given`` are the keywords of ``public.setup``."""
    public.setup(env, **given)


def exists(env: Any) -> bool:
    """Reading and dry runs need no program, so the tool always exists; building checks for an engine."""
    return True
