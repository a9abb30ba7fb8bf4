"""Completions that share their prompt: what is shared, what a batch of them looks like, and that none is split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affinage.data.batches import Row
from affinage.data.groups import GROUP, Group, GroupBatches, collate_groups, in_order


def row(tokens: list[int], learned_from: int) -> Row:
    weights = np.zeros(len(tokens), np.float32)
    weights[learned_from:] = 1.0
    return Row(np.array(tokens, np.int32), weights, f"{tokens}")


def group(*completions: list[int], prompt: tuple[int, ...] = (1, 2, 3)) -> Group:
    rows = tuple(row([*prompt, *tokens], len(prompt)) for tokens in completions)
    return Group(rows, {"rank": list(range(1, len(rows) + 1))})


def test_a_prompt_stands_once_and_its_completions_continue_it() -> None:
    batch = collate_groups([group([4, 5], [6]), group([7], [8, 9, 4], prompt=(5,))], 0)
    assert [row[mask].tolist() for row, mask in zip(batch.tokens_BT, batch.mask_BT, strict=True)] == [
        [1, 2, 3], [4, 5], [6], [5], [7], [8, 9, 4],
    ]  # fmt: skip
    assert batch.continues_B is not None
    assert batch.continues_B.tolist() == [-1, 0, 0, -1, 3, 3]
    assert batch.extras[GROUP].tolist() == [-1, 0, 0, -1, 1, 1]
    assert batch.extras["rank"].tolist() == [0, 1, 2, 0, 1, 2]
    assert batch.weights_BT.sum(1).tolist() == [0, 2, 1, 0, 1, 3]


@pytest.mark.parametrize(
    ("rows", "shared"),
    [
        ([row([1, 2, 3], 2), row([1, 2, 3], 2)], 2),  # what is learned from is never shared
        ([row([1, 2, 3, 4], 4), row([1, 2, 3, 5], 4)], 3),
        ([row([1, 2], 2), row([1, 2], 2)], 1),  # each keeps a token of its own
        ([row([1, 2, 9], 1), row([7, 2, 9], 1)], 0),
        ([row([1, 2, 9], 1)], 0),
    ],
)
def test_what_is_shared(rows: list[Row], shared: int) -> None:
    found = Group(tuple(rows))
    assert found.shared == shared
    assert found.tokens == sum(map(len, rows)) - (len(rows) - 1) * shared


def test_rows_with_nothing_in_common_continue_nothing() -> None:
    batch = collate_groups([group([1, 2], [3], prompt=())], 0)
    assert batch.continues_B is None
    assert batch.extras[GROUP].tolist() == [0, 0]


tokens = st.lists(st.integers(1, 4), min_size=1, max_size=5)
made = st.builds(
    lambda prompt, completions: group(*completions, prompt=tuple(prompt)),
    st.lists(st.integers(1, 4), max_size=4),
    st.lists(tokens, min_size=2, max_size=4),
)


@given(st.lists(made, min_size=1, max_size=4))
def test_no_token_changes(groups: list[Group]) -> None:
    batch = collate_groups(groups, 0)
    whole, _ = batch.unshared()
    completions = (batch.extras[GROUP] >= 0).nonzero()[:, 0].tolist()
    for number, wanted in zip(completions, [row for one in groups for row in one.rows], strict=True):
        mask = whole.mask_BT[number]
        assert whole.tokens_BT[number][mask].tolist() == wanted.tokens_T.tolist()
        assert whole.weights_BT[number][mask].tolist() == wanted.weights_T.tolist()
    assert batch.tokens == sum(one.tokens for one in groups)


def test_groups_stay_whole_and_a_position_can_be_restored() -> None:
    groups = [group([4] * (1 + n % 5), [5] * (1 + n % 3)) for n in range(40)]

    def batches() -> GroupBatches:
        return GroupBatches(groups, budget=60, micro=30, pad_id=0, epochs=2, seed=3)

    steps = list(batches())
    assert len(steps) == len(batches())
    for step in steps:
        assert sum(batch.tokens for batch in step) <= 60
        for batch in step:
            found = batch.extras[GROUP]
            assert all(int((found == number).sum()) == 2 for number in range(int(found.max()) + 1))
            assert batch.tokens <= 30
    once = batches()
    assert len(list(once)) == len(steps)
    assert once.seen() == set(range(80))
    again = batches()
    again.load_state_dict({"epoch": 1, "position": 2})
    resumed = list(again)
    assert all(
        ours.tokens_BT.equal(theirs.tokens_BT) for ours, theirs in zip(resumed[0], steps[-len(resumed)], strict=True)
    )
    half = batches()
    next(iter(half))
    assert half.seen()
    assert {number ^ 1 for number in half.seen()} == half.seen()


def test_in_order_meets_each_group_once_the_largest_first() -> None:
    groups = [group([4] * n, [5]) for n in (1, 9, 3, 5)]
    found = in_order(groups, 20)
    assert sorted(number for numbers in found for number in numbers) == [0, 1, 2, 3]
    assert found[0][0] == 1
