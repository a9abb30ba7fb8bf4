"""Preferences out of the values of one row, once its layout is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affinage.data.layouts import columns as col
from affinage.data.layouts import judged
from affinage.data.layouts.bad_row import BadRowError, kind_of
from affinage.data.layouts.build import Asked
from affinage.data.layouts.columns import Values
from affinage.data.layouts.completions import answered
from affinage.data.layouts.judged import TIE
from affinage.data.records import Preference, Record, Source

RANK_KEYS = ("rank",)
SCORE_KEYS = ("score", "overall_score", "rating", "reward", "pm_score")
_MOST = 1000  # completions of one prompt


@dataclass(frozen=True, slots=True)
class Prompted:
    """What all preferences share: where the prompt is (nothing: inside the completions), and how sure they are."""

    asked: Asked | None
    system: str | None = None
    margin: str | None = None
    confidence: str | None = None

    def preference(
        self,
        said: Mapping[str, Any],
        ranks: tuple[int, ...],
        scores: tuple[float, ...] | None,
        values: Values,
        source: Source,
    ) -> Record:
        """One preference.

        Raises:
            BadRowError: as `answered`, or every completion says the same (`chosen-equals-rejected`).
        """
        names = " and ".join(f"`{name}`" for name in said)
        if _alike(list(said.values())):
            raise BadRowError("chosen-equals-rejected", f"{names} say the same")
        prompt, completions = answered(self.asked, self.system, said, values)
        if _alike(completions):
            raise BadRowError("chosen-equals-rejected", f"{names} say the same")
        margin = _told(values, self.margin)
        if margin is None and scores is not None:
            margin = max(scores) - min(scores)
        return Preference(
            messages=prompt,
            completions=completions,
            ranks=ranks,
            scores=scores,
            margin=margin,
            confidence=_confidence(values, self.confidence),
            source=source,
        )


def _alike(items: Sequence[Any]) -> bool:
    return all(item == items[0] for item in items)


def _told(values: Values, column: str | None) -> float | None:
    return col.number_of(values, column) if column is not None and column in values else None


def _confidence(values: Values, column: str | None) -> float | None:
    found = _told(values, column)
    if found is not None and not 0 <= found <= 1:
        raise BadRowError("wrong-type", f"`{column}` must be from 0 to 1, found {found:g}")
    return found


def make_chosen(
    prompted: Prompted, chosen: str, rejected: str, scores: tuple[str, str] | None, values: Values, source: Source
) -> Record:
    """A chosen and a rejected answer."""
    said = {chosen: col.get(values, chosen), rejected: col.get(values, rejected)}
    return prompted.preference(said, (1, 2), _pair_of_numbers(values, scores), values, source)


def _pair_of_numbers(values: Values, columns: tuple[str, str] | None) -> tuple[float, ...] | None:
    found = [col.number_of(values, column) for column in columns] if columns else []
    numbers = tuple(number for number in found if number is not None)
    return numbers if len(numbers) == 2 else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which of two is better: a winner's column (its number for the first), a signed strength, or two scores."""

    winner: str | None = None
    first: int = 1
    strength: str | None = None
    scores: tuple[str, str] | None = None

    def ranks(self, values: Values, names: tuple[str, str]) -> tuple[int, ...]:
        """The two ranks.

        Raises:
            BadRowError: nothing says which is better.
        """
        if self.winner is not None:
            better = judged.winner(col.get(values, self.winner), self.first, names, self.winner)
        elif self.strength is not None:
            strength = col.number_of(values, self.strength)
            if strength is None:
                raise BadRowError("empty-label", f"`{self.strength}` is empty")
            better = TIE if strength == 0 else int(strength > 0)
        else:
            scores = _pair_of_numbers(values, self.scores)
            if scores is None:
                raise BadRowError("empty-label", f"{' and '.join(self.scores or ())} say nothing")
            return judged.ranks_by(scores)
        return (1, 1) if better == TIE else (1, 2) if better == 0 else (2, 1)


def make_compared(
    prompted: Prompted, names: tuple[str, str], verdict: Verdict, values: Values, source: Source
) -> Record:
    """Two answers and which of them is better."""
    said = {name: col.get(values, name) for name in names}
    return prompted.preference(
        said, verdict.ranks(values, names), _pair_of_numbers(values, verdict.scores), values, source
    )


def make_ranked(
    prompted: Prompted, columns: tuple[str, ...], ranks: str | None, scores: str | None, values: Values, source: Source
) -> Record:
    """Several answers, best first, or with ranks or scores beside them or inside them."""
    said = completions_of(values, columns)
    count = len(said)
    if ranks is not None:
        return prompted.preference(said, judged.ranks_of(values.get(ranks), count, ranks), None, values, source)
    if scores is not None:
        numbers = judged.numbers_of(values.get(scores), count, scores)
        return prompted.preference(said, judged.ranks_by(numbers), numbers, values, source)
    inner = list(said.values())
    if all(isinstance(item, Mapping) for item in inner):
        placed, keys = _inner(inner, RANK_KEYS), _inner(inner, SCORE_KEYS)
        if placed is not None:
            return prompted.preference(said, judged.ranks_by([-place for place in placed]), keys, values, source)
        if keys is not None:
            return prompted.preference(said, judged.ranks_by(keys), keys, values, source)
        if not col.is_turn(inner[0]):
            raise BadRowError("empty-label", f"`{columns[0]}`: not every completion has a rank or a score")
    return prompted.preference(said, tuple(range(1, count + 1)), None, values, source)


def completions_of(values: Values, columns: tuple[str, ...]) -> dict[str, Any]:
    """The completions under one column as a list, or under several columns, by a name for messages.

    Raises:
        BadRowError: fewer than two.
    """
    if len(columns) > 1:
        return {column: col.get(values, column) for column in columns}
    items = col.get(values, columns[0])
    if not isinstance(items, list):
        raise BadRowError("wrong-type", f"`{columns[0]}` must be a list of completions, found {kind_of(items)}")
    if not 2 <= len(items) <= _MOST:
        raise BadRowError("not-comparable", f"`{columns[0]}` holds {len(items):,} completions")
    return {f"{columns[0]}[{place}]": item for place, item in enumerate(items)}


def _inner(items: list[Any], keys: tuple[str, ...]) -> tuple[float, ...] | None:
    """What each item has under the first of `keys` that they all have."""
    for key in keys:
        numbers = [col.as_number(item.get(key)) for item in items]
        found = tuple(number for number in numbers if number is not None)
        if len(found) == len(items):
            return found
    return None


def comparisons(column: str, judgements: str, values: Values) -> list[Values]:
    """A row of several answers as pieces: one, where an order says all that its comparisons say, else one a pair."""
    items = completions_of(values, (column,))
    told = judged.compared(col.get(values, judgements), len(items), judgements)
    ranks = judged.ranks_from(told, len(items))
    if ranks is not None:
        return [{**values, judgements: list(ranks)}]
    texts = list(items.values())
    return [
        {
            **values,
            column: [texts[i], texts[j]],
            judgements: [1, 1] if better == TIE else [1 + (better != i), 1 + (better != j)],
        }
        for (i, j), better in told.items()
    ]
