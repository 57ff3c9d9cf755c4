"""Using the exported SDK as a developer does: programs are compiled in it and run for the target."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from elf_header import MACHINES

from .checkout import profile
from .conftest import ARCHES, Sdk
from .machine import CPUS, Tree, elf_machine, triplet

C = r"""
#include <stdio.h>
#include <math.h>
int main(int count, char **words) { printf("%s %.3f\n", words[count - 1], sqrt(2.0 * count)); return count; }
"""
CXX = r"""
#include <iostream>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
struct Refused : std::runtime_error { using std::runtime_error::runtime_error; };
static int depth(int n) { if (n == 0) throw Refused("bottom"); return depth(n - 1) + 1; }
int main() {
    std::map<int, std::string> caught;
    std::mutex lock;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&, i] {
            try { depth(i * 10); } catch (const Refused &refused) {
                std::lock_guard<std::mutex> held(lock);
                caught[i] = refused.what();
            }
        });
    for (auto &thread : threads) thread.join();
    for (const auto &[i, word] : caught) std::cout << i << word << ' ';
    std::cout << sizeof(void *) << std::endl;
}
"""
LOADER = r"""
#include <stdio.h>
#include <vulkan/vulkan.h>
int main(void) {
    uint32_t version = 0, layers = 99;
    if (vkEnumerateInstanceVersion(&version) || vkEnumerateInstanceLayerProperties(&layers, NULL)) return 1;
    printf("%u.%u.%u %u\n", VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version),
           VK_API_VERSION_PATCH(version), layers);
}
"""
SHADER = """#version 450
layout(location = 0) out vec4 colour;
void main() { colour = vec4(gl_FragCoord.xy, 0.0, 1.0); }
"""

#: Called with the arch's triplet or name.
COMPILERS = {"gcc": ("{triplet}-gcc", "{triplet}-g++"), "clang": ("clang-{arch}", "clang++-{arch}")}


def compilers(arch: str, kind: str) -> tuple[str, ...]:
    return tuple(name.format(arch=arch, triplet=triplet(arch)) for name in COMPILERS[kind])


@pytest.mark.parametrize("target", ARCHES)
@pytest.mark.parametrize("kind", COMPILERS)
def test_c_and_cxx_for_every_target(tree: Tree, kind: str, target: str) -> None:
    cc, cxx = compilers(target, kind)
    (tree.work / "c.c").write_text(C)
    (tree.work / "cxx.cc").write_text(CXX)
    tree.run(cc, "-Wall", "-Werror", "-O2", "/mnt/c.c", "-lm", "-o", "/mnt/c")
    tree.run(cxx, "-Wall", "-Werror", "-O2", "-std=c++20", "-pthread", "/mnt/cxx.cc", "-o", "/mnt/cxx")
    for name in ("c", "cxx"):
        assert elf_machine(tree.work / name) == MACHINES[target], name
    done = tree.call(*tree.emulated(target, "/mnt/c", "word"))
    assert (done.returncode, done.stdout) == (2, "word 2.000\n")
    assert tree.run(*tree.emulated(target, "/mnt/cxx")) == "0bottom 1bottom 2bottom 3bottom 8\n"


@pytest.mark.parametrize("kind", COMPILERS)
def test_a_shared_library_throws_through_its_user(tree: Tree, sdk: Sdk, kind: str) -> None:
    _, cxx = compilers(sdk.arch, kind)
    (tree.work / "part.cc").write_text('#include <string>\nvoid part() { throw std::string("thrown"); }\n')
    (tree.work / "main.cc").write_text(
        "#include <iostream>\n#include <string>\nvoid part();\n"
        "int main() { try { part(); } catch (const std::string &word) { std::cout << word << std::endl; } }\n"
    )
    tree.run(cxx, "-O1", "-fPIC", "-shared", "/mnt/part.cc", "-o", "/mnt/libpart.so")
    tree.run(cxx, "-O1", "/mnt/main.cc", "-L/mnt", "-lpart", "-Wl,-rpath,/mnt", "-o", "/mnt/main")
    assert elf_machine(tree.work / "libpart.so") == MACHINES[sdk.arch]
    assert tree.run(*tree.emulated(sdk.arch, "/mnt/main")) == "thrown\n"


@pytest.mark.parametrize("kind", COMPILERS)
def test_a_program_uses_the_vulkan_loader(tree: Tree, sdk: Sdk, kind: str) -> None:
    cc, _ = compilers(sdk.arch, kind)
    (tree.work / "loader.c").write_text(LOADER)
    prefix = f"{tree.vulkan}/{CPUS[sdk.arch]}"
    flags = tree.run("pkg-config", "--cflags", "--libs", "vulkan", PKG_CONFIG_LIBDIR=f"{prefix}/lib/pkgconfig").split()
    assert f"-L{prefix}/lib" in flags and f"-I{prefix}/include" in flags
    tree.run(cc, "/mnt/loader.c", *flags, f"-Wl,-rpath,{prefix}/lib", "-o", "/mnt/loader")
    assert elf_machine(tree.work / "loader") == MACHINES[sdk.arch]
    wanted = profile()["VULKAN_VERSION"].rsplit(".", 1)[0]
    assert tree.run(*tree.emulated(sdk.arch, "/mnt/loader")) == f"{wanted} 0\n"


def test_the_shader_compiler_runs_for_the_target(tree: Tree, sdk: Sdk) -> None:
    (tree.work / "shader.frag").write_text(SHADER)
    programs = f"{tree.vulkan}/{CPUS[sdk.arch]}/bin"
    made = ["-V", "-Os", "/mnt/shader.frag", "-o", "/mnt/shader.spv"]
    tree.run(*tree.emulated(sdk.arch, f"{programs}/glslang", *made))
    words = (tree.work / "shader.spv").read_bytes()
    assert struct.unpack_from("<I", words)[0] == 0x07230203, "the magic number of SPIR-V"
    assert "OpEntryPoint Fragment" in tree.run(*tree.emulated(sdk.arch, f"{programs}/spirv-dis", "/mnt/shader.spv"))
    (tree.work / "shader.frag").write_text(SHADER.replace("vec4(", "vec5("))
    assert tree.call(*tree.emulated(sdk.arch, f"{programs}/glslang", *made)).returncode != 0


def test_a_cmake_project_finds_the_vulkan_payload(tree: Tree, sdk: Sdk) -> None:
    project = tree.work / "project"
    project.mkdir()
    (project / "main.c").write_text(LOADER)
    (project / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.22)\nproject(user C)\nfind_package(VulkanHeaders CONFIG REQUIRED)\n"
        "find_library(LOADER vulkan REQUIRED)\nadd_executable(user main.c)\n"
        # In the root for its own programs, not for the target's: only amd64 may find it.
        "find_path(HOST crypt.h)\nmessage(STATUS crypt.h=${HOST})\n"
        "target_link_libraries(user Vulkan::Headers ${LOADER})\n"
    )
    prefix = f"{tree.vulkan}/{CPUS[sdk.arch]}"
    said = tree.run(
        *("cmake", "-G", "Ninja", "-S", "/mnt/project", "-B", "/mnt/build", f"-DCMAKE_PREFIX_PATH={prefix}"),
        f"-DCMAKE_TOOLCHAIN_FILE={tree.gcc}/share/cmake/toolchain-{sdk.arch}.cmake",
        CROSS_PREFIX=prefix,
    )
    assert (tree.root / "usr/include/crypt.h").is_file(), "the root has no header to be wrongly found"
    assert "crypt.h=HOST-NOTFOUND" in said, said
    tree.run("cmake", "--build", "/mnt/build")
    assert elf_machine(Path(tree.work, "build/user")) == MACHINES[sdk.arch]
    wanted = profile()["VULKAN_VERSION"].rsplit(".", 1)[0]
    assert tree.run(*tree.emulated(sdk.arch, "/mnt/build/user")) == f"{wanted} 0\n"


def test_what_only_the_build_image_has_is_not_found(tree: Tree, sdk: Sdk) -> None:
    """A cross compiler that looks into its host's folders would take the host's header for the target's."""
    (tree.work / "host.c").write_text("#include <crypt.h>\nint main(void) { return 0; }\n")
    done = tree.call(f"{triplet(sdk.arch)}-gcc", "/mnt/host.c", "-o", "/mnt/host")
    if sdk.arch == "amd64":
        assert done.returncode == 0, done.stdout
    else:
        assert done.returncode != 0 and "crypt.h: No such file" in done.stdout, done.stdout
        assert tree.call(f"{triplet(sdk.arch)}-pkg-config", "--exists", "libcrypt").returncode != 0


def test_licences_travel_with_what_they_are_for(tree: Tree, sdk: Sdk) -> None:
    versions = profile()
    for tree_of in (
        f"opt/gcc-{versions['GCC_VERSION']}",
        f"opt/gcc-{versions['GCC_VERSION']}-native-{sdk.arch}",
        f"opt/llvm-{versions['LLVM_RELEASE']}",
        "opt/llvm-target",
        f"opt/python-cross/{sdk.arch}/usr/local",
        "usr/local",  # the emulators
    ):
        found = list((sdk.rootfs / tree_of / "share/licenses").glob("*/copyright"))
        assert found and all(path.stat().st_size for path in found), tree_of
    vulkan = sdk.rootfs / f"opt/vulkan/{versions['VULKAN_VERSION']}" / CPUS[sdk.arch] / "share/licenses"
    names = {"vulkan-headers", "vulkan-loader", "spirv-headers", "spirv-tools", "glslang"}
    assert {path.name for path in vulkan.iterdir()} == names
    assert all((vulkan / name / "version").read_text().startswith(f"{name} ") for name in names)
