"""Splits by content: disjoint, complete, no key on two sides, the same whatever the order of the rows."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affinage.data.records import Chat, Labelled, Message, Record, Source, Text
from affinage.data.splits.split import folds, side_of, split
from affinage.data.splits.units import make_units
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


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.text("ab", max_size=3), st.integers(0, 6), st.integers(0, 3)), min_size=6, max_size=50),
    SEEDS,
    st.randoms(use_true_random=False),
)
def test_groups_and_near_duplicates_stand_on_one_side(
    rows: list[tuple[str, int, int]], seed: int, shuffle: random.Random
) -> None:
    # Group 0 is no group; the third number says which labels a row has.
    records = [
        Labelled(text=f"{text} {number}", label=tuple("xyz"[:labels]), group=f"g{group}" if group else "")
        for number, (text, group, labels) in enumerate(rows)
    ]
    near = [[0, len(records) - 1], [1, 2]]
    together = [
        *near,
        *([n for n, r in enumerate(records) if r.group == name] for name in {r.group for r in records} - {""}),
    ]

    def apart(sides: list[list[int]]) -> None:
        assert sorted(number for side in sides for number in side) == list(range(len(records)))
        for unit in together:
            assert sum(bool({*unit} & {*side}) for side in sides) == 1

    try:
        sides = split(records, held_out=0.2, validation=0.1, seed=seed, near=near)
    except InputError:
        assert len(make_units(records, near)) < 3
        return
    apart([sides.train, sides.validation, sides.held_out])
    assert sides.train
    assert sides.held_out
    order = list(range(len(records)))
    shuffle.shuffle(order)
    place = {row: new for new, row in enumerate(order)}
    again = split(
        [records[row] for row in order],
        held_out=0.2,
        validation=0.1,
        seed=seed,
        near=[[place[n] for n in u] for u in near],
    )
    assert sorted(order[row] for row in again.held_out) == sides.held_out
    units = len(make_units(records, near))
    parts = folds(records, min(4, units), seed, near=near) if units > 1 else []
    if parts:
        apart(parts)
        assert all(parts)


def test_rows_are_joined_link_by_link() -> None:
    records = [
        Text(text=text, group=group) for text, group in (("a", "g"), ("b", ""), ("A", ""), ("c", "g"), ("d", ""))
    ]
    assert make_units(records) == {"a": [0, 2, 3], "b": [1], "d": [4]}
    assert make_units(records, [[1, 3]]) == {"a": [0, 1, 2, 3], "d": [4]}
    with pytest.raises(InputError, match="form only 2 groups"):
        folds(records, 3, 0, near=[[1, 3]])


def test_several_labels_keep_their_shares_on_every_side() -> None:
    chance = random.Random(1)
    shares = {"common": 0.6, "less": 0.2, "rare": 0.03, "rarer": 0.015}
    records = [
        Labelled(
            text=str(number), label=tuple(sorted(name for name, share in shares.items() if chance.random() < share))
        )
        for number in range(2000)
    ]
    sides = split(records, held_out=200, validation=100, seed=0)
    assert (len(sides.held_out), len(sides.validation)) == (200, 100)
    assert sides.rare_labels == ()
    total = Counter(name for record in records for name in record.label)
    for side in (sides.held_out, sides.validation):
        here = Counter(name for number in side for name in records[number].label)
        for name in shares:
            assert here[name] == pytest.approx(total[name] * len(side) / 2000, abs=1.01)
    for part in folds(records, 5, seed=0):
        here = Counter(name for number in part for name in records[number].label)
        assert all(here[name] == pytest.approx(total[name] / 5, abs=2.01) for name in shares)
    once = [*records, Labelled(text="alone", label=("common", "only"))]
    assert split(once, held_out=200, validation=100, seed=0).rare_labels == ("only",)


def test_labels_in_groups_are_spread_and_large_groups_are_held_out_whole() -> None:
    records = [Labelled(text=str(n), label="ab"[n // 3 % 2], group=str(n // 3)) for n in range(90)]
    sides = split(records, held_out=0.2, validation=0.1, seed=0)
    assert len(sides.held_out) == 18
    assert Counter(records[n].label for n in sides.held_out) == {"a": 9, "b": 9}
    large = [Labelled(text=str(n), label="ab"[n % 2], group="one" if n < 40 else "two") for n in range(100)]
    sides = split(large, held_out=0.1, validation=0.1, seed=0)
    assert (sides.held_out, sides.validation) == (list(range(40)), [])
    with pytest.raises(InputError, match="hold rows out"):
        split([Labelled(text=str(n), label="a", group="one") for n in range(9)], held_out=2, validation=0, seed=0)


def test_numbers_are_spread_over_their_range() -> None:
    records = [Labelled(text=str(number), label=float(number)) for number in range(1000)]
    sides = split(records, held_out=100, validation=50, seed=0)
    assert (len(sides.held_out), len(sides.validation)) == (100, 50)
    assert Counter(number // 100 for number in sides.held_out) == dict.fromkeys(range(10), 10)
    assert sides.rare_labels == ()
    same = split([Labelled(text=str(number), label=1.0) for number in range(50)], held_out=10, validation=0, seed=0)
    assert len(same.held_out) == 10


def test_the_latest_rows_are_held_out_and_equal_times_never_parted() -> None:
    times = [number // 4 for number in range(100)]
    order = list(range(100))
    random.Random(0).shuffle(order)
    records = [Text(text=str(number), time=float(times[number])) for number in order]
    sides = split(records, held_out=0.1, validation=10, seed=0, by_time=True)
    held_out, validation, train = (
        {records[n].time for n in side} for side in (sides.held_out, sides.validation, sides.train)
    )
    assert max(train) < min(validation) <= max(validation) < min(held_out)
    assert (len(sides.held_out), len(sides.validation), len(sides.train)) == (8, 8, 84)
    check_apart(list(records), [sides.train, sides.validation, sides.held_out])


def test_a_group_is_as_late_as_its_latest_row() -> None:
    records = [Text(text=str(n), time=float(n), group="g" if n in (0, 19) else "") for n in range(20)]
    sides = split(records, held_out=3, validation=2, seed=0, by_time=True)
    assert (sides.held_out, sides.validation) == ([0, 18, 19], [16, 17])


@pytest.mark.parametrize(
    ("times", "held_out", "validation", "message"),
    [
        ([1.0, None, 2.0], 1, 0, r"f\.txt:2: the row has no time"),
        ([1.0, float("nan"), 2.0], 1, 0, r"f\.txt:2: the row has no time"),
        ([5.0] * 4, 1, 0, "all have one and the same"),
        ([1.0, 1.0, 2.0], 1, 1, "only 2 times"),
    ],
)
def test_impossible_times_are_told(times: list[float | None], held_out: float, validation: float, message: str) -> None:
    records = [Text(text=str(n), time=time, source=Source("f.txt", str(n + 1))) for n, time in enumerate(times)]
    with pytest.raises(InputError, match=message):
        split(records, held_out=held_out, validation=validation, seed=0, by_time=True)


def test_a_stream_puts_a_key_on_one_side_by_its_share() -> None:
    keys = [f"key {number}" for number in range(20_000)]
    sides = [side_of(key, seed=0, held_out_share=0.1, validation_share=0.05) for key in keys]
    assert sides == [side_of(key, seed=0, held_out_share=0.1, validation_share=0.05) for key in keys]
    counts = Counter(sides)
    assert counts["held_out"] == pytest.approx(2000, rel=0.1)
    assert counts["validation"] == pytest.approx(1000, rel=0.1)
    assert sides != [side_of(key, seed=1, held_out_share=0.1, validation_share=0.05) for key in keys]
    assert {side_of(key, seed=0, held_out_share=0, validation_share=0) for key in keys} == {"train"}
    for shares in ((-0.1, 0.0), (0.6, 0.4), (100.0, 0.0)):
        with pytest.raises(InputError, match="shares of a stream"):
            side_of("a", seed=0, held_out_share=shares[0], validation_share=shares[1])
