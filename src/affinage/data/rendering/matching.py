"""Whether a rendered chat is exactly its template's own text with the contents in the gaps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from affinage.data.rendering.shapes import Piece, Slot

_SINGLE_QUOTED = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r"})


def match(pieces: Sequence[Piece], contents: Mapping[Slot, str], rendered: str) -> list[str] | None:
    """The text of each piece such that together they are exactly `rendered`, or None.

    A content stands in the rendering as it is, stripped, or escaped as in JSON or in Python's single quotes.
    """
    for change in (str, str.strip):
        texts = [piece.text if piece.slot is None else change(contents[piece.slot]) for piece in pieces]
        if "".join(texts) == rendered:
            return texts
    options = [[piece.text] if piece.slot is None else _forms(contents[piece.slot]) for piece in pieces]
    trail: list[tuple[int, int]] = [(0, 0)]  # per piece: where it starts, which option is to be tried next
    chosen: list[str] = []
    while trail:
        position, option = trail[-1]
        level = len(trail) - 1
        if level == len(options) and position == len(rendered):
            return chosen
        if level == len(options) or option == len(options[level]):
            trail.pop()
            if chosen:
                chosen.pop()
            continue
        trail[-1] = (position, option + 1)
        text = options[level][option]
        if rendered.startswith(text, position):
            chosen.append(text)
            trail.append((position + len(text), 0))
    return None


def _forms(content: str) -> list[str]:
    stripped = (content.strip(), content.strip("\n"), content.lstrip(), content.rstrip())
    escaped = json.dumps(content, ensure_ascii=False)[1:-1]
    twice, ascii_only = json.dumps(escaped, ensure_ascii=False)[1:-1], json.dumps(content)[1:-1]
    quoted = content.translate(_SINGLE_QUOTED)
    more = (content.lstrip("\n"), content.rstrip("\n"), escaped, twice, ascii_only, quoted)
    return list(dict.fromkeys((content, *stripped, *more)))


def common(one: str, other: str) -> str:
    """The beginning that both share."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return one[:low]
