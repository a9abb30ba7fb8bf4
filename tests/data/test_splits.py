"""Splits by content: disjoint, complete, no key on two sides, the same whatever the order of the rows."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affinage.data.records import Chat, Labelled, Message, Record, Text
from affinage.data.splits import folds, split
from affinage.errors import InputError

TEXTS = st.lists(st.text("abC ", max_size=4), min_size=6, max_size=60)
SEEDS = st.integers(0, 5)


def as_records(texts: list[str], labelled: bool) -> list[Record]:
    if labelled:
        return [Labelled(text=text, label=str(len(text) % 3 + number % 2)) for number, text in enumerate(texts)]
    return [Text(text=text) for text in texts]


def spare_keys(records: list[Record]) -> int:
    """Different contents beyond the one that each label keeps for training."""
    label_of: dict[str, str] = {}
    for record in records:
        label = record.label if isinstance(record, Labelled) else ""
        label_of[record.split_key] = min(label, label_of.get(record.split_key, label))
    return len(label_of) - len(set(label_of.values()))


def check_apart(records: list[Record], sides: list[list[int]]) -> None:
    assert sorted(number for side in sides for number in side) == list(range(len(records)))
    keys = [{records[number].split_key for number in side} for side in sides]
    assert sum(map(len, keys)) == len(set().union(*keys))


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.booleans(), SEEDS, st.randoms(use_true_random=False))
def test_a_split_is_complete_apart_and_stable(
    texts: list[str], labelled: bool, seed: int, shuffle: random.Random
) -> None:
    records = as_records(texts, labelled)
    try:
        sides = split(records, held_out=0.2, validation=0.1, seed=seed)
    except InputError:
        assert spare_keys(records) == 0
        return
    check_apart(records, [sides.train, sides.validation, sides.held_out])
    assert sides.train
    assert sides.held_out
    order = list(range(len(records)))
    shuffle.shuffle(order)
    again = split([records[number] for number in order], held_out=0.2, validation=0.1, seed=seed)
    assert sorted(order[number] for number in again.held_out) == sides.held_out
    assert sorted(order[number] for number in again.validation) == sides.validation


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.booleans(), SEEDS, st.integers(2, 5), st.randoms(use_true_random=False))
def test_folds_are_complete_apart_and_stable(
    texts: list[str], labelled: bool, seed: int, k: int, shuffle: random.Random
) -> None:
    records = as_records(texts, labelled)
    if len({record.split_key for record in records}) < k:
        with pytest.raises(InputError, match="cannot make"):
            folds(records, k, seed)
        return
    parts = folds(records, k, seed)
    check_apart(records, parts)
    assert all(parts)
    order = list(range(len(records)))
    shuffle.shuffle(order)
    again = folds([records[number] for number in order], k, seed)
    assert [sorted(order[number] for number in part) for part in again] == parts


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 40), st.integers(0, 40), SEEDS)
def test_counts_are_exact_where_every_text_is_different(sizes: list[int], out: int, kept: int, seed: int) -> None:
    records = [Labelled(text=f"{label} {n}", label=str(label)) for label, size in enumerate(sizes) for n in range(size)]
    spare = sum(size - 1 for size in sizes)
    if out + kept >= len(records) or out + kept > spare:
        return
    sides = split(records, held_out=out, validation=kept, seed=seed)
    assert len(sides.held_out) == out
    assert len(sides.validation) == kept
    assert {record.label for number in sides.train if isinstance(record := records[number], Labelled)} == set(
        map(str, range(len(sizes)))
    )


def test_labels_stand_on_every_side_in_proportion_and_rare_ones_are_told() -> None:
    sizes = {"common": 80, "less": 15, "few": 4, "once": 1}
    records = [
        Labelled(text=f"{label} {number}", label=label) for label, size in sizes.items() for number in range(size)
    ]
    sides = split(records, held_out=0.2, validation=10, seed=3)
    held_out = Counter(records[number].label for number in sides.held_out)
    assert len(sides.held_out) == 20
    assert len(sides.validation) == 10
    assert set(held_out) == {"common", "less", "few"} == {records[number].label for number in sides.validation}
    assert 15 <= held_out["common"] <= 17
    assert sides.rare_labels == ("once",)
    parts = folds(records, 4, seed=3)
    assert [Counter(records[number].label for number in part)["common"] for part in parts] == [20] * 4


def test_two_answers_to_one_question_stay_together() -> None:
    records = [
        Chat(messages=(Message("user", f"Question  {number // 2}"), Message("assistant", f"answer {number}")))
        for number in range(40)
    ]
    sides = split(records, held_out=10, validation=4, seed=1)
    check_apart(list(records), [sides.train, sides.validation, sides.held_out])
    assert (len(sides.held_out), len(sides.validation)) == (10, 4)


def test_seeds_differ_and_shares_may_be_zero() -> None:
    records = [Text(text=str(number)) for number in range(100)]
    first = split(records, held_out=0.1, validation=0, seed=0)
    assert first.validation == []
    assert len(first.held_out) == 10
    assert first.held_out != split(records, held_out=0.1, validation=0, seed=1).held_out
    nothing = split(records, held_out=0, validation=0, seed=0)
    assert nothing.train == list(range(100))
    assert nothing.rare_labels == ()
    two = split(records[:2], held_out=0.1, validation=0.1, seed=0)
    assert (len(two.train), len(two.validation), len(two.held_out)) == (1, 0, 1)


@pytest.mark.parametrize(
    ("records", "held_out", "validation", "message"),
    [
        ([Text(text="a")], 0.1, 0.1, "leave none of the 1 rows"),
        ([Text(text=str(n)) for n in range(9)], 5, 4, "leave none of the 9 rows"),
        ([Text(text=str(n)) for n in range(9)], 0.5, 0.6, None),
        ([Text(text=str(n)) for n in range(9)], 1.5, 0, "held_out = 1.5"),
        ([Text(text=str(n)) for n in range(9)], 0, -1, "validation = -1"),
        ([Text(text="a"), Text(text="A"), Text(text=" a")], 1, 0, "only 1 different things"),
        ([Labelled(text=str(n), label=str(n)) for n in range(9)], 2, 0, "no label has rows to spare"),
    ],
)
def test_impossible_splits_are_told(
    records: list[Record], held_out: float, validation: float, message: str | None
) -> None:
    if message is None:
        assert split(records, held_out=held_out, validation=validation, seed=0).train
        return
    with pytest.raises(InputError, match=message):
        split(records, held_out=held_out, validation=validation, seed=0)
