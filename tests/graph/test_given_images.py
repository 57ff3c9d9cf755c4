"""Images that are given by name or as a layout: taken when they are what was asked for, and refused for another platform."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import quote

from .project import Project, write_root


def in_registry(project: Project, reference: str) -> Path:
    """Where the engine finds the image that it pulls by this name."""
    return project.store / "root" / "registry" / quote(reference, safe="")


def test_root_image_by_digest(project: Project) -> None:
    reference = "example.test/root@sha256:" + "1" * 64
    write_root(in_registry(project, reference))
    assert project.builds(f"ROOT_IMAGE={reference}", "base") == {"bootstrap-amd64", "base"}
    project.is_quiet(f"ROOT_IMAGE={reference}", "base")


def test_root_image_by_digest_for_another_platform(project: Project) -> None:
    """An engine pulls it with a warning, and would mark every child with the platform it is told."""
    reference = "example.test/root@sha256:" + "2" * 64
    write_root(in_registry(project, reference), architecture="arm64")
    text = project.fails(f"ROOT_IMAGE={reference}", "base", code="parent-platform").text
    assert f"bootstrap-amd64 is built for linux/amd64, but '{reference}' is an image for linux/arm64" in text
    assert not (project.path / "out/images").exists() or not list((project.path / "out/images").rglob("*.json"))


def test_root_image_at_another_place(built: Project, place: Path) -> None:
    """The digest is signed, not where the layout lies."""
    other = place / "elsewhere" / "my root"
    shutil.copytree(built.root, other)
    assert built.builds(env={"ROOT_IMAGE": f"oci:{other}"}) == set()


def test_root_image_by_relative_path(built: Project) -> None:
    relative = os.path.relpath(built.root, built.path)
    assert built.builds(env={"ROOT_IMAGE": f"oci:{relative}"}) == set()


def test_root_of_another_platform(project: Project, place: Path) -> None:
    write_root(place / "arm-root", architecture="arm64")
    project.fails(f"ROOT_IMAGE=oci:{place}/arm-root", "base", code="layout-platform")


def test_image_pinned_by_digest_is_fetched(project: Project) -> None:
    reference = "example.test/tools@sha256:" + "1" * 64
    project.replace("Dockerfile.compiler", "COPY --from=clang", f"COPY --from={reference} /etc /opt/tools\nCOPY --from=clang")
    assert "not found" in project.scons("compiler").text
    write_root(in_registry(project, reference), "tools")
    assert "compiler" in project.builds("compiler")
    tree = project.engine.tree(project.image("compiler"))
    assert any(path.endswith("opt/tools/os-release") for path in tree), sorted(tree)
    project.is_quiet("compiler")


def test_image_pinned_by_digest_for_another_platform(project: Project) -> None:
    reference = "example.test/tools@sha256:" + "1" * 64
    project.replace("Dockerfile.compiler", "COPY --from=clang", f"COPY --from={reference} /etc /opt/tools\nCOPY --from=clang")
    write_root(in_registry(project, reference), architecture="riscv64")
    for _ in range(2):  # it is in the store now, and is no better for it
        text = project.fails("compiler", code="parent-platform").text
        assert f"compiler is built for linux/amd64, but '{reference}' is an image for linux/riscv64" in text
