#!/usr/bin/env python3
"""Compile the Python modules of another image's distribution packages, below /bytecode.

    bytecode.py LIB

LIB is that image's /usr/lib. Byte code depends on the version of Python and on nothing of the machine, so it is made on the
build platform: on an emulated one it takes minutes, most of them for starting Python once a package. Each file bears the
hash of its source in place of a time, and lies where Python looks for it.
"""

from __future__ import annotations

import importlib.util
import os
import py_compile
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

RESULT = Path("/bytecode")
#: Where the modules lie in the image they are for.
PLACE = Path("/usr/lib/python3/dist-packages")


def require_same_python(lib: Path) -> None:
    """Stop unless the image's Python reads what this one writes: the first bytes of a compiled file say it."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    samples = sorted((lib / version / "__pycache__").glob("os.*.pyc"))
    if not samples:
        sys.exit(f"error: the image has no {version}\nhint: TOOLS_IMAGE and BASE_IMAGE are of one distribution")
    if samples[0].read_bytes()[:4] != importlib.util.MAGIC_NUMBER:
        sys.exit(f"error: the image's {version} reads other byte code\nhint: TOOLS_IMAGE and BASE_IMAGE are of one distribution")


def target(module: Path) -> Path:
    """Return where the byte code of a module goes, relative to the module's root."""
    return module.parent / "__pycache__" / f"{module.stem}.{sys.implementation.cache_tag}.pyc"


def compile_one(root: Path, module: Path) -> str:
    """Compile a module, given relative to `root`; return what is wrong with it, or nothing."""
    try:
        py_compile.compile(
            str(root / module),
            cfile=str(RESULT / PLACE.relative_to("/") / target(module)),
            dfile=str(PLACE / module),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
        )
    except (py_compile.PyCompileError, UnicodeDecodeError) as error:
        return f"{module}: {(str(error).splitlines() or ['?'])[0]}"
    return ""


def main(lib: str) -> None:
    require_same_python(Path(lib))
    root = Path(lib) / "python3/dist-packages"
    modules = [path.relative_to(root) for path in sorted(root.rglob("*.py"))]
    missing = [module for module in modules if not (root / target(module)).exists()]
    (RESULT / PLACE.relative_to("/")).mkdir(parents=True)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        said = [line for line in pool.map(compile_one, [root] * len(missing), missing, chunksize=50) if line]
    # Some packages ship templates and tests that are no Python; nobody imports them.
    print("".join(f"{line}\n" for line in said), end="")
    print(f"{len(missing) - len(said)} of {len(missing)} modules compiled, {len(modules) - len(missing)} were")


if __name__ == "__main__":
    main(*sys.argv[1:])
