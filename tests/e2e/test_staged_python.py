"""Fix 1 and fix 3 on the real trees of /opt/python-cross, and that each check is red where its fix is undone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from elf_header import MACHINES

from .checkout import TOP, profile
from .conftest import ARCHES
from .machine import CPUS, Tree, elf_machine, host_mirror, triplet

SERIES = profile()["PYTHON_VERSION"].rpartition(".")[0]

#: What fix 3 has to save: modules that a cross build of the chain imports.
MODULES = ("_struct", "math", "_csv", "_json", "_bz2", "_ctypes", "_decimal", "_hashlib", "_lzma", "_sqlite3", "_ssl", "mmap", "zlib")


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """For each arch a directory with the C library and what Python's modules link to; unpacked, never installed."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not installed; ./sconsw setup installs it")
    mirror = host_mirror()
    found = {}
    for arch in ARCHES:
        found[arch] = tmp_path_factory.mktemp(f"libraries-{arch}") / "root"
        subprocess.run(
            [
                *("mmdebstrap", "--quiet", "--variant=extract", f"--architectures={arch}", "--skip=check/qemu"),
                *(f"--include=base-files,libpython{SERIES}", "stable", str(found[arch]), mirror),
            ],
            check=True,
        )
        # Tests copy the tree; a copy of /dev/zero would fill the disk.
        shutil.rmtree(found[arch] / "dev")
        for name in ("lib", "lib64"):
            if not (found[arch] / name).exists() and (found[arch] / "usr" / name).is_dir():
                (found[arch] / name).symlink_to(f"usr/{name}")
    yield found
    for root in found.values():
        shutil.rmtree(root)


@pytest.fixture
def staged(tree: Tree, target: str) -> Iterator[Tree]:
    """The tree, with a copy of the staged interpreter of ``target`` and of the chain's scripts at /mnt."""
    shutil.copytree(tree.root / "opt/python-cross" / target, tree.work / "python-cross" / target, symlinks=True)
    for folder in ("01-core", "02-toolchain"):
        shutil.copytree(TOP / "linux/scripts" / folder, tree.work / "scripts", dirs_exist_ok=True)
    yield tree
    shutil.rmtree(tree.work)  # pytest would keep it for three more test runs


def check(tree: Tree, arch: str, call: str) -> subprocess.CompletedProcess[str]:
    """Apply a check of the chain's own scripts to the copied tree of an arch."""
    code = f"""if True:
        import sys
        from pathlib import Path
        sys.path.insert(0, "/mnt/scripts")
        import python_dynload, python_pc, stage_python
        prefix = Path("/mnt/python-cross/{arch}/usr/local")
        {call}
    """
    return tree.call("python3", "-B", "-c", code)


CHECK_PC = f'stage_python.check_pc(prefix, "{SERIES}")'
CHECK_LINKS = "python_dynload.check_staged(prefix)"


@pytest.mark.parametrize("target", ARCHES)
def test_pkg_config_stays_in_the_tree_wherever_it_lies(staged: Tree, target: str) -> None:
    for place in (f"/opt/python-cross/{target}/usr/local", f"/mnt/python-cross/{target}/usr/local"):
        for name in ("python3", "python3-embed", f"python-{SERIES}", f"python-{SERIES}-embed"):
            said = staged.run("pkg-config", "--cflags", "--libs", name, PKG_CONFIG_LIBDIR=f"{place}/lib/pkgconfig")
            folders = re.findall(r"-[IL](\S+)", said)
            assert folders, said
            for folder in folders:
                outside = staged.run("realpath", folder).strip()
                assert outside.startswith(f"{place}/"), f"{name}: {folder}"
    assert check(staged, target, CHECK_PC).returncode == 0


@pytest.mark.parametrize("target", ARCHES)
def test_without_fix_1_the_check_is_red(staged: Tree, target: str) -> None:
    pc = staged.work / f"python-cross/{target}/usr/local/lib/pkgconfig/python-{SERIES}-embed.pc"
    fixed = pc.read_text()
    assert "\nprefix=${pcfiledir}/../..\n" in f"\n{fixed}"
    pc.write_text(re.sub(r"(?m)^prefix=.*$", "prefix=/usr", fixed))
    done = check(staged, target, CHECK_PC)
    assert done.returncode != 0 and "outside" in done.stdout, done.stdout
    again = check(staged, target, f'python_pc.fix_pc_files(prefix / "lib/pkgconfig"); {CHECK_PC}')
    assert again.returncode == 0, again.stdout
    assert pc.read_text() == fixed


