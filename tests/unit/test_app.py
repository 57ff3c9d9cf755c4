"""linux/app: what of it needs neither numpy nor ONNX Runtime. The rest is tested inside the image, by the step `smoke`."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "linux/app/src"


@pytest.fixture(autouse=True)
def sources(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(SOURCES))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "edgeinfer"]:
        del sys.modules[name]


def fields(message: bytes) -> list[tuple[int, int | bytes]]:
    """Take a protocol buffer apart: number and value of each field, by the format's own rules."""
    found: list[tuple[int, int | bytes]] = []
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            found.append((key >> 3, varint()))
        else:
            assert key & 7 == 2, f"wire type {key & 7}"
            length = varint()
            assert at + length <= len(message)
            found.append((key >> 3, message[at : at + length]))
            at += length
    return found


def only(message: bytes, number: int) -> bytes:
    (value,) = [value for field, value in fields(message) if field == number]
    assert isinstance(value, bytes)
    return value


def test_the_model_is_the_graph_it_says() -> None:
    from edgeinfer import sample

    model = sample.onnx()
    assert fields(model)[:2] == [(1, 8), (2, b"edgeinfer")]
    assert fields(only(model, 8)) == [(2, 13)]
    graph = only(model, 7)
    nodes = [value for field, value in fields(graph) if field == 1 and isinstance(value, bytes)]
    assert [only(node, 4).decode() for node in nodes] == ["MatMul", "Add", "Relu", "MatMul", "Softmax"]
    assert [value for field, value in fields(nodes[0]) if field == 1] == [b"features", b"W1"]
    attribute = only(nodes[4], 5)
    assert fields(attribute) == [(1, b"axis"), (3, 2**64 - 1), (20, 2)]
    weights = [value for field, value in fields(graph) if field == 5 and isinstance(value, bytes)]
    assert [only(weight, 8) for weight in weights] == [b"W1", b"b1", b"W2"]
    assert fields(weights[0])[:3] == [(1, 3), (1, 4), (2, 1)]
    assert struct.unpack("<4f", only(weights[1], 9)) == sample.B1


def test_long_messages_have_lengths_of_several_bytes() -> None:
    from edgeinfer.onnx_file import Weight, model

    graph = only(model("g", [], [], [], [Weight("w", (100,), (0.5,) * 100)]), 7)
    assert len(only(only(graph, 5), 9)) == 400


def test_the_expected_numbers_are_probabilities() -> None:
    from edgeinfer import sample

    rows = sample.expected(sample.ROWS)
    assert all(abs(sum(row) - 1) < 1e-12 for row in rows)
    # By hand: nothing but the shifts, (0, 0.125, 0, 0.5), so the scores are 0.0625 and -0.3125.
    assert rows[2][0] == pytest.approx(1 / (1 + 2.718281828459045**-0.375))


def test_sample_writes_a_model_and_an_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from edgeinfer import cli, sample

    assert cli.main(["sample", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new/model.onnx").read_bytes() == sample.onnx()
    assert json.loads((tmp_path / "new/input.json").read_text()) == [list(row) for row in sample.ROWS]
    (tmp_path / "file").touch()
    assert cli.main(["sample", str(tmp_path / "file")]) == 2
    assert "error: cannot write to" in capsys.readouterr().err


def test_the_sample_needs_nothing_that_computes(tmp_path: Path) -> None:
    code = f"import sys; from edgeinfer.cli import main; main(['sample', {str(tmp_path)!r}]); print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], env={"PYTHONPATH": str(SOURCES)}, capture_output=True, text=True, check=True
    )
    assert not {"numpy", "onnxruntime", "msgpack", "markupsafe"} & set(done.stdout.replace("'", "").split(", "))


def test_known_chatter_is_left_out_and_all_else_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    from edgeinfer.quiet import known_chatter_left_out

    chatter = b"Schema error: Trying to register schema with name %s (domain:  version: 1), but it is already registered from x\n\n"
    with known_chatter_left_out():
        os.write(2, b"before\n" + chatter % b"Abs" + chatter % b"Add" + b"Schema error: Add is unknown\nafter")
    os.write(2, b".\n")
    assert capfd.readouterr().err == "before\nSchema error: Add is unknown\nafter.\n"
    with pytest.raises(ValueError), known_chatter_left_out():
        os.write(2, b"last words\n")
        raise ValueError
    assert capfd.readouterr().err == "last words\n"
