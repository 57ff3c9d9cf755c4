"""linux/scripts/05-torch: what is installed from where (install_app.py), and the words the shell scripts refuse."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
TORCH = ROOT / "linux/scripts/05-torch"
LOCK = """\
# a comment
markupsafe==3.0.3 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
Msg_Pack==1.2.4 \\
    --hash=sha256:cc
numpy==2.2.4 ; platform_machine != "riscv64" \\
    --hash=sha256:dd
"""
NUMPY = 'numpy==2.2.4 ; platform_machine != "riscv64" --hash=sha256:dd\n'


@pytest.fixture
def install(script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with a folder of the test's own for the wheels."""
    module = script("install_app")
    monkeypatch.setattr(module, "WHEELS", tmp_path / "wheels")
    (tmp_path / "wheels").mkdir()
    return module


@pytest.fixture
def app(install: ModuleType, tmp_path: Path) -> object:
    """An app with a requirements.lock."""
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "edge"\nversion = "0.1.0"\n')
    (folder / "requirements.lock").write_text(LOCK)
    return install.read_app(folder, "0.1.0")


def wheel(tmp_path: Path, name: str) -> None:
    (tmp_path / "wheels" / name).touch()


def planned(install: ModuleType, app: object, tmp_path: Path) -> list[str]:
    """The commands, each as one line; the folder of the build is named by its end."""
    commands = install.commands("uv", app, install.wheelhouse(install.WHEELS), tmp_path)
    return [" ".join(command).replace(str(tmp_path), "") for command in commands]


def test_all_of_the_lock_is_fetched_where_the_wheelhouse_is_empty(
    install: ModuleType, app: object, tmp_path: Path
) -> None:
    hashed = "--require-hashes --only-binary :all: --requirement /requirements.lock"
    assert planned(install, app, tmp_path) == [
        "uv venv --offline --system-site-packages --python /usr/bin/python3 /opt/venv",
        f"/run/online.sh uv pip install --python /opt/venv --no-deps {hashed}",
        "uv build --offline --wheel --out-dir /made /sources",
        "uv pip install --python /opt/venv --no-deps --offline --no-index --find-links /made edge==0.1.0",
    ]
    assert (tmp_path / "requirements.lock").read_text() == (
        "markupsafe==3.0.3 --hash=sha256:aa --hash=sha256:bb\nMsg_Pack==1.2.4 --hash=sha256:cc\n" + NUMPY
    )


def test_a_wheel_takes_the_place_of_its_line(install: ModuleType, app: object, tmp_path: Path) -> None:
    wheel(tmp_path, "msg.pack-9.9-cp313-cp313-linux_riscv64.whl")
    wheel(tmp_path, "MarkupSafe-3.0.3-1build-cp313-cp313-linux_riscv64.whl")
    (tmp_path / "wheels/wheels.tsv").write_text("name\n")
    lines = planned(install, app, tmp_path)
    assert (tmp_path / "requirements.lock").read_text() == NUMPY
    assert lines[1].startswith("/run/online.sh uv pip install")
    assert lines[2].endswith("--offline --no-index --find-links /wheels markupsafe==3.0.3 msg-pack==9.9")


def test_nothing_is_fetched_when_the_wheelhouse_has_all(install: ModuleType, app: object, tmp_path: Path) -> None:
    for name in ("markupsafe-3", "msg_pack-1", "numpy-2"):
        wheel(tmp_path, f"{name}-cp313-cp313-linux_riscv64.whl")
    assert not [line for line in planned(install, app, tmp_path) if "online.sh" in line]


def test_a_uv_lock_is_followed_before_anything_else(install: ModuleType, app: object, tmp_path: Path) -> None:
    (tmp_path / "sources/uv.lock").touch()
    sync = "/run/online.sh uv sync --frozen --no-dev --no-install-project --project /sources"
    assert planned(install, app, tmp_path)[1] == sync
    wheel(tmp_path, "numpy-2.2.4-cp313-cp313-linux_riscv64.whl")
    lines = planned(install, app, tmp_path)
    assert lines[1] == f"{sync} --no-install-package=numpy"
    assert lines[2].endswith("numpy==2.2.4")


def test_an_app_without_a_lock_is_refused(install: ModuleType, app: object, tmp_path: Path) -> None:
    (tmp_path / "sources/requirements.lock").unlink()
    with pytest.raises(SystemExit, match=r"neither a uv\.lock nor a requirements\.lock"):
        planned(install, app, tmp_path)


@pytest.mark.parametrize(
    "line", ["numpy==2.2.4", "numpy>=2 --hash=sha256:aa", "--index-url x", "-r more.txt", "numpy @ file:///x --hash=sha256:aa"]
)
def test_a_line_that_pins_nothing_by_hash_is_refused(install: ModuleType, line: str) -> None:
    with pytest.raises(SystemExit, match="pins nothing by hash"):
        install.without(f"{LOCK}{line}\n", set())


