"""Write an ONNX file without the onnx package: the few messages of its protocol buffers that a small graph needs.

The numbers of the fields are those of onnx.proto, IR version 8. Only float32 tensors are known.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

#: What a file says it is: IR version 8 and operator set 13, which ONNX Runtime reads since 2022.
IR_VERSION, OPSET = 8, 13
_FLOAT = 1
_ATTRIBUTE_INT = 2


@dataclass(frozen=True)
class Weight:
    """A constant float32 tensor: the values with the last axis fastest."""

    name: str
    shape: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Operation:
    """A node of the graph: the operator, its inputs and its one output by name, and its whole-number attributes."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    integers: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Port:
    """An input or output of the graph; an axis of the shape is a number, or the name of one that is free."""

    name: str
    shape: tuple[int | str, ...]


def model(
    name: str, ports_in: Sequence[Port], ports_out: Sequence[Port], operations: Sequence[Operation], weights: Sequence[Weight]
) -> bytes:
    """Return the bytes of an ONNX file with this graph."""
    graph = b"".join(
        [
            *(_message(1, _node(each)) for each in operations),
            _text(2, name),
            *(_message(5, _tensor(each)) for each in weights),
            *(_message(11, _value(each)) for each in ports_in),
            *(_message(12, _value(each)) for each in ports_out),
        ]
    )
    return _number(1, IR_VERSION) + _text(2, "edgeinfer") + _message(7, graph) + _message(8, _number(2, OPSET))


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written as 64-bit ones
    head = bytearray()
    while value > 0x7F:
        head.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(head + bytes([value]))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _node(operation: Operation) -> bytes:
    attributes = (_text(1, name) + _number(3, value) + _number(20, _ATTRIBUTE_INT) for name, value in operation.integers)
    return b"".join(
        [
            *(_text(1, name) for name in operation.inputs),
            _text(2, operation.output),
            _text(4, operation.operator),
            *(_message(5, each) for each in attributes),
        ]
    )


def _tensor(weight: Weight) -> bytes:
    axes = b"".join(_number(1, axis) for axis in weight.shape)
    data = struct.pack(f"<{len(weight.values)}f", *weight.values)
    return axes + _number(2, _FLOAT) + _text(8, weight.name) + _message(9, data)


def _value(port: Port) -> bytes:
    axes = (_number(1, axis) if isinstance(axis, int) else _text(2, axis) for axis in port.shape)
    shape = b"".join(_message(1, axis) for axis in axes)
    tensor = _number(1, _FLOAT) + _message(2, shape)
    return _text(1, port.name) + _message(2, _message(1, tensor))
