"""Run Cython in FOLDER, wherever it was started.

    cython_here.py FOLDER OPTION… SOURCE -o RESULT

Cython writes the path of a source into the module unless it lies below the current folder, and Meson's is that of the
build. -ffile-prefix-map cannot help: to the compiler the path is a string like any other.
"""

from __future__ import annotations

import os
import sys


def absolute(words: list[str]) -> list[str]:
    """Return Cython's arguments with the paths of files absolute: what exists, and what follows -o."""
    before = ["", *words[:-1]]
    return [
        os.path.abspath(word) if not word.startswith("-") and (last == "-o" or os.path.exists(word)) else word
        for last, word in zip(before, words, strict=True)
    ]


def main(folder: str, *words: str) -> None:
    from Cython.Compiler.Main import setuptools_main

    sys.argv[1:] = ["-I", os.getcwd(), *absolute(list(words))]
    os.chdir(folder)
    setuptools_main()


if __name__ == "__main__":
    main(*sys.argv[1:])
