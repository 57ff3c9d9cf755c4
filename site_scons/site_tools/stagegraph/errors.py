"""Errors that a user can act on.

Every error the tool reports on purpose is a ``UserError``: one sentence that names the thing and its value, where
it stands, and what to do about it. Its code names a page in docs/errors/. Anything else that escapes is a bug and
keeps its traceback.
"""

from __future__ import annotations

import errno
import sys


class UserError(Exception):
    """A mistake or condition that the user can mend.

    code:    the name of the page docs/errors/<code>.md, in kebab-case
    message: one sentence with the offending value, without a full stop
    hint:    what to do, one sentence, without a full stop; empty when there is nothing to add
    file:    the file the error stands in, relative to the project's root where it can be
    line:    1-based line in that file, 0 when it has none
    """

    def __init__(self, code: str, message: str, *, hint: str = "", file: str = "", line: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.file = file
        self.line = line

    def __str__(self) -> str:
        """The text as it is shown, its hint on a line of its own."""
        where = ""
        if self.file:
            where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        text = f"{where}{self.message} [{self.code}]"
        return f"{text}\nhint: {self.hint}" if self.hint else text


def from_os_error(problem: OSError) -> UserError:
    """What the system refused, as an error for the user: disk-full or file-failed."""
    what = f"'{problem.filename}'" if problem.filename else "a file"
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError("disk-full", f"{what} cannot be written: {problem.strerror}", hint="free space on that disk")
    hint = "check that it is there and its rights, and those of the directories above"
    return UserError("file-failed", f"{what}: {problem.strerror or problem}", hint=hint)


#: Modules that are not part of SCons, by their names on import → in requirements.txt.
REQUIRED = {"e2b_dockerfile_utils": "e2b-dockerfile-utils", "packaging": "packaging"}


def from_missing_module(problem: ModuleNotFoundError) -> UserError:
    """A module of requirements.txt that is not installed, as an error for the user; raises any other again."""
    if problem.name not in REQUIRED:
        raise problem
    return UserError(
        "requirements-missing",
        f"the Python that runs scons has no {REQUIRED[problem.name]}: '{sys.executable}'",
        hint=f"run '{sys.executable} -m pip install --require-hashes -r requirements.txt', or use ./sconsw",
    )
