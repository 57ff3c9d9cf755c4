"""What the app can want of the wheelhouse, and what becomes of it for each target.

One table for the step that builds the wheels and for the list that travels with them. What is not built stands here all
the same, with its reason, so that it is said and not forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ALL = ("amd64", "arm64", "riscv64")

#: The list beside the wheels, and its columns.
LIST = "wheels.tsv"
COLUMNS = ("name", "version", "how", "reason")


@dataclass(frozen=True)
class Recipe:
    """How a wheel is built and proved.

    backend:  the build system of its source, setuptools or meson
    sha256:   version → sha256 (hexadecimal) of its source archive in the package registry
    modules:  extension modules it has to bring; some sources go on without theirs when the compiler fails
    options:  what the build system is told
    proof:    Python that computes something with it on the target; an exception fails
    """

    backend: str
    sha256: Mapping[str, str]
    modules: tuple[str, ...]
    proof: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """What becomes of one thing for some targets.

    how:     built (here), registry (a later stage takes the registry's wheel), distro (the distribution's package) or
             absent
    version: the variable that holds its version; empty where this step does not decide it
    recipe:  for what is built
    """

    name: str
    arches: tuple[str, ...]
    how: str
    reason: str
    version: str = ""
    recipe: Recipe | None = None


_NUMPY = Recipe(
    backend="meson",
    sha256={"2.2.4": "9ba03692a45d3eef66559efe1d1096c4b9b75c0986b5dff5530c378fb8331d4f"},
    modules=("numpy._core._multiarray_umath", "numpy.linalg._umath_linalg", "numpy.fft._pocketfft_umath", "numpy.random._pcg64"),
    # Without BLAS it has its own, slower, routines and needs no library that the runtime image might lack.
    options=("-Dblas=none", "-Dlapack=none", "-Dallow-noblas=true"),
    proof="""
import numpy
import numpy.testing  # takes modules of numpy's own tests, which a wheel without them lacks
matrix = numpy.array([[4.0, 1.0, 2.0], [1.0, 3.0, 0.0], [2.0, 0.0, 5.0]])
vector = numpy.array([1.0, -2.0, 3.0])
assert numpy.allclose(matrix @ numpy.linalg.solve(matrix, vector), vector)
assert numpy.allclose(numpy.linalg.eigvalsh(matrix).sum(), 12.0)
signal = numpy.random.default_rng(7).standard_normal(256)
assert numpy.allclose(numpy.fft.irfft(numpy.fft.rfft(signal)), signal)
assert numpy.sort(signal)[0] == signal.min() and numpy.float32(signal).dtype.itemsize == 4
# The format that the cross build was told.
assert numpy.finfo(numpy.longdouble).nmant == 112, numpy.finfo(numpy.longdouble)
assert numpy.longdouble(1) + numpy.longdouble(2) ** -100 != 1
""",
)
_MSGPACK = Recipe(
    backend="setuptools",
    sha256={"1.2.4": "475c44e12f2a5de766a8448783f149c9b33f3f49b88953c6cd739a77d93c732c"},
    modules=("msgpack._cmsgpack",),
    proof="""
import msgpack
assert msgpack.Packer.__module__ == "msgpack._cmsgpack", msgpack.Packer
value = {"numbers": [0, -1, 2**40, 1.5], "text": "\\u00e4", "bytes": b"\\0\\xff", "nothing": None}
assert msgpack.unpackb(msgpack.packb(value)) == value
assert msgpack.packb([1, 2.5]) == bytes.fromhex("9201cb4004000000000000")
""",
)
_MARKUPSAFE = Recipe(
    backend="setuptools",
    sha256={"3.0.3": "722695808f4b6457b320fdc131280796bdceb04ab50fe1795cd540799ebe1698"},
    modules=("markupsafe._speedups",),
    proof="""
import markupsafe
assert markupsafe._escape_inner.__module__ == "markupsafe._speedups", markupsafe._escape_inner
assert markupsafe.escape("<a & 'b'>\\u20ac") == "&lt;a &amp; &#39;b&#39;&gt;\\u20ac"
""",
)

ROWS = (
    Row("numpy", ("amd64", "arm64"), "registry", "the torch stage takes the registry's wheel, by its hash", "NUMPY_VERSION"),
    Row("numpy", ("riscv64",), "built", "the registry has no wheel for riscv64", "NUMPY_VERSION", _NUMPY),
    Row("msgpack", ALL, "built", "compiled against the staged Python", "MSGPACK_VERSION", _MSGPACK),
    Row("markupsafe", ALL, "built", "compiled against the staged Python", "MARKUPSAFE_VERSION", _MARKUPSAFE),
    Row("torch", ALL, "distro", "the torch stage takes the distribution's package"),
    Row("torchvision", ALL, "absent", "the app does not use it"),
    Row("opencv-python", ALL, "absent", "it needs OpenCV 5, which no step builds yet"),
    Row("iree", ALL, "absent", "the app runs its models with ONNX Runtime"),
)


def rows(arch: str) -> list[Row]:
    """Return the rows for `arch`, in the table's order."""
    return [row for row in ROWS if arch in row.arches]


def built(arch: str) -> list[tuple[Row, Recipe]]:
    """Return the rows of `arch` that are built, with how."""
    return [(row, row.recipe) for row in rows(arch) if row.recipe is not None]


def listing(arch: str, versions: Mapping[str, str]) -> str:
    """Return the text of the list for `arch`: a line of column names, a line for each row, columns apart by tabs.

    `versions` holds the values of the rows' variables. A version that this step does not decide is "-".
    """
    lines: Iterable[tuple[str, ...]] = (
        (row.name, versions[row.version] if row.version else "-", row.how, row.reason) for row in rows(arch)
    )
    return "".join("\t".join(line) + "\n" for line in (COLUMNS, *lines))
