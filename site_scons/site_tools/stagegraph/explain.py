"""Reasons, as sentences: what differs between the ledger a node was built from and the one it would have now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .signature import Ledger

NEVER_BUILT = "never built"


@dataclass(frozen=True)
class Change:
    """One named input that differs; ``old`` or ``new`` is empty when it was added or taken away."""

    sentence: str
    old: str
    new: str


def changes(old: Ledger, new: Ledger, parent_name: Callable[[str], str]) -> list[Change]:
    """Every named input that differs, in the order a reader looks for it.

    parent_name: from the name the Dockerfile gives a parent to the node's name
    """
    found: list[Change] = []
    before, after = old.get("node", {}), new.get("node", {})
    if before.get("abi") != after.get("abi"):
        found.append(_named("signature format", before.get("abi", ""), after.get("abi", "")))
    for name in ("kind", "platform", "timestamp"):
        if before.get(name) != after.get(name):
            found.append(_named(name, before.get(name, ""), after.get(name, "")))
    found += [_named(*item) for item in _differences(old, new, "variables")]
    found += [_named(*item) for item in _differences(old, new, "options")]
    found += _step(old, new)
    found += [_file(*item) for item in _differences(old, new, "files")]
    for ref, was, now in _differences(old, new, "parents"):
        found.append(Change(f"parent {parent_name(ref)} {_verb(was, now)}", was, now))
    for ref, was, now in _differences(old, new, "images"):
        found.append(Change(f"image {ref} {_verb(was, now)}", was, now))
    return found


def _differences(old: Ledger, new: Ledger, section: str) -> list[tuple[str, str, str]]:
    before: Mapping[str, str] = old.get(section, {})
    after: Mapping[str, str] = new.get(section, {})
    names = sorted(set(before) | set(after))
    found = [(name, before.get(name), after.get(name)) for name in names]
    return [(name, _shown(old), _shown(new)) for name, old, new in found if old != new]


def _shown(value: str | None) -> str:
    """A value as it is printed: nothing for an input that is not there, a word for one that is empty."""
    if value is None:
        return ""
    return value or "(empty)"


def _named(name: str, old: str, new: str) -> Change:
    return Change(f"{name} {old or '(unset)'} → {new or '(unset)'}", old, new)


def _verb(old: str, new: str) -> str:
    if not old:
        return "is new"
    return "changed" if new else "was removed"


def _file(path: str, old: str, new: str) -> Change:
    if old and new and old[0] == new[0] == "f":
        (old_mode, old_hash), (new_mode, new_hash) = old[1:].split(":", 1), new[1:].split(":", 1)
        if old_hash == new_hash:
            return Change(f"{path} mode {old_mode} → {new_mode}", old, new)
    return Change(f"{path} {_verb(old, new)}", old, new)


def _step(old: Ledger, new: Ledger) -> list[Change]:
    before: list[str] = old.get("step", {}).get("instructions", [])
    after: list[str] = new.get("step", {}).get("instructions", [])
    if before == after:
        return []
    gone = [line for line in before if line not in after]
    come = [line for line in after if line not in before]
    if not gone and not come:
        return [Change("the Dockerfile's instructions stand in another order", "\n".join(before), "\n".join(after))]
    found = []
    for number in range(max(len(gone), len(come))):
        was = gone[number] if number < len(gone) else ""
        now = come[number] if number < len(come) else ""
        found.append(Change(f"the Dockerfile's {(now or was).split(' ', 1)[0]} instruction {_verb(was, now)}", was, now))
    return found
