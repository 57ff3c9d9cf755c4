"""Write what a run gave: msgpack for programs, HTML for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
import numpy
from markupsafe import Markup

from .errors import AppError
from .model import Run, Tensor

#: The most values of a tensor that the report shows.
SHOWN = 64


def write_msgpack(run: Run, path: Path) -> None:
    """Write a map: model, sha256, runtime, outputs; each output has name, dtype, shape and data.

    data: the values as bytes, the last axis fastest, each little-endian. Raises AppError.
    """
    packed = msgpack.packb(
        {"model": run.model, "sha256": run.sha256, "runtime": run.runtime, "outputs": [_plain(each) for each in run.outputs]}
    )
    _write(path, packed)


def write_report(run: Run, path: Path) -> None:
    """Write one page of HTML. Whatever comes from the model or its file name is escaped. Raises AppError."""
    page = Markup(
        '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{model}</title>\n<h1>{model}</h1>\n'
        "<p>sha256 {sha256}, {runtime}</p>\n{tables}</html>\n"
    )
    tables = Markup("").join(_table(kind, each) for kind, all in (("input", run.inputs), ("output", run.outputs)) for each in all)
    _write(path, page.format(model=run.model, sha256=run.sha256, runtime=run.runtime, tables=tables).encode())


def _plain(tensor: Tensor) -> dict[str, Any]:
    values = tensor.values
    if values.dtype.kind not in "biuf":
        raise AppError(f"the output {tensor.name} holds {values.dtype}", "only numbers can be written")
    little = numpy.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return {"name": tensor.name, "dtype": values.dtype.name, "shape": list(values.shape), "data": little.tobytes()}


def _table(kind: str, tensor: Tensor) -> Markup:
    values = tensor.values
    shape = " by ".join(map(str, values.shape)) or "a single number"
    rows = values.reshape(-1, values.shape[-1]) if values.ndim and values.size else values.reshape(1, -1)
    shown = 0
    lines: list[Markup] = []
    for row in rows:
        if shown + row.size > SHOWN and lines:
            lines.append(Markup("<tr><td>…</td></tr>\n"))
            break
        cells = Markup("").join(Markup("<td>{}</td>").format(f"{value:.6g}") for value in row[:SHOWN].tolist())
        lines.append(Markup("<tr>{}</tr>\n").format(cells))
        shown += row.size
    head = Markup("<h2>{} {}</h2>\n<p>{}, {}</p>\n").format(kind, tensor.name, shape, values.dtype)
    return head + Markup("<table>\n{}</table>\n").format(Markup("").join(lines))


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise AppError(f"cannot write {path}: {error.strerror}", "name a place of your own") from error