def test_a_wheelhouse_that_is_missing_or_ambiguous_is_refused(install: ModuleType, tmp_path: Path) -> None:
    wheel(tmp_path, "a_b-1-py3-none-any.whl")
    wheel(tmp_path, "a.b-2-py3-none-any.whl")
    with pytest.raises(SystemExit, match="a-b twice: 2 and 1"):
        install.wheelhouse(tmp_path / "wheels")
    wheel(tmp_path, "a.b-2-py3-none-any.whl")
    (tmp_path / "wheels/a.b-2-py3-none-any.whl").rename(tmp_path / "wheels/half.whl")
    with pytest.raises(SystemExit, match="not named as a wheel"):
        install.wheelhouse(tmp_path / "wheels")
    with pytest.raises(SystemExit, match="there is no"):
        install.wheelhouse(tmp_path / "nowhere")


def test_another_mode_or_version_is_refused(install: ModuleType, app: object, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="TORCH_APP_MODE='none' is no mode\nhint: install or all"):
        install.main("0.1.0", "none")
    with pytest.raises(SystemExit, match=r"APP_VERSION=0\.2\.0, but the app says 0\.1\.0"):
        install.read_app(tmp_path / "sources", "0.2.0")


def test_nothing_of_uv_that_bears_a_time_stays_in_the_environment(install: ModuleType, tmp_path: Path) -> None:
    info = tmp_path / "lib/python3.13/site-packages/a-1.dist-info"
    info.mkdir(parents=True)
    (tmp_path / ".lock").touch()
    (info / "uv_cache.json").write_text('{"timestamp": 1}')
    (info / "RECORD").write_text("a.py,sha256=x,1\na-1.dist-info/uv_cache.json,sha256=y,2\na-1.dist-info/RECORD,,\n")
    install.tidy(tmp_path)
    assert (info / "RECORD").read_text() == "a.py,sha256=x,1\na-1.dist-info/RECORD,,\n"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["RECORD"]


def test_the_lock_of_the_app_can_be_read(install: ModuleType) -> None:
    _, names = install.without((ROOT / "linux/app/requirements.lock").read_text(), {"msgpack"})
    assert names == ["markupsafe", "numpy"]


def values() -> dict[str, str]:
    """The keys of versions.env."""
    lines = (ROOT / "versions.env").read_text().splitlines()
    return {key: value for key, _, value in (line.partition("=") for line in lines if re.match(r"[A-Z]", line))}


def test_the_app_is_built_by_the_uv_that_is_pinned() -> None:
    """Its build backend comes with uv; another version would be fetched, without a hash."""
    low, high = re.findall(r"uv_build>=([\d.]+),<([\d.]+)", (ROOT / "linux/app/pyproject.toml").read_text())[0]
    pinned = values()["UV_VERSION"]

    def number(version: str) -> list[int]:
        return [int(part) for part in version.split(".")]

    assert number(low) <= number(pinned) < number(high)
    hashes = (TORCH / "uv-requirements.txt").read_text()
    assert re.findall(r"(?m)^uv==(\S+) ", hashes) == [pinned] * 3
    assert len(set(re.findall(r"--hash=sha256:[0-9a-f]{64}", hashes))) == 3


def run(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TORCH / script, *words], capture_output=True, text=True, check=False)


def test_another_source_of_pytorch_is_refused() -> None:
    done = run("frameworks.sh", "v1.21.0", "pytorch-cpu", "v2.6.0")
    assert (done.returncode, done.stderr) == (1, "error: PYTORCH_EXTRA='pytorch-cpu' is no choice\nhint: distro or none\n")


def test_the_entry_point_gives_its_command_a_path_and_its_status() -> None:
    command = [str(TORCH / "entrypoint.sh"), "bash", "-c", 'echo "$PATH"; exit 7']
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert done.stdout.strip().endswith("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")


def test_the_entry_point_says_what_the_configuration_of_the_image_says() -> None:
    """An exported root file system has lost the configuration; the entry point gives the same again."""
    configured = dict(re.findall(r"(?m)^ENV ((?:GST|LIBCAMERA)_\w+)=(\S+)$", (ROOT / "linux/Dockerfile.package").read_text()))
    offered = dict(re.findall(r"(?m)^offer (\w+) (\S+)$", (TORCH / "entrypoint.sh").read_text()))
    assert configured
    assert offered == configured


def test_certificates_and_proxies_are_in_the_environment_of_the_command_alone(tmp_path: Path) -> None:
    settings = tmp_path / "transport"
    settings.write_text("http_proxy=http://proxy.example:3128\nAPT_MIRROR_URL=http://mirror.example\n")
    online = ROOT / "linux/scripts/01-core/online.sh"
    environment = {"PATH": os.environ["PATH"], "TRANSPORT_FILE": str(settings)}
    done = subprocess.run([online, "env"], env=environment, capture_output=True, text=True, check=True)
    assert "http_proxy=http://proxy.example:3128" in done.stdout.splitlines()
    assert "mirror.example" not in done.stdout
    assert subprocess.run([online, "bash", "-c", "exit 5"], env=environment, check=False).returncode == 5
