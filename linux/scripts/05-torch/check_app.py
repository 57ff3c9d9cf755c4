#!/usr/bin/env python3
"""The tests of the app that need numpy and ONNX Runtime: they run inside the image, as its user."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from typing import Any

import msgpack
import numpy
from edgeinfer import sample
from edgeinfer.cli import main
from edgeinfer.onnx_file import Operation, Port, Weight, model


class InferenceTest(unittest.TestCase):
    """Each test has a folder with the sample model in it."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        sample.write(self.folder)
        self.result, self.report = self.folder / "result.msgpack", self.folder / "report.html"

    def run_app(self, given: Path, name: str = sample.MODEL) -> tuple[int, str]:
        """Return the status and what was said on stderr."""
        words = ["run", str(self.folder / name), str(given), "--output", str(self.result), "--report", str(self.report)]
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            status = main(words)
        return status, said.getvalue()

    def json_file(self, content: object) -> Path:
        path = self.folder / "given.json"
        path.write_text(json.dumps(content))
        return path

    def probabilities(self) -> numpy.ndarray[Any, Any]:
        """Return the only output in the result."""
        (output,) = msgpack.unpackb(self.result.read_bytes())["outputs"]
        values = numpy.frombuffer(output["data"], numpy.dtype(output["dtype"]).newbyteorder("<"))
        return values.reshape(output["shape"])

    def test_the_numbers_are_those_that_were_worked_out(self) -> None:
        self.assertEqual(self.run_app(self.folder / sample.INPUT), (0, ""))
        numpy.testing.assert_allclose(self.probabilities(), sample.expected(sample.ROWS), atol=1e-6)

    def test_a_file_of_numpy_gives_the_same(self) -> None:
        numpy.save(self.folder / "rows.npy", numpy.array(sample.ROWS, dtype=numpy.float64))
        self.assertEqual(self.run_app(self.folder / "rows.npy"), (0, ""))
        numpy.testing.assert_allclose(self.probabilities(), sample.expected(sample.ROWS), atol=1e-6)

    def test_an_input_can_be_given_by_its_name(self) -> None:
        self.assertEqual(self.run_app(self.json_file({"features": [[1, 2, 3]]})), (0, ""))
        numpy.testing.assert_allclose(self.probabilities(), sample.expected([(1, 2, 3)]), atol=1e-6)

    def test_names_from_the_model_are_escaped_in_the_report(self) -> None:
        hostile = model(
            "g",
            [Port("<b>x</b>", (2,))],
            [Port("y<script>", (2,))],
            [Operation("Add", ("<b>x</b>", "w"), "y<script>")],
            [Weight("w", (2,), (0.5, 0.25))],
        )
        (self.folder / "a&b.onnx").write_bytes(hostile)
        self.assertEqual(self.run_app(self.json_file([1, 2]), "a&b.onnx"), (0, ""))
        page = self.report.read_text()
        for text in ("input &lt;b&gt;x&lt;/b&gt;", "output y&lt;script&gt;", "<h1>a&amp;b.onnx</h1>", "<td>2.25</td>"):
            self.assertIn(text, page)
        self.assertNotIn("<script", page)

    def test_what_is_wrong_is_said_in_a_sentence(self) -> None:
        (self.folder / "text.onnx").write_text("no model")
        (self.folder / "half.npy").write_bytes(b"\x93NUMPY")
        numpy.save(self.folder / "complex.npy", numpy.array([[1j, 2, 3]]))
        cases = [
            (sample.MODEL, self.json_file([[1, 2]]), "features is 1 by 2\nhint: the model takes any by 3"),
            (sample.MODEL, self.folder / "nowhere.json", "cannot read the input"),
            (sample.MODEL, self.folder / "half.npy", "is neither .npy nor JSON"),
            (sample.MODEL, self.folder / "complex.npy", "no array of float32"),
            ("text.onnx", self.folder / sample.INPUT, "is no model that can be run"),
            ("nowhere.onnx", self.folder / sample.INPUT, "cannot read the model"),
        ]
        for name, given, sentence in cases:
            with self.subTest(sentence):
                status, said = self.run_app(given, name)
                self.assertEqual(status, 2)
                self.assertIn(sentence, said)
        contents = {
            "the inputs other\nhint: the model takes features": {"other": [[1, 2, 3]]},
            "no array of float32": [[1, 2, 3], [4, 5]],
            "it holds <U1": [["a", "b", "c"]],
            "overflow": [[1e300, 2, 3]],
        }
        for sentence, content in contents.items():
            with self.subTest(sentence):
                status, said = self.run_app(self.json_file(content))
                self.assertEqual(status, 2)
                self.assertIn(sentence, said)


if __name__ == "__main__":
    unittest.main()
