"""What a command says: words and tables for people, one JSON object for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="End with one JSON object on stdout; all words go to stderr.")]


def print_json(value: dict[str, Any]) -> None:
    """`value` as the one JSON line on stdout, its schema number in front."""
    import orjson

    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    sys.stdout.write(orjson.dumps({"schema": 1, **value}, default=str, option=options).decode() + "\n")
    sys.stdout.flush()


class Screen:
    """Where a command's words go: stdout, or stderr when a program reads stdout."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.file = sys.stderr if as_json else sys.stdout

    def say(self, text: str = "") -> None:
        print(text, file=self.file)

    def pairs(self, rows: Sequence[tuple[str, str]]) -> None:
        """Headings and texts in two columns."""
        wide = max((len(name) for name, _ in rows), default=0)
        for name, text in rows:
            self.say(f"  {name:<{wide}}  {text}")

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as their widest cell; the last one is not padded."""
        cells = [list(heads), *[list(row) for row in rows]]
        widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
        for row in cells:
            self.say("  ".join(f"{cell:<{wide}}" for cell, wide in zip(row, widths, strict=True)).rstrip())


def figure(value: Any) -> str:
    """`0.812 [0.780, 0.841]` of a `{"value", "low", "high"}`; `-` where there is none."""
    if not isinstance(value, dict) or value.get("value") is None:
        return "-"
    low, high = value.get("low"), value.get("high")
    if low is None and high is None:
        return f"{value['value']:.4g}"
    shown = [f"{bound:.4g}" if bound is not None else "?" for bound in (low, high)]
    return f"{value['value']:.4g} [{shown[0]}, {shown[1]}]"
