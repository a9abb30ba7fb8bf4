"""Forgetting: what a run costs on general text that it did not learn from."""

from __future__ import annotations

import math
from importlib import resources
from typing import Any, Literal

import orjson

from affinage.data.records import Source, Text
from affinage.evaluation.intervals import paired
from affinage.evaluation.language import LanguageScores

GENERAL = "general.jsonl"


def general_records(part: Literal["measure", "replay", "watch"] = "measure") -> list[Text]:
    """The bundled general passages, in file order; sources and licences stand in the file.

    Two thirds are only ever scored, for the reported figure. Of the others most may be replayed in training; some are
    watched while a run with a forgetting budget chooses its checkpoint.
    """
    lines = resources.files("affinage").joinpath("examples", GENERAL).read_bytes().splitlines()
    rows = [(number, orjson.loads(line)) for number, line in enumerate(lines, start=1) if line.strip()]
    texts = [Text(text=row["text"], source=Source(f"affinage:{GENERAL}", str(number))) for number, row in rows]
    return [text for number, text in enumerate(texts) if _part(number) == part]


def _part(number: int) -> str:
    if number % 3 != 2:
        return "measure"
    return "watch" if number % 9 == 5 else "replay"


def forgetting(before: LanguageScores, after: LanguageScores) -> dict[str, Any]:
    """Bits per byte of general text before and after, and the paired difference (above 0: something was forgotten).

    Raises:
        ValueError: the rows differ, or none knows its bytes.
    """
    first, second = before.bits_per_byte, after.bits_per_byte
    if first is None or second is None:
        raise ValueError("forgetting is measured per byte, and no row knows its bytes")
    change = paired(before.nll_R / math.log(2), after.nll_R / math.log(2), before.bytes_R)
    return {
        "metric": "bits_per_byte",
        "before": first.to_json(),
        "after": second.to_json(),
        "difference": change.difference.to_json(),
        "p": change.p,
        "rows": change.rows,
    }
