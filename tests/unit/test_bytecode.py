"""linux/scripts/05-torch/bytecode.py: byte code that is made on another machine than the one that runs it."""

from __future__ import annotations

import importlib.util
import marshal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

TAG = sys.implementation.cache_tag


@pytest.fixture
def bytecode(script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = script("bytecode")
    monkeypatch.setattr(module, "RESULT", tmp_path / "bytecode")
    # Another process would have to import the script by its name.
    monkeypatch.setattr(module, "ProcessPoolExecutor", ThreadPoolExecutor)
    return module


@pytest.fixture
def lib(tmp_path: Path) -> Path:
    """The /usr/lib of an image with the Python that runs this test, and a package."""
    lib = tmp_path / "lib"
    cache = lib / f"python{sys.version_info.major}.{sys.version_info.minor}/__pycache__"
    cache.mkdir(parents=True)
    (cache / f"os.{TAG}.pyc").write_bytes(importlib.util.MAGIC_NUMBER + bytes(12))
    package = lib / "python3/dist-packages/edge"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("PLACE = __file__\n")
    (package / "template.py").write_text("class {{ name }}:\n")
    return lib


def test_byte_code_bears_a_hash_and_the_place_where_the_module_will_lie(
    bytecode: ModuleType, lib: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bytecode.main(str(lib))
    made = tmp_path / "bytecode/usr/lib/python3/dist-packages/edge/__pycache__" / f"__init__.{TAG}.pyc"
    content = made.read_bytes()
    source = (lib / "python3/dist-packages/edge/__init__.py").read_bytes()
    # The flags say that a hash follows, and that it is compared with that of the source (PEP 552).
    assert content[4:8] == b"\3\0\0\0"
    assert content[8:16] == importlib.util.source_hash(source)
    assert marshal.loads(content[16:]).co_filename == "/usr/lib/python3/dist-packages/edge/__init__.py"
    said = capsys.readouterr().out
    assert "edge/template.py: " in said
    assert said.endswith("1 of 2 modules compiled, 0 were\n")
    assert [path.name for path in (tmp_path / "bytecode").rglob("*.pyc")] == [made.name]


def test_what_is_compiled_already_is_left_alone(
    bytecode: ModuleType, lib: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = lib / "python3/dist-packages/edge/__pycache__"
    cache.mkdir()
    for name in ("__init__", "template"):
        (cache / f"{name}.{TAG}.pyc").touch()
    bytecode.main(str(lib))
    assert capsys.readouterr().out == "0 of 0 modules compiled, 2 were\n"
    assert not list((tmp_path / "bytecode").rglob("*.pyc"))


def test_another_python_is_refused(bytecode: ModuleType, lib: Path) -> None:
    (sample,) = lib.glob("python3.*/__pycache__/os.*.pyc")
    sample.write_bytes(b"\0\0\r\n" + bytes(12))
    with pytest.raises(SystemExit, match="reads other byte code"):
        bytecode.main(str(lib))
    sample.unlink()
    with pytest.raises(SystemExit, match="the image has no python"):
        bytecode.main(str(lib))
