"""Lint: what scripts use against what their steps declare and mount."""

from pathlib import Path

import pytest

from stagegraph import dockerfile, lint, script
from stagegraph.lint import Finding
from stagegraph.versions import Entry, Values

HEAD = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS one\n"
MOUNT = "RUN --mount=type=bind,source=scripts/a.sh,target=/run/a.sh /run/a.sh\n"


def findings(root: Path, text: str, **files: str) -> list[Finding]:
    """Lint a Dockerfile; a file is named by its path with ``__`` for a slash and ``_dot_`` for a dot."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / "Dockerfile").write_text(text)
    values = Values({"GCC_VERSION": Entry("16.1.0", 1), "LLVM_RELEASE": Entry("22", 2)})
    return lint.lint(str(root), [dockerfile.read(str(root), "Dockerfile")], values)


def said(found: list[Finding]) -> list[tuple[str, str, int]]:
    return [(finding.code, finding.file, finding.line) for finding in found]


def test_a_script_that_uses_what_its_step_declares(tmp_path: Path) -> None:
    text = f"{HEAD}ARG GCC_VERSION\n{MOUNT}"
    assert findings(tmp_path, text, scripts__a_dot_sh='#!/bin/sh\necho "${GCC_VERSION%%.*}"\n') == []


def test_a_variable_that_is_used_but_not_declared(tmp_path: Path) -> None:
    found = findings(
        tmp_path, HEAD + MOUNT, scripts__a_dot_sh='#!/bin/sh\n# $LLVM_RELEASE\necho "${GCC_VERSION}"\n'
    )
    assert [str(finding) for finding in found] == [
        (
            "scripts/a.sh:3: GCC_VERSION is used here, but step one of Dockerfile does not declare it "
            "[variable-undeclared]\nhint: write ARG GCC_VERSION in that step, above the RUN"
        )
    ]


def test_an_arg_does_not_reach_the_next_step_nor_an_earlier_run(tmp_path: Path) -> None:
    used = '#!/bin/sh\necho "$GCC_VERSION"\n'
    child = f"{HEAD}ARG GCC_VERSION\n{MOUNT}FROM one AS two\n{MOUNT}"
    assert said(findings(tmp_path, child, scripts__a_dot_sh=used)) == [
        ("variable-undeclared", "scripts/a.sh", 2)
    ]
    late = f"{HEAD}{MOUNT}ARG GCC_VERSION\nRUN echo $GCC_VERSION\n"
    assert said(findings(tmp_path, late, scripts__a_dot_sh=used)) == [
        ("variable-undeclared", "scripts/a.sh", 2)
    ]


@pytest.mark.parametrize(
    "given",
    [
        "ENV GCC_VERSION=1\n" + MOUNT,
        "ENV A=1 GCC_VERSION=1\n" + MOUNT,
        "ENV GCC_VERSION 1\n" + MOUNT,
        "ENV GCC_VERSION=1\nFROM one AS two\n" + MOUNT,
        MOUNT.replace(" /run/a.sh\n", " GCC_VERSION=1 /run/a.sh\n"),
        MOUNT.replace(" /run/a.sh\n", " export GCC_VERSION=1 && /run/a.sh\n"),
    ],
)
def test_a_variable_that_is_given_otherwise(tmp_path: Path, given: str) -> None:
    assert findings(tmp_path, HEAD + given, scripts__a_dot_sh="#!/bin/sh\necho $GCC_VERSION\n") == []


def test_instructions_are_checked_too(tmp_path: Path) -> None:
    for line in ("RUN echo $GCC_VERSION\n", "ENV X=${GCC_VERSION}\n", "WORKDIR /opt/$GCC_VERSION\n"):
        assert said(findings(tmp_path, HEAD + line)) == [("variable-undeclared", "Dockerfile", 2)]
    assert findings(tmp_path, HEAD + "RUN echo \\$GCC_VERSION\n") == []
    assert findings(tmp_path, HEAD + "RUN for GCC_VERSION in 1 2; do echo $GCC_VERSION; done\n") == []


def test_the_target_arch_must_be_declared_where_it_is_used(tmp_path: Path) -> None:
    found = findings(tmp_path, HEAD + MOUNT, scripts__a_dot_sh='#!/bin/sh\necho "$TARGET_ARCH"\n')
    assert said(found) == [("variable-undeclared", "scripts/a.sh", 2)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a_dot_py", 'import os\nos.environ["GCC_VERSION"]\n'),
        ("a_dot_py", 'import os\nos.environ.get("GCC_VERSION")\n'),
        ("a_dot_py", "import os\nos.getenv('GCC_VERSION', '')\n"),
        ("a_dot_cmake", "# toolchain\nset(X $ENV{GCC_VERSION})\n"),
        ("a", "#!/usr/bin/env bash\necho $GCC_VERSION\n"),
    ],
)
def test_languages(tmp_path: Path, name: str, content: str) -> None:
    path = f"scripts/{name.replace('_dot_', '.')}"
    text = f"{HEAD}RUN --mount=type=bind,source={path},target=/run/x /run/x\n"
    assert said(findings(tmp_path, text, **{f"scripts__{name}": content})) == [
        ("variable-undeclared", path, 2)
    ]


@pytest.mark.parametrize(
    "line",
    [
        '. "$(dirname "$0")/b.sh"',
        'source "${BASH_SOURCE[0]%/*}/b.sh"',
        'here=$(dirname "${BASH_SOURCE[0]}"); source "$here/b.sh"',
        'HERE="$(cd "$(dirname "$0")" && pwd)"; "${HERE}"/b.sh',
        "/run/b.sh install x",
        ". /run/b.sh",
        "exec bash /run/./b.sh",
    ],
)
def test_a_script_that_is_needed_but_not_mounted(tmp_path: Path, line: str) -> None:
    found = findings(
        tmp_path, HEAD + MOUNT, scripts__a_dot_sh=f"#!/bin/bash\n{line}\n", scripts__b_dot_sh="true\n"
    )
    assert [str(finding) for finding in found] == [
        (
            "scripts/a.sh:2: /run/b.sh is needed here, but step one of Dockerfile neither mounts nor copies it "
            "[script-unmounted]\nhint: add --mount=type=bind,source=…,target=/run/b.sh to the RUN that uses this script"
        )
    ]
    also = MOUNT.replace("RUN ", "RUN --mount=type=bind,source=scripts/b.sh,target=/run/b.sh ")
    assert findings(tmp_path, HEAD + also) == []


def test_a_mounted_directory_brings_its_scripts(tmp_path: Path) -> None:
    text = f"{HEAD}RUN --mount=type=bind,source=scripts,target=/run/s /run/s/a.sh\n"
    script_a = "#!/bin/bash\nsource /run/s/b.sh\nsource /run/s/c.sh\n"
    found = findings(tmp_path, text, scripts__a_dot_sh=script_a, scripts__b_dot_sh="echo $GCC_VERSION\n")
    assert said(found) == [("variable-undeclared", "scripts/b.sh", 1)]
    found = findings(tmp_path, text, other__c_dot_sh="", scripts__b_dot_sh="true\n")
    assert said(found) == []
    (tmp_path / "scripts/a.sh").write_text("#!/bin/bash\nhere=$(dirname $0)\nsource $here/c.sh\n")
    assert said(findings(tmp_path, text)) == [("script-unmounted", "scripts/a.sh", 3)]


def test_a_copied_script_counts_where_it_is_run(tmp_path: Path) -> None:
    scripts = {
        "scripts__a_dot_sh": "echo $GCC_VERSION\n/opt/s/b.sh\n",
        "scripts__b_dot_sh": "echo $LLVM_RELEASE\n",
    }
    copied = f"{HEAD}COPY scripts/a.sh scripts/b.sh /opt/s/\n"
    assert findings(tmp_path, copied + "RUN true\n", **scripts) == []
    for text in (copied, f"{HEAD}COPY scripts /opt/s\n", f"{copied}FROM one AS two\n"):
        assert said(findings(tmp_path, text + "RUN /opt/s/a.sh\n")) == [
            ("variable-undeclared", "scripts/a.sh", 1),
            ("variable-undeclared", "scripts/b.sh", 1),
        ]


def test_a_run_that_calls_what_is_not_there(tmp_path: Path) -> None:
    text = f"{HEAD}RUN --mount=type=bind,source=scripts/a.sh,target=/run/a.sh /run/b.sh\n"
    found = findings(tmp_path, text, scripts__a_dot_sh="true\n", scripts__b_dot_sh="true\n")
    assert said(found) == [("script-unmounted", "Dockerfile", 2)]
    assert findings(tmp_path, text.replace("/run/b.sh", "/etc/profile.sh")) == []


def test_an_imported_sibling_must_be_mounted(tmp_path: Path) -> None:
    text = f"{HEAD}RUN --mount=type=bind,source=scripts/a.py,target=/run/a.py python3 /run/a.py\n"
    content = "import os, elf\nfrom staging import (\n    x,\n)\nimport numpy\n"
    found = findings(
        tmp_path, text, scripts__a_dot_py=content, scripts__elf_dot_py="", scripts__staging_dot_py=""
    )
    assert [(finding.line, finding.message.split()[0]) for finding in found] == [
        (1, "/run/elf.py"),
        (2, "/run/staging.py"),
    ]


def test_a_module_of_a_package_imports_nothing_from_beside_itself(tmp_path: Path) -> None:
    """`import elf` there is another elf than the script of that name."""
    mounts = "--mount=type=bind,source=app,target=/run/app --mount=type=bind,source=scripts/elf.py,target=/run/elf.py"
    text = f"{HEAD}RUN {mounts} python3 /run/elf.py\n"
    files = {"app__edge__a_dot_py": "import elf\n", "scripts__elf_dot_py": ""}
    assert len(findings(tmp_path, text, **files)) == 1
    (tmp_path / "app/edge/__init__.py").touch()
    assert not findings(tmp_path, text, **files)


def test_an_arg_that_nothing_uses_is_a_warning(tmp_path: Path) -> None:
    text = f"{HEAD}ARG GCC_VERSION\nARG LLVM_RELEASE\nARG JOBS\nARG TARGETARCH\n{MOUNT}"
    found = findings(tmp_path, text, scripts__a_dot_sh="echo $LLVM_RELEASE\n")
    assert [str(finding) for finding in found] == [
        (
            "Dockerfile:3: warning: step one declares GCC_VERSION but nothing in it uses it [arg-unused]\n"
            "hint: remove the ARG: its value rebuilds the step for nothing"
        )
    ]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("ENV ROOT=/opt BIN=$ROOT/bin", ["BIN"]),
        ('ENV ROOT="/opt" PATH="${ROOT}/bin:$PATH"', ["PATH"]),
        ("ENV PATH=/opt/bin:$PATH ROOT=/opt", []),
        ("ENV ROOT=/opt\nENV BIN=$ROOT/bin", []),
    ],
)
def test_env_that_uses_itself_is_refused(tmp_path: Path, line: str, wrong: list[str]) -> None:
    found = findings(tmp_path, f"{HEAD}{line}\n")
    assert [finding.code for finding in found] == ["env-order"] * len(wrong)
    assert [finding.message.split()[3] for finding in found] == wrong


def test_one_finding_a_place(tmp_path: Path) -> None:
    found = findings(tmp_path, HEAD + MOUNT + MOUNT, scripts__a_dot_sh="echo $GCC_VERSION $GCC_VERSION\n")
    assert len(found) == 1


@pytest.mark.parametrize(
    ("path", "text", "language"),
    [
        ("a.sh", "", "shell"),
        ("a", "#!/bin/sh\n", "shell"),
        ("a", "#!/usr/bin/env -S bash -e\n", "shell"),
        ("a", "#!/usr/bin/env python3\n", "python"),
        ("a.txt", "x", ""),
        ("CMakeLists.txt", "", "cmake"),
    ],
)
def test_kinds_of_scripts(path: str, text: str, language: str) -> None:
    assert script.kind(path, text) == language
