"""The command line of edgeinfer.

    edgeinfer run MODEL INPUT --output RESULT.msgpack [--report REPORT.html] [--threads N]
    edgeinfer sample FOLDER

`run` ends with status 0, or with 2 and a sentence on stderr. `sample` writes a tiny model and an input for it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import AppError


def main(words: Sequence[str] | None = None) -> int:
    """Carry out the command line `words` (default: the program's own); return the exit status."""
    options = _parser().parse_args(words)
    try:
        if options.command == "sample":
            _sample(options.folder)
        else:
            _run(options)
    except AppError as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edgeinfer", description="Run an ONNX model on an input.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a model on an input")
    run.add_argument("model", type=Path, help="the ONNX file")
    run.add_argument("input", type=Path, help="a .npy file, or JSON: one array, or an object of arrays by input name")
    run.add_argument("--output", type=Path, required=True, help="where the results go, as msgpack")
    run.add_argument("--report", type=Path, help="where a report for people goes, as HTML")
    run.add_argument("--threads", type=int, default=0, help="threads of one run; 0: as many as ONNX Runtime likes")
    sample = commands.add_parser("sample", help="write a tiny model and an input for it")
    sample.add_argument("folder", type=Path, help="where model.onnx and input.json go")
    return parser


def _sample(folder: Path) -> None:
    from . import sample

    try:
        folder.mkdir(parents=True, exist_ok=True)
        sample.write(folder)
    except OSError as error:
        raise AppError(f"cannot write to {folder}: {error.strerror}", "name a folder of your own") from error
    print(f"{folder / sample.MODEL} and {folder / sample.INPUT} written")


def _run(options: argparse.Namespace) -> None:
    # What computes is imported here: `--help` and a wrong word need no second to be answered.
    from . import inputs, model, results

    if options.threads < 0:
        raise AppError(f"--threads {options.threads} is no number of threads", "0, 1, 2, …")
    loaded = model.load(options.model, options.threads)
    arrays = inputs.read(options.input, loaded.inputs)
    run = loaded.run(arrays)
    results.write_msgpack(run, options.output)
    if options.report:
        results.write_report(run, options.report)
    for tensor in run.outputs:
        print(f"{tensor.name} {list(tensor.values.shape)} {tensor.values.dtype}")
