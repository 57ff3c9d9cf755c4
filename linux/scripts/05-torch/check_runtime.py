#!/usr/bin/env python3
"""Stop unless the environment is what it says: versions, where each package comes from, and that it computes.

    check_runtime.py APP_VERSION APP_MODE ONNXRUNTIME_VERSION PYTORCH_EXTRA PYTORCH_VERSION
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
import zipfile
from pathlib import Path
from types import ModuleType

VENV, WHEELS = Path("/opt/venv"), Path("/opt/wheels")
DISTRIBUTION = Path("/usr/lib/python3/dist-packages")


def require(what: str, is_so: bool) -> None:
    """Stop unless it is so; `what` is the sentence that is wrong then."""
    if not is_so:
        sys.exit(f"error: {what}")


def imported(name: str, place: Path) -> ModuleType:
    """Import a module; stop unless it lies below `place`."""
    module = importlib.import_module(name)
    require(f"{name} comes from {module.__file__}, not from {place}", Path(str(module.__file__)).is_relative_to(place))
    print(f"{name} comes from {place}")
    return module


def same_as_wheel(wheel: Path, site: Path) -> int:
    """Compare each file of a wheel with what is installed in `site`; return how many there are."""
    count = 0
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            # The installer writes a list of its own.
            if name.endswith(("/", ".dist-info/RECORD")) or ".data/" in name:
                continue
            installed = site / name
            same = installed.is_file() and installed.read_bytes() == archive.read(name)
            require(f"{installed} is not the file of {wheel}", same)
            count += 1
    return count


def check_wheels(site: Path) -> None:
    """The wheels of the chain have won over what else could be had."""
    for wheel in sorted(WHEELS.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        installed = importlib.metadata.version(name)
        require(f"{name} is {installed}, but {wheel} is there", installed == version)
        print(f"{name} {version} is that of {WHEELS}, {same_as_wheel(wheel, site)} files")


def check_torch(wanted: str) -> None:
    """Tensors, gradients and the way from and to numpy, with results that are known."""
    torch, numpy = imported("torch", DISTRIBUTION), importlib.import_module("numpy")
    version = torch.__version__.partition("+")[0]
    require(f"torch is {version}, but PYTORCH_VERSION={wanted}", version == wanted.removeprefix("v"))
    left = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    product = left @ torch.from_numpy(numpy.array([[0.5, -1.0], [2.0, 0.25]], dtype=numpy.float32))
    require(f"torch multiplies to {product.tolist()}", product.tolist() == [[4.5, -0.5], [9.5, -2.0]])
    product.square().sum().backward()
    require(f"the gradient is {left.grad.tolist()}", left.grad.tolist() == [[5.5, 17.75], [13.5, 37.0]])
    sample = importlib.import_module("edgeinfer.sample")
    with torch.no_grad():
        hidden = torch.relu(torch.tensor(sample.ROWS) @ torch.tensor(sample.W1) + torch.tensor(sample.B1))
        given = torch.softmax(hidden @ torch.tensor(sample.W2), dim=1).numpy()
    close = numpy.allclose(given, sample.expected(sample.ROWS), atol=1e-6)
    require(f"torch's probabilities are {given.tolist()}", bool(close))
    print(f"torch {version} computes")


def main(app_version: str, mode: str, onnxruntime_version: str, extra: str, pytorch_version: str) -> None:
    require(f"this is the Python of {sys.prefix}", sys.prefix == str(VENV))
    sites = sorted(VENV.glob("lib/python3*/site-packages"))
    require(f"{VENV} has {len(sites)} site-packages", len(sites) == 1)
    check_wheels(sites[0])
    imported("edgeinfer", VENV)
    found = importlib.metadata.version("edgeinfer")
    require(f"edgeinfer is {found}, but APP_VERSION={app_version}", found == app_version)
    imported("msgpack._cmsgpack", VENV)
    imported("markupsafe._speedups", VENV)
    # Where neither the wheelhouse nor the lock has numpy, it is the distribution's.
    imported("numpy", VENV if list(sites[0].glob("numpy-*.dist-info")) else DISTRIBUTION)
    imported("onnxruntime", DISTRIBUTION)
    # The package's own version is cut short by the distribution; the library that computes says all of it.
    version = importlib.import_module("onnxruntime.capi._pybind_state").get_version_string()
    require(
        f"onnxruntime is {version}, but ONNXRUNTIME_VERSION={onnxruntime_version}",
        version == onnxruntime_version.removeprefix("v"),
    )
    if extra == "none":
        require("torch is there, but PYTORCH_EXTRA=none", importlib.util.find_spec("torch") is None)
    else:
        check_torch(pytorch_version)
    has = Path("/opt/app/pyproject.toml").exists()
    require(f"/opt/app is {'there' if has else 'missing'}, but TORCH_APP_MODE={mode}", has == (mode == "all"))


if __name__ == "__main__":
    main(*sys.argv[1:])
