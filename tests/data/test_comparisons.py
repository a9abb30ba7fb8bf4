"""Which preferences can be learned from, and as what."""

from __future__ import annotations

from affinage.data.comparisons import best_and_worst, comparable
from affinage.data.records import Message, Preference, Source


def preference(
    *said: str, ranks: tuple[int, ...], line: int = 1, scores: tuple[float, ...] | None = None
) -> Preference:
    turns = tuple(Message("assistant", text) for text in said)
    asked = (Message("user", "Which?"),)
    return Preference(messages=asked, completions=turns, ranks=ranks, scores=scores, source=Source("f", str(line)))


def test_the_best_and_the_worst_of_a_ranking() -> None:
    made = best_and_worst(preference("b", "a", "d", "c", ranks=(2, 1, 4, 3), scores=(3.0, 4.0, 1.0, 2.0)))
    assert [turn.content for turn in made.completions] == ["a", "d"]
    assert (made.ranks, made.scores) == ((1, 2), (4.0, 1.0))
    two = preference("a", "b", ranks=(1, 2))
    assert best_and_worst(two) is two
    assert [turn.content for turn in best_and_worst(preference("a", "b", ranks=(2, 1))).completions] == ["b", "a"]


def test_what_says_nothing_is_left_out_and_named() -> None:
    rows = [
        preference("a", "b", ranks=(1, 2)),
        preference("a", "b", ranks=(1, 1), line=2),
        preference("a", "b", "a", ranks=(1, 2, 3), line=3),
        preference("a", "c", "b", ranks=(1, 2, 3), line=4),
    ]
    kept, drops = comparable(rows, only_two=True)
    assert [record.id for record in kept] == [rows[0].id]
    reasons = [(drop.reason, drop.source.locator) for drop in drops]
    assert reasons == [("tied-completions", "2"), ("chosen-equals-rejected", "3"), ("duplicate", "4")]
    kept, drops = comparable(rows, only_two=False)
    assert len(kept) == 3
    assert [drop.reason for drop in drops] == ["tied-completions"]
