"""The ledger: what became of every row that was read, and the rows that were dropped."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from affinage.data.records import Source
from affinage.errors import InputError, RunError
from affinage.files import write_bytes

BadRows = Literal["error", "drop"]

# Damage that a person should look at before anything is learned; all other reasons are dropped and counted.
DAMAGE = frozenset({"malformed", "wrong-type", "missing-column", "not-text"})


@dataclass(frozen=True, slots=True)
class Drop:
    """One row that is not learned from, and why.

    Reasons: `malformed`, `wrong-type`, `missing-column`, `not-text`, `empty-text`, `empty-label`, `empty-prompt`,
    `empty-response`, `bad-role-order`, `tool-calls` (calls that cannot be read), `chosen-equals-rejected`,
    `not-comparable`, `duplicate`, and those of documents (`unreadable`, `encrypted`, `no-text`, `near-duplicate`) and of
    later stages.
    """

    reason: str
    source: Source
    detail: str = ""
    record_id: str = ""

    def settle(self, bad_rows: BadRows) -> Drop:
        """The drop itself where it may be counted.

        Raises:
            InputError: the row is damaged and `bad_rows` is `"error"`.
        """
        if bad_rows == "drop" or self.reason not in DAMAGE:
            return self
        raise InputError(
            f"{self.source}: {self.detail or self.reason}",
            fix="correct the row, or leave such rows out, counted, with --set bad_rows=drop",
        )


@dataclass(slots=True)
class Ledger:
    """read = trained + not_reached + validation + held_out + sum(dropped); tokens stand beside it."""

    read: int = 0
    trained: int = 0
    not_reached: int = 0
    validation: int = 0
    held_out: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    truncated_tokens: int = 0
    tokens: int = 0
    learned_tokens: int = 0

    def drop(self, drops: Iterable[Drop]) -> None:
        """Count `drops` under their reasons."""
        for reason, count in Counter(drop.reason for drop in drops).items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    @property
    def accounted(self) -> int:
        """Rows whose fate is known."""
        return self.trained + self.not_reached + self.validation + self.held_out + sum(self.dropped.values())

    def adds_up(self) -> bool:
        return self.read == self.accounted

    def check(self) -> None:
        """Raises:
        RunError: rows are missing, or counted twice.
        """
        if not self.adds_up():
            raise RunError(
                f"the ledger does not add up: {self.read} rows read, {self.accounted} accounted for\n"
                + "\n".join(self.lines()),
                fix="this is a fault in affinage, not in the data; please report it with ledger.json",
            )

    def to_json(self) -> dict[str, Any]:
        """The content of `ledger.json`."""
        return {
            "schema": 1,
            "read": self.read,
            "trained": self.trained,
            "not_reached": self.not_reached,
            "validation": self.validation,
            "held_out": self.held_out,
            "dropped": dict(sorted(self.dropped.items())),
            "truncated_tokens": self.truncated_tokens,
            "tokens": self.tokens,
            "learned_tokens": self.learned_tokens,
        }

    def lines(self) -> list[str]:
        """The ledger for people: two or three lines."""
        rows = (
            f"{self.read:,} rows read = {self.trained:,} trained + {self.not_reached:,} not reached"
            f" + {self.validation:,} validation + {self.held_out:,} held out + {sum(self.dropped.values()):,} dropped"
        )
        tokens = f"{self.tokens:,} tokens, {self.learned_tokens:,} learned from, {self.truncated_tokens:,} truncated"
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(self.dropped.items()))
        return [rows, f"dropped: {reasons}", tokens] if reasons else [rows, tokens]

    def _repr_html_(self) -> str:
        shown = {key: value for key, value in self.to_json().items() if key not in ("schema", "dropped")}
        shown |= {f"dropped: {reason}": count for reason, count in sorted(self.dropped.items())}
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(key.replace('_', ' '))}</th>"
            f"<td style='text-align:right'>{value:,}</td></tr>"
            for key, value in shown.items()
        )
        return f"<table>{cells}</table>"


def write_dropped(path: Path, drops: Iterable[Drop]) -> None:
    """`drops` as JSON lines {id, source, reason, detail}; the file appears whole or not at all.

    Raises:
        RunError: the file cannot be written.
    """
    rows = ({"id": d.record_id, "source": str(d.source), "reason": d.reason, "detail": d.detail} for d in drops)
    write_bytes(path, b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
