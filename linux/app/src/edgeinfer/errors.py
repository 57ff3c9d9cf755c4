"""The one error that a user sees."""

from __future__ import annotations


class AppError(Exception):
    """Something that the user can mend: a sentence that names the thing and its value, and a hint what to do."""

    def __init__(self, sentence: str, hint: str) -> None:
        super().__init__(sentence)
        self.hint = hint