@pytest.mark.parametrize("target", ARCHES)
def test_no_link_dangles_and_modules_are_real_files_of_the_target(staged: Tree, target: str) -> None:
    prefix = staged.root / f"opt/python-cross/{target}"
    for folder, folders, names in os.walk(prefix):
        for path in (Path(folder, name) for name in [*folders, *names]):
            if path.is_symlink():
                end = path.resolve()
                assert end.exists() and end.is_relative_to(prefix), f"{path} leads to {os.readlink(path)}"
    modules = list((prefix / f"usr/local/lib/python{SERIES}/lib-dynload").glob("*.so"))
    assert len(modules) > 20
    assert [path for path in modules if path.is_symlink() or elf_machine(path) != MACHINES[target]] == []
    assert check(staged, target, CHECK_LINKS).returncode == 0


@pytest.mark.parametrize("target", ARCHES)
def test_what_a_build_asks_of_python_leads_into_the_tree(staged: Tree, target: str) -> None:
    prefix = f"/mnt/python-cross/{target}/usr/local"
    said = staged.run("sh", f"{prefix}/bin/python3-config", "--includes", "--ldflags", "--embed")
    folders = re.findall(r"-[IL](\S+)", said)
    assert folders and all(folder.startswith(prefix) for folder in folders), said
    data = staged.work / f"python-cross/{target}/usr/local/lib/python{SERIES}/_sysconfigdata__linux_{triplet(target)}.py"
    place = f"/opt/python-cross/{target}/usr/local"
    assert f"'INCLUDEPY': '{place}/include/python{SERIES}'" in data.read_text()
    assert f"'LIBDIR': '{place}/lib'" in data.read_text()
    assert "/usr/share/zoneinfo" in data.read_text(), "what the running interpreter needs of its root"
    data.write_text(data.read_text().replace(f"'LIBDIR': '{place}/lib'", f"'LIBDIR': '/usr/lib/{triplet(target)}'"))
    call = f'import python_sysconfig; print(python_sysconfig.host_paths(Path("{prefix}/lib/python{SERIES}/{data.name}").read_text()))'
    assert f"/usr/lib/{triplet(target)}" in check(staged, target, call).stdout


def interpreter(tree: Tree, target: str, code: str, prefix: str) -> subprocess.CompletedProcess[str]:
    """Run code by the target's own Python, with the libraries at /mnt/root."""
    program = f"{prefix}/bin/python3"
    emulator = [] if target == "amd64" else [f"/usr/local/bin/qemu-{CPUS[target]}", "-L", "/mnt/root"]
    return tree.call(*emulator, program, "-B", "-I", "-c", code)


@pytest.mark.parametrize("target", ARCHES)
def test_the_targets_python_runs_and_imports_the_safety_net(
    tree: Tree, target: str, libraries: dict[str, Path]
) -> None:
    tree = Tree(tree.root, libraries[target].parent, profile())
    code = f"import {', '.join(MODULES)}, platform, sys; print(platform.python_version(), platform.machine(), sys.prefix)"
    prefix = f"/opt/python-cross/{target}/usr/local"
    done = interpreter(tree, target, code, prefix)
    assert done.returncode == 0, done.stdout
    assert done.stdout == f"{profile()['PYTHON_VERSION']} {CPUS[target]} {prefix}\n"


@pytest.mark.parametrize("target", ARCHES)
def test_without_fix_3_the_check_and_the_import_are_red(
    staged: Tree, target: str, libraries: dict[str, Path]
) -> None:
    shutil.copytree(libraries[target], staged.work / "root", symlinks=True, copy_function=os.link)
    folder = staged.work / f"python-cross/{target}/usr/local/lib/python{SERIES}/lib-dynload"
    module = folder / f"_bz2.cpython-{SERIES.replace('.', '')}-{triplet(target)}.so"
    assert module.is_file()
    module.unlink()
    module.symlink_to(f"../../../Modules/{module.name}")
    done = check(staged, target, CHECK_LINKS)
    assert done.returncode != 0 and f"{module.name} leads nowhere" in done.stdout, done.stdout
    ran = interpreter(staged, target, "import _bz2", f"/mnt/python-cross/{target}/usr/local")
    assert ran.returncode != 0 and "ModuleNotFoundError" in ran.stdout, ran.stdout
    # The copying itself refuses such a folder, unless the safety net holds the module.
    net = staged.work / "net"
    net.mkdir()
    stage = f'python_dynload.stage_modules([Path("/mnt/python-cross/{target}/usr/local/lib/python{SERIES}/lib-dynload"), Path("/mnt/net")], Path("/mnt/out"))'
    refused = check(staged, target, stage)
    assert refused.returncode != 0 and "leads nowhere" in refused.stdout, refused.stdout
    shutil.copy(staged.root / f"opt/python-cross/{target}/usr/local/lib/python{SERIES}/lib-dynload" / module.name, net)
    saved = check(staged, target, stage)
    assert saved.returncode == 0, saved.stdout
    copied = staged.work / "out" / module.name
    assert copied.is_file() and not copied.is_symlink()
