"""One family of messages: what is wrong, where, and what to do about it.

Every error that a person can cause is an `AffinageError`; the command line prints it without a traceback and
leaves with its `exit_code` (2: the input or recipe is wrong, 1: something failed on the way, 3: a gate said no).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AffinageError(Exception):
    """Something a person can act on. `message` says what and where, `fix` what to do."""

    exit_code = 1

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.fix}" if self.fix else self.message


class InputError(AffinageError):
    """The data, the recipe or the command is wrong (exit code 2)."""

    exit_code = 2


class RunError(AffinageError):
    """The work itself failed: no memory, a full disk, a loss that is not a number (exit code 1)."""

    exit_code = 1


class GateError(AffinageError):
    """A proof or a budget did not hold, so nothing was handed out (exit code 3)."""

    exit_code = 3


def nearest(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'rank'?"` for a near miss, else an empty string."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {found[0]!r}?" if found else ""
