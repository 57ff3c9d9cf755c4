"""The input ledger of a node and its signature.

The ledger names every input that decides a node's result; the signature is the hash of the ledger. What is not in
the ledger is not part of the decision: the engine and its version, tags, transport settings, job counts, the place
of the checkout, the code of this tool.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from typing import Any

from .model import ABI, Node

#: section → name → value; the section "step" maps "instructions" to a list of strings.
Ledger = dict[str, dict[str, Any]]


def ledger(node: Node, files: Mapping[str, str], parents: Mapping[str, str], timestamp: int) -> Ledger:
    """All named inputs of ``node``.

    files:     path → state of everything it takes from the build context
    parents:   the name the Dockerfile gives a parent → the content id of that parent's image
    timestamp: SOURCE_DATE_EPOCH in seconds, which ends up in every file time of the image
    """
    return {
        "node": {"abi": ABI, "kind": node.kind, "platform": node.platform, "timestamp": str(timestamp)},
        "step": {"instructions": [_without_default(line) for line in node.instructions]},
        "variables": dict(sorted(node.variables.items())),
        "options": dict(sorted(node.options.items())),
        "files": dict(sorted(files.items())),
        "parents": dict(sorted(parents.items())),
        "images": dict(sorted(node.images.items())),
    }


def sign(entries: Ledger) -> str:
    """The signature of a ledger: 64 hexadecimal digits, the same on every machine and Python."""
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _without_default(instruction: str) -> str:
    """An ARG without its default, for the value it has in the end stands among the variables.

    A default that holds a variable is expanded by the engine only, so there the text itself is the input.
    """
    if not instruction.startswith("ARG ") or "$" in instruction:
        return instruction
    plain = not set(instruction) & set("\"'\\")
    words = instruction.split()[1:] if plain else shlex.split(instruction[4:])  # shlex is slow, quotes are rare
    names = [word.split("=", 1)[0] for word in words]
    return "ARG " + " ".join(names)
