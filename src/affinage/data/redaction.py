"""Secrets and personal data in text, found by their shape and put out of sight by typed placeholders.

Precision comes first, so nothing here proves that a text is free of personal data: names, for instance, have no shape at
all.
"""

from __future__ import annotations

import bisect
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from affinage.data.record_texts import AnyRecord, map_texts
from affinage.data.sensitive_shapes import SHAPES

SECRETS = ("PRIVATE_KEY", "CREDENTIALS", "TOKEN", "API_KEY", "PASSWORD")
PERSONAL = ("EMAIL", "IBAN", "CARD", "NIR", "SSN", "PHONE", "IP")
KINDS = SECRETS + PERSONAL
_KEY_HEAD = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_KEY_FOOT = re.compile(r"-----END [A-Z0-9 ]{0,40}-----")


@dataclass(frozen=True, slots=True)
class Found:
    """Characters [start, end) of a text that look like `kind`, one of `KINDS`."""

    kind: str
    start: int
    end: int


def find(text: str) -> list[Found]:
    """What in `text` looks like a secret or personal data, in order, without overlaps."""
    taken: list[Found] = []
    starts: list[int] = []
    for found in _candidates(text):
        at = bisect.bisect(starts, found.start)
        if (at and taken[at - 1].end > found.start) or (at < len(taken) and taken[at].start < found.end):
            continue
        taken.insert(at, found)
        starts.insert(at, found.start)
    return taken


def _candidates(text: str) -> Iterator[Found]:
    if "-----BEGIN " in text:
        yield from _private_keys(text)
    lower = text.lower()
    if len(lower) != len(text):  # a few characters grow, and places would be off
        lower = "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
    windows: dict[int, list[tuple[int, int]]] = {}
    for shape in SHAPES:
        anchor = shape.anchor
        if id(anchor) not in windows:
            windows[id(anchor)] = anchor.windows(text, lower)
        group = "it" if "it" in shape.pattern.groupindex else 0
        for low, high in windows[id(anchor)]:
            for match in shape.pattern.finditer(text, low, high):
                if shape.holds(match):
                    yield Found(shape.kind, match.start(group), match.end(group))


def _private_keys(text: str) -> Iterator[Found]:
    """Whole blocks; one whose end is missing goes to the end of the text."""
    position = 0
    while head := _KEY_HEAD.search(text, position):
        foot = _KEY_FOOT.search(text, head.end())
        position = foot.end() if foot else len(text)
        yield Found("PRIVATE_KEY", head.start(), position)


def redact(text: str) -> tuple[str, Counter[str]]:
    """`text` with `[EMAIL]`, `[PHONE]` ... in the place of what was found, and how many of each kind there were."""
    spans = find(text)
    if not spans:
        return text, Counter()
    pieces, position = [], 0
    for span in spans:
        pieces += [text[position : span.start], f"[{span.kind}]"]
        position = span.end
    return "".join([*pieces, text[position:]]), Counter(span.kind for span in spans)


def redacted(record: AnyRecord) -> tuple[AnyRecord, Counter[str]]:
    """The record with all its texts redacted (itself where nothing was found), and the counts.

    Texts are contents, reasoning, the arguments of calls, completions, passages and reference answers. Labels, names of
    functions, groups and sources stay as they are.
    """
    counts: Counter[str] = Counter()

    def change(text: str) -> str:
        new, found = redact(text)
        counts.update(found)
        return new

    changed = map_texts(record, change)
    return (changed if counts else record), counts
