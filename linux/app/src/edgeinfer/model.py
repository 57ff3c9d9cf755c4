"""A model that ONNX Runtime has loaded, and a run of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import onnxruntime

from .errors import AppError
from .inputs import Slot
from .quiet import known_chatter_left_out


@dataclass(frozen=True)
class Tensor:
    """A named array that came out of a model."""

    name: str
    values: numpy.ndarray[Any, Any]


@dataclass(frozen=True)
class Run:
    """What a run gave. model: name of the file; sha256: its digest, hexadecimal; runtime: who computed it."""

    model: str
    sha256: str
    runtime: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Model:
    """A loaded model; `inputs` is what it wants."""

    def __init__(self, session: Any, name: str, sha256: str) -> None:
        self._session, self._name, self._sha256 = session, name, sha256
        self.inputs = tuple(Slot(each.name, each.type, tuple(each.shape)) for each in session.get_inputs())

    def run(self, arrays: Mapping[str, numpy.ndarray[Any, Any]]) -> Run:
        """Compute all outputs from an array for each input. Raises AppError."""
        names = [each.name for each in self._session.get_outputs()]
        try:
            values = self._session.run(names, dict(arrays))
        except Exception as error:  # ONNX Runtime's own have no common parent
            raise AppError(f"{self._name} failed on this input: {_first_line(error)}", "is it meant for this model?") from error
        others = [name for name, value in zip(names, values, strict=True) if not isinstance(value, numpy.ndarray)]
        if others:
            raise AppError(f"{self._name}: {', '.join(others)} is no tensor", "only tensors can be written")
        runtime = f"onnxruntime {onnxruntime.__version__}"
        ins = tuple(Tensor(name, value) for name, value in arrays.items())
        outs = tuple(Tensor(name, value) for name, value in zip(names, values, strict=True))
        return Run(self._name, self._sha256, runtime, ins, outs)


def load(path: Path, threads: int = 0) -> Model:
    """Load the ONNX file `path`; `threads` as in ONNX Runtime, 0 leaves it to it. Raises AppError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AppError(f"cannot read the model {path}: {error.strerror}", "name a file that is there") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        with known_chatter_left_out():
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise AppError(f"{path} is no model that can be run: {_first_line(error)}", "an ONNX file is wanted") from error
    return Model(session, path.name, hashlib.sha256(content).hexdigest())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
