"""Whether there is enough text to represent its domain: how much of held-out text uses words that were already met."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

WORD = re.compile(r"\w+")
SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
_HELD_OUT = 0.2
_FEW = 500  # words, below which nothing is said
_ENOUGH = 0.01  # what the last doubling of the text may still add


@dataclass(frozen=True, slots=True)
class Coverage:
    """The growth of the known vocabulary.

    Attributes:
        points: `{"words", "covered"}` with growing parts of the texts: words read, and the share of the words of
            held-out texts that were among them.
        gain: what the last doubling added to the share.
        enough: whether it added less than one word in a hundred.
    """

    points: tuple[dict[str, float], ...]
    gain: float
    enough: bool

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "line": self.line()}

    def line(self) -> str:
        """The answer in one sentence."""
        last = self.points[-1]
        verdict = "enough to stand for its domain" if self.enough else "more text would still bring new words"
        return (
            f"{100 * last['covered']:.1f} % of the words of unread rows are known after {last['words']:,.0f} words; "
            f"the last doubling brought {100 * self.gain:+.1f} points: {verdict}"
        )


def coverage(texts: Sequence[str], seed: int = 0) -> Coverage | None:
    """How the share of known words grows with the texts; None where there are too few words."""
    rows = [WORD.findall(text.casefold()) for text in texts]
    rows = [row for row in rows if row]
    random.Random(seed).shuffle(rows)
    held = max(1, round(_HELD_OUT * len(rows)))
    unread = [word for row in rows[:held] for word in row]
    rest = [word for row in rows[held:] for word in row]
    if len(rest) < _FEW or not unread:
        return None
    points, known, position = [], set[str](), 0
    for share in SHARES:
        upto = round(share * len(rest))
        known.update(rest[position:upto])
        position = upto
        points.append({"words": float(upto), "covered": sum(word in known for word in unread) / len(unread)})
    gain = points[-1]["covered"] - points[-2]["covered"]
    return Coverage(tuple(points), gain, gain < _ENOUGH)
