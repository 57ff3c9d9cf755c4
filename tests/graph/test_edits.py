"""Which edit rebuilds which nodes."""

from __future__ import annotations

from .project import EVERYTHING, Project


def test_everything_then_nothing(project: Project) -> None:
    assert project.builds() == EVERYTHING
    project.is_quiet()


def test_scons_keeps_no_database(project: Project) -> None:
    """Everything is decided from the records, so SCons has nothing to write down; the project stays clean."""
    project.good()
    project.good("sdk")
    project.good("-c")
    made = {path.name for path in project.path.iterdir()}
    assert made == {"SConstruct", "versions.env", "profiles", "patches", "scripts", "out"} | {
        f"Dockerfile.{name}" for name in ("base", "compiler", "sdk")
    }
