"""Fix 3: stage Python's extension modules as real files, with no link left that leads nowhere.

CPython's build folder holds relative links to ../../Modules/*.so, and packages link to files that are not
staged. Copied as they are, such links dangle in the image and `import _struct` fails there, hours later. So
links are followed while copying, the modules of a second folder are added as a safety net, and what still
dangles is fatal.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def stage_modules(sources: list[Path], target: Path) -> int:
    """Copy every *.so of the folders `sources` into `target` as a real file; earlier folders win.

    Returns the number of modules. Raises ValueError for a link in a source that leads nowhere and that no
    later folder of `sources` (the safety net) replaces.
    """
    target.mkdir(parents=True, exist_ok=True)
    dangling: dict[str, Path] = {}
    for source in sources:
        for path in sorted(source.glob("*.so")):
            copy = target / path.name
            if copy.exists():
                continue
            if not path.exists():
                dangling.setdefault(path.name, path)
                continue
            shutil.copy2(path, copy, follow_symlinks=True)
            dangling.pop(path.name, None)
    if dangling:
        path = min(dangling.values())
        raise ValueError(f"{path} leads nowhere: {os.readlink(path)}")
    return sum(1 for _ in target.glob("*.so"))


def check_staged(tree: Path) -> None:
    """Raise ValueError if any link below `tree` dangles."""
    for folder, folders, names in os.walk(tree):
        for name in sorted(folders + names):
            path = Path(folder) / name
            if path.is_symlink() and not path.exists():
                raise ValueError(f"{path} leads nowhere: {os.readlink(path)}")
