"""The engine calls of a generated project's build and nothing else: what the plugin is measured against.

    python engine_calls.py PROJECT STORE

The root image is in the store already; its id stands in STORE/root-id.
The same arguments, in the same order, one process a step; no inspection, no tag, no record.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

sys.path.insert(
    0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "site_scons", "site_tools")
)
from stagegraph.engines.base import EngineOptions
from stagegraph.engines.buildah import Buildah
from stagegraph.model import LABEL_NODE, LABEL_SIGNATURE, BuildRequest


def main(project: str, store: str) -> None:
    engine = Buildah(EngineOptions(root=os.path.join(store, "root"), runroot=os.path.join(store, "run")))
    with open(os.path.join(project, "nodes.json"), encoding="utf-8") as file:
        stages = json.load(file)
    with open(os.path.join(store, "root-id"), encoding="ascii") as file:
        image = file.read().strip()
    for stage in stages:
        images: dict[str, str] = {}
        for step in stage["steps"]:
            name = step["name"]
            iidfile = os.path.join(store, "iid")
            build_args = {f"VERSION_{stage['name'].upper()}": "1.0"}
            if not step["base"]:
                build_args["BASE_IMAGE"] = image
            request = BuildRequest(
                context=project,
                dockerfile=f"Dockerfile.{stage['name']}",
                target=name,
                platform="linux/amd64",
                build_args=build_args,
                contexts={other: images[other] for other in [step["base"], *step["copies"]] if other},
                labels={LABEL_NODE: f"{stage['name']}:{name}", LABEL_SIGNATURE: "0" * 64},
                timestamp=1767225600,
                secret="",
                iidfile=iidfile,
            )
            subprocess.run(engine.build_argv(request), cwd=project, check=True)
            with open(iidfile, encoding="ascii") as file:
                images[name] = file.read().strip()
        image = images[stage["steps"][-1]["name"]]


if __name__ == "__main__":
    main(*sys.argv[1:])
