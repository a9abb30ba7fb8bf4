"""The files of a job: rows, ledger and journal, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from affinage.errors import InputError
from affinage.files import write_bytes, write_json


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a job writes: `F.jsonl`, `F.ledger.json`, `F.journal`.

    Raises:
        InputError: `rows` exists, is no .jsonl file, or its folder does not exist.
    """

    rows: Path
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.rows.suffix.lower() != ".jsonl":
            raise InputError(f"{self.rows}: rows are written as JSON lines", fix="let --out end in .jsonl")
        if self.rows.is_dir() or (self.rows.exists() and not self.overwrite):
            raise InputError(
                f"{self.rows} exists",
                fix="name another --out, or replace it with --overwrite (calls in its journal are not paid again)",
            )
        if not self.rows.parent.is_dir():
            raise InputError(f"{self.rows.parent}: no such folder", fix="make it first, or name another --out")

    @property
    def ledger(self) -> Path:
        return self.rows.with_suffix(".ledger.json")

    @property
    def journal(self) -> Path:
        return self.rows.with_suffix(".journal")

    def write(self, rows: Sequence[dict[str, Any]], ledger: dict[str, Any]) -> None:
        """The ledger always, the rows if there are any; each file appears whole or not at all."""
        write_json(self.ledger, {"schema": 1, **ledger})
        if rows:
            write_bytes(self.rows, b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
