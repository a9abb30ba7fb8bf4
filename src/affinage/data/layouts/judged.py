"""What people said about completions: ranks, scores, winners, thumbs, out of the field's ways to write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from affinage.data.layouts import columns as col
from affinage.data.layouts.bad_row import BadRowError, kind_of

TIE = -1  # a winner that is none

_TIES = frozenset(
    {"tie", "ties", "tied", "equal", "same", "draw", "both", "neither", "none", "both_good", "both_bad", "bothbad",
     "bothgood", "tie_bothbad", "tie_(bothbad)", "tie_(both_bad)", "no_preference"}
)  # fmt: skip
_FIRST = frozenset({"a", "first", "left", "one"})
_SECOND = frozenset({"b", "second", "right", "two"})
_BEFORE_LETTER = ("model", "response", "answer", "assistant", "completion", "output", "option", "reply", "candidate")
_UP = frozenset({"up", "thumbs_up", "thumb_up", "good", "like", "liked", "positive", "true", "yes", "👍", "upvote"})
_DOWN = frozenset(
    {"down", "thumbs_down", "thumb_down", "bad", "dislike", "disliked", "negative", "false", "no", "👎", "downvote"}
)


def numbering(values: Sequence[Any], suffixes: tuple[str, str]) -> int | None:
    """The number that means the first completion: 0 or 1, by the columns' own numbers, else by the values.

    Nothing where the columns carry letters and the values 0, 1 and 2 could be read both ways.
    """
    ends = (suffixes[0][-1], suffixes[1][-1])
    if ends in (("1", "2"), ("0", "1")):
        return int(ends[0])
    numbers = {int(number) for value in values if (number := col.as_number(value)) is not None}
    if {0, 2} <= numbers:
        return None
    return 1 if 2 in numbers else 0


def winner(value: Any, first: int, names: tuple[str, str], column: str) -> int:
    """Which of two completions was preferred: 0, 1 or `TIE`.

    Args:
        first: the number that means the first (the next one means the second, any other of 0 to 2 a tie).
        names: of the two columns.

    Raises:
        BadRowError: `empty-label` where nothing stands there, `wrong-type` where it says neither.
    """
    if col.is_missing(value) or (isinstance(value, str) and not value.strip()):
        raise BadRowError("empty-label", f"`{column}` is empty")
    number = col.as_number(int(value) if isinstance(value, bool) else value)
    if number is not None and number in (0, 1, 2):
        return {first: 0, first + 1: 1}.get(int(number), TIE)
    said = col.fold(value).strip("[]<>") if isinstance(value, str) else ""
    if said in _TIES:
        return TIE
    if said in names:
        return names.index(said)
    stem, _, letter = said.rpartition("_")
    if letter.isdigit() and stem in _BEFORE_LETTER and len(letter) == 1:
        return winner(int(letter), first, names, column)
    letter = letter if not stem or stem in _BEFORE_LETTER else ""
    if letter in _FIRST | _SECOND:
        return 0 if letter in _FIRST else 1
    shown = repr(value[:40]) if isinstance(value, str) else kind_of(value)
    raise BadRowError("wrong-type", f"`{column}` must say which answer is better, such as 1, 2 or tie, found {shown}")


def is_winner(value: Any, names: tuple[str, str]) -> bool:
    """Whether a cell says which of two is better, or that they tie."""
    try:
        winner(value, 1, names, "")
    except BadRowError as bad:
        return bad.reason == "empty-label"
    return True


def thumb(value: Any) -> bool | None:
    """True for a thumb up, False for one down, nothing for anything else."""
    if isinstance(value, bool):
        return value
    said = col.fold(value) if isinstance(value, str) and len(value) <= 20 else ""
    return True if said in _UP else False if said in _DOWN else None


def ranks_by(scores: Sequence[float]) -> tuple[int, ...]:
    """Ranks, 1 the best: the highest score first, equal scores equal."""
    places = {score: place for place, score in enumerate(sorted(set(scores), reverse=True), start=1)}
    return tuple(places[score] for score in scores)


def ranks_of(value: Any, count: int, column: str) -> tuple[int, ...]:
    """A list of ranks, one a completion, 1 the best (whatever number the data begin with); equal ones tie.

    Raises:
        BadRowError: not as many whole numbers as completions.
    """
    numbers = numbers_of(value, count, column)
    if any(number != int(number) for number in numbers):
        raise BadRowError("wrong-type", f"`{column}` must hold whole numbers")
    return ranks_by([-number for number in numbers])


def numbers_of(value: Any, count: int, column: str) -> tuple[float, ...]:
    """A list of `count` numbers.

    Raises:
        BadRowError: something else.
    """
    if not isinstance(value, list) or len(value) != count:
        found = f"{len(value)}" if isinstance(value, list) else kind_of(value)
        raise BadRowError("wrong-type", f"`{column}` must be a list of {count} numbers, found {found}")
    numbers = [col.as_number(item) for item in value]
    if None in numbers:
        raise BadRowError("wrong-type", f"`{column}` must hold numbers only")
    return tuple(number for number in numbers if number is not None)


def compared(value: Any, count: int, column: str) -> dict[tuple[int, int], int]:
    """Comparisons `[i, j, winner]` (numbered from 1; the winner is i, j or a tie) by pair, from 0; a winner or `TIE`.

    Raises:
        BadRowError: something else stands there, or nothing.
    """
    if not isinstance(value, list) or not value:
        raise BadRowError("empty-label", f"`{column}` holds no comparison")
    found: dict[tuple[int, int], int] = {}
    for item in value:
        if not is_comparison(item) or not all(1 <= place <= count for place in item[:2]):
            raise BadRowError("wrong-type", f'`{column}` must hold comparisons such as [1, 2, 1] or [1, 2, "tie"]')
        first, second, better = item
        found[first - 1, second - 1] = TIE if isinstance(better, str) else better - 1
    return found


def is_comparison(item: Any) -> bool:
    """Whether a value is `[i, j, winner]`."""
    if not isinstance(item, list) or len(item) != 3 or not all(type(place) is int for place in item[:2]):
        return False
    better = item[2]
    return item[0] != item[1] and (col.fold(better) in _TIES if isinstance(better, str) else better in item[:2])


def ranks_from(comparisons: Mapping[tuple[int, int], int], count: int) -> tuple[int, ...] | None:
    """The ranks of all completions, if one order (with ties) says exactly what the comparisons say; else nothing."""
    if len({frozenset(pair) for pair in comparisons}) < count * (count - 1) // 2:
        return None
    wins = [0] * count
    for (first, second), better in comparisons.items():
        if better != TIE:
            wins[better] += 1
            wins[second if better == first else first] -= 1
    for (first, second), better in comparisons.items():
        told = TIE if wins[first] == wins[second] else first if wins[first] > wins[second] else second
        if told != better:
            return None
    return ranks_by(wins)
