"""Why a candidate cannot be made, as an error on the way to it."""

from __future__ import annotations

from typing import ClassVar


class CandidateError(Exception):
    """The candidate is dropped at `stage`; `reason` is the word under which it is counted there."""

    stage: ClassVar[str]

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
