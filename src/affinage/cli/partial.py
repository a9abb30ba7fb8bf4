"""A result file that grows in `F.part` and appears as `F` when it is whole; a killed job goes on where it stopped."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from affinage.data.records import digest
from affinage.errors import InputError
from affinage.files import write_bytes, writing

FORMATS = (".jsonl", ".csv", ".parquet")


class PartialFile:
    """Lines of JSON, the first of which says what job they belong to.

    Args:
        out: the final file; its extension decides the format.
        about: whatever the lines depend on: another job does not go on with them.

    Raises:
        InputError: `out` exists, cannot be written, or has an unknown extension.
    """

    def __init__(self, out: Path, about: dict[str, Any], *, overwrite: bool) -> None:
        if out.suffix.lower() not in FORMATS:
            kind = out.suffix or "a file without extension"
            raise InputError(f"{out}: cannot write {kind}", fix=f"one of {', '.join(FORMATS)}")
        if out.is_dir() or (out.exists() and not overwrite):
            raise InputError(f"{out} exists", fix="name another --out, or replace it with --overwrite")
        if not out.parent.is_dir():
            raise InputError(f"{out.parent}: no such folder", fix="make it first, or name another --out")
        self.out = out
        self.path = out.with_name(out.name + ".part")
        self.header = {"job": digest(orjson.loads(orjson.dumps(about)))}
        self.count = 0

    def resume(self, ids: Sequence[str]) -> int:
        """How many rows are done already; a line cut short by a kill is cut off.

        Args:
            ids: of all rows, in order.

        Raises:
            InputError: the part belongs to another job or to other rows.
        """
        lines = self._lines() if self.path.exists() else []
        if not lines:
            with writing(self.path):
                self.path.write_bytes(orjson.dumps(self.header) + b"\n")
            return 0
        if lines[0] != self.header or [line.get("id") for line in lines[1:]] != list(ids[: len(lines) - 1]):
            raise InputError(f"{self.path} is left from another job", fix="delete it, or name another --out")
        self.count = len(lines) - 1
        return self.count

    def append(self, lines: Sequence[dict[str, Any]]) -> int:
        """Write lines through to the disk; how many rows are done."""
        raw = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
        with writing(self.path), self.path.open("ab") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        self.count += len(lines)
        return self.count

    def finish(self) -> list[dict[str, Any]]:
        """Write the final file, remove the part, and hand the lines back."""
        lines = self._lines()[1:]
        write_bytes(self.out, encoded(lines, self.out.suffix.lower()))
        self.path.unlink()
        return lines

    def _lines(self) -> list[dict[str, Any]]:
        """The whole lines; what follows the last line end is cut off on disk as well."""
        raw = self.path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):
            with writing(self.path), self.path.open("r+b") as file:
                file.truncate(len(whole))
        try:
            return [orjson.loads(line) for line in whole.splitlines()]
        except orjson.JSONDecodeError:
            raise InputError(f"{self.path} is damaged", fix="delete it and start again") from None


def encoded(lines: Sequence[dict[str, Any]], suffix: str) -> bytes:
    """The lines in the format that `suffix` names; in CSV, lists and mappings stand as JSON."""
    if suffix == ".jsonl":
        return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
    names = list(dict.fromkeys(name for line in lines for name in line))
    if suffix == ".csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, names)
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in line.items()} for line in lines)
        return text.getvalue().encode()
    import pyarrow as pa
    import pyarrow.parquet as pq

    mixed = {n for n in names if len({type(line[n]) for line in lines if line.get(n) is not None}) > 1}
    columns = {n: [_cell(line.get(n)) if n in mixed else line.get(n) for line in lines] for n in names}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _cell(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value
