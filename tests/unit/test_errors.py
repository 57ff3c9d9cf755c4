"""Errors for the user: how they are shown, and what becomes one."""

from __future__ import annotations

import errno

import pytest

from stagegraph.errors import UserError, from_missing_module, from_os_error


def test_text_has_place_code_and_hint() -> None:
    problem = UserError("arg-drift", "ARG X is 1", hint="make them equal", file="Dockerfile", line=7)
    assert str(problem) == "Dockerfile:7: ARG X is 1 [arg-drift]\nhint: make them equal"
    assert str(UserError("arg-drift", "ARG X is 1")) == "ARG X is 1 [arg-drift]"


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "disk-full"), (errno.EDQUOT, "disk-full"), (errno.EACCES, "file-failed")]
)
def test_refusal_of_the_system(number: int, code: str) -> None:
    problem = from_os_error(OSError(number, "no", "out/x"))
    assert problem.code == code
    assert "'out/x'" in problem.message


def test_missing_requirement_names_the_pip_line() -> None:
    problem = from_missing_module(ModuleNotFoundError("no", name="e2b_dockerfile_utils"))
    assert problem.code == "requirements-missing"
    assert "-m pip install --require-hashes -r requirements.txt" in problem.hint


def test_other_missing_module_is_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError):
        from_missing_module(ModuleNotFoundError("no", name="stagegraph.nonsense"))
