#!/usr/bin/env python3
"""Keep the README's table of versions equal to versions.env and the profiles.

    sync_versions.py --check      exit 1, with what differs, when it is not
    sync_versions.py --write      write it anew

Only the standard library and the tool's own reader of versions.env are used.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The face of the package imports SCons, which the Python that runs this need not have; its pure side does not.
package = types.ModuleType("stagegraph")
package.__path__ = [str(ROOT / "site_scons" / "site_tools" / "stagegraph")]
sys.modules.setdefault("stagegraph", package)

from stagegraph import versions
from stagegraph.errors import UserError

BEGIN, END = "<!-- versions: docs/scripts/sync_versions.py writes this -->\n", "<!-- end of versions -->\n"


def table(root: Path) -> str:
    """The table: a row for each version of versions.env, a column for each profile that gives it another value."""
    entries = versions.read(str(root / "versions.env"), "versions.env")
    profiles = {
        path.stem: versions.read(str(path), f"linux/profiles/{path.name}")
        for path in sorted((root / "linux" / "profiles").glob("*.env"))
    }
    names = [name for name in entries if name.endswith(("_VERSION", "_RELEASE", "_PROVIDER"))]
    lines = [f"| key | versions.env | {' | '.join(f'`PROFILE={name}`' for name in profiles)} |", "|---|---|" + "---|" * len(profiles)]
    for name in names:
        own = entries[name].value
        values = [profile[name].value if name in profile else own for profile in profiles.values()]
        lines.append(f"| `{name}` | {own} | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"


def synced(text: str, wanted: str) -> str:
    """The README with ``wanted`` between its two marks; ValueError when they are not there, once each and in order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError("README.md has not, once each and in order, the lines " + BEGIN.strip() + " and " + END.strip())
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{wanted}\n{END}{rest.partition(END)[2]}"


def main() -> int:
    """0 when the table is right, or was written."""
    parser = argparse.ArgumentParser(description="Keep the README's table of versions equal to versions.env.")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--check", action="store_true", help="exit 1 when it differs")
    choice.add_argument("--write", action="store_true", help="write it anew")
    chosen = parser.parse_args()
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    try:
        wanted = synced(text, table(ROOT))
    except (UserError, ValueError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    if chosen.write:
        if wanted != text:
            readme.write_text(wanted, encoding="utf-8")
        return 0
    sys.stdout.writelines(
        difflib.unified_diff(text.splitlines(True), wanted.splitlines(True), "README.md", "versions.env", n=0)
    )
    if wanted != text:
        print("hint: run python3 docs/scripts/sync_versions.py --write", file=sys.stderr)
    return int(wanted != text)


if __name__ == "__main__":
    sys.exit(main())
