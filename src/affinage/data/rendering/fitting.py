"""What becomes of rows that are longer than the context, or have nothing to learn from."""

from __future__ import annotations

from typing import Literal

from affinage.data.ledger import Drop
from affinage.data.records import Record, Source
from affinage.errors import InputError

_NAMED = 5  # too-long rows that a message names


class Fitting:
    """Admits rows to a context and keeps account of those that do not fit.

    Args:
        context: longest row in tokens.
        too_long: what becomes of a longer one.
    """

    def __init__(self, context: int, too_long: Literal["error", "truncate", "drop"]) -> None:
        self.context = context
        self.too_long = too_long
        self.drops: list[Drop] = []
        self._excess: list[tuple[Source, int]] = []

    def admits(self, record: Record, length: int) -> bool:
        """Whether a row of `length` tokens stays (to be cut, if it is too long)."""
        if length <= self.context or self.too_long == "truncate":
            return True
        if self.too_long == "drop":
            self.drop(record, "too-long", f"{length} tokens, the context is {self.context}")
        else:
            self._excess.append((record.source, length))
        return False

    def drop(self, record: Record, reason: str, detail: str = "") -> None:
        """Leave `record` out, counted."""
        self.drops.append(Drop(reason, record.source, detail, record.id))

    def check(self, total: int) -> None:
        """Of `total` rows, none may have been too long where that is an error.

        Raises:
            InputError: names how many were, the first of them, and the three ways out.
        """
        if not self._excess:
            return
        named = ", ".join(f"{source} ({length:,} tokens)" for source, length in self._excess[:_NAMED])
        more = f" and {len(self._excess) - _NAMED:,} more" if len(self._excess) > _NAMED else ""
        longest = max(length for _, length in self._excess)
        raise InputError(
            f"{len(self._excess):,} of {total:,} rows are longer than the context of {self.context:,} tokens: "
            f"{named}{more}",
            fix=f"--set context={longest} if the model allows it, --set too_long=truncate (cut from the end, counted), "
            "or --set too_long=drop (left out, counted)",
        )
