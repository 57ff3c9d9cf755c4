"""Read what a model is run on: a .npy file, or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from .errors import AppError

#: ONNX Runtime's names of the types that can be read.
DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


@dataclass(frozen=True)
class Slot:
    """An input of a model. type: ONNX Runtime's name; shape: a number for each axis, anything else where it is free."""

    name: str
    type: str
    shape: tuple[object, ...]


def read(path: Path, slots: Sequence[Slot]) -> dict[str, numpy.ndarray[Any, Any]]:
    """Return an array for each of the model's inputs `slots`, of its type. Raises AppError."""
    try:
        if path.suffix == ".npy":
            given: object = numpy.load(path, allow_pickle=False)
        else:
            given = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AppError(f"cannot read the input {path}: {error.strerror}", "name a file that is there") from error
    except (ValueError, RecursionError) as error:
        raise AppError(f"the input {path} is neither .npy nor JSON: {error}", "a .npy file bears that suffix") from error
    if not isinstance(given, dict):
        if len(slots) != 1:
            names = ", ".join(slot.name for slot in slots)
            raise AppError(f"{path} holds one array, but the model has {len(slots)} inputs", f"a JSON object with {names}")
        given = {slots[0].name: given}
    named = {slot.name: slot for slot in slots}
    if given.keys() != named.keys():
        said = ", ".join(map(str, given)) or "none"
        raise AppError(f"{path} has the inputs {said}", f"the model takes {', '.join(named)}")
    return {name: _array(path, named[name], value) for name, value in given.items()}


def _array(path: Path, slot: Slot, value: object) -> numpy.ndarray[Any, Any]:
    if slot.type not in DTYPES:
        raise AppError(f"the model's input {slot.name} is a {slot.type}", f"known are {', '.join(DTYPES)}")
    wanted = numpy.dtype(DTYPES[slot.type])
    try:
        found = numpy.asarray(value)
        if found.dtype.kind not in "biuf":
            raise ValueError(f"it holds {found.dtype}")
        # JSON has one kind of number; a file of numpy's says what it means, and is not bent to something else.
        if not numpy.can_cast(found.dtype, wanted, casting="same_kind"):
            raise ValueError(f"{found.dtype} does not go into {wanted}")
        with numpy.errstate(over="raise"):
            array = found.astype(wanted)
        if found.dtype.kind in "iu" and wanted.kind in "iu" and not numpy.array_equal(array, found):
            raise ValueError(f"a value does not fit into {wanted}")
    except (ValueError, FloatingPointError, OverflowError) as error:
        raise AppError(f"{path}: {slot.name} is no array of {wanted}: {error}", "numbers, all rows of one length") from error
    fits = len(array.shape) == len(slot.shape) and all(
        not isinstance(wants, int) or wants == has for wants, has in zip(slot.shape, array.shape, strict=True)
    )
    if not fits:
        wants = " by ".join("any" if not isinstance(axis, int) else str(axis) for axis in slot.shape)
        has = " by ".join(map(str, array.shape)) or "a single number"
        raise AppError(f"{path}: {slot.name} is {has}", f"the model takes {wants or 'a single number'}")
    return array
