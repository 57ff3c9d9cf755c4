"""A tiny classifier with known weights: what it gives can be told without any runtime.

Two layers: `softmax(relu(x · W1 + b1) · W2)`, three numbers in, two probabilities out, any number of rows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from .onnx_file import Operation, Port, Weight, model

MODEL, INPUT = "model.onnx", "input.json"

#: Binary fractions, so that float32 holds each exactly.
W1 = ((1.0, -0.5, 0.25, 0.0), (0.5, 1.0, -1.0, 0.75), (-0.25, 0.5, 1.0, -1.5))
B1 = (0.0, 0.125, -0.25, 0.5)
W2 = ((1.0, -1.0), (-0.5, 0.5), (0.75, 0.25), (0.25, -0.75))
ROWS = ((1.0, 2.0, 3.0), (-1.0, 0.5, 0.0), (0.0, 0.0, 0.0), (4.0, -2.0, 0.5))


def onnx() -> bytes:
    """Return the model as an ONNX file."""
    weights = [
        Weight("W1", (3, 4), tuple(value for row in W1 for value in row)),
        Weight("b1", (4,), B1),
        Weight("W2", (4, 2), tuple(value for row in W2 for value in row)),
    ]
    operations = [
        Operation("MatMul", ("features", "W1"), "weighted"),
        Operation("Add", ("weighted", "b1"), "shifted"),
        Operation("Relu", ("shifted",), "hidden"),
        Operation("MatMul", ("hidden", "W2"), "scores"),
        Operation("Softmax", ("scores",), "probabilities", (("axis", -1),)),
    ]
    return model("classifier", [Port("features", ("rows", 3))], [Port("probabilities", ("rows", 2))], operations, weights)


def expected(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return what the model has to give for `rows`, worked out here in double precision."""
    results = []
    for row in rows:
        hidden = [max(0.0, total + shift) for total, shift in zip(_times(row, W1), B1, strict=True)]
        powers = [math.exp(score) for score in _times(hidden, W2)]
        results.append([power / sum(powers) for power in powers])
    return results


def write(folder: Path) -> None:
    """Write the model and an input for it into `folder`. Raises OSError."""
    (folder / MODEL).write_bytes(onnx())
    (folder / INPUT).write_text(json.dumps(ROWS) + "\n", encoding="utf-8")


def _times(row: Sequence[float], matrix: Sequence[Sequence[float]]) -> list[float]:
    return [sum(value * column for value, column in zip(row, columns, strict=True)) for columns in zip(*matrix, strict=True)]
