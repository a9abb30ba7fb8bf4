"""Sources mixed by weight: shares of tokens come out as asked, and a pass keeps its length."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affinage.data.batches import draws
from affinage.data.streams.mixing import mix_times, replay_times
from affinage.errors import InputError


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 2)), min_size=3, max_size=60),
    st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
)
def test_shares_are_as_asked(rows: list[tuple[int, int]], weights: list[float]) -> None:
    lengths, sources = [length for length, _ in rows], [source for _, source in rows]
    times = mix_times(lengths, sources, weights, 3)
    tokens = [sum(n * t for n, t, s in zip(lengths, times, sources, strict=True) if s == k) for k in range(3)]
    there = [weight for weight, k in zip(weights, range(3), strict=True) if k in sources]
    assert sum(tokens) == pytest.approx(sum(lengths))
    shares = [token / sum(tokens) for token, k in zip(tokens, range(3), strict=True) if k in sources]
    assert shares == pytest.approx([weight / sum(there) for weight in there])


def test_wrong_weights_are_refused() -> None:
    with pytest.raises(InputError, match="2 weights for 3 sources"):
        mix_times([1], [0], [1, 1], 3)
    with pytest.raises(InputError, match="below 0"):
        mix_times([1], [0], [-1.0], 1)
    with pytest.raises(InputError, match="no source with rows"):
        mix_times([1], [0], [0.0, 1.0], 2)


@given(st.floats(0, 5))
def test_rows_are_drawn_as_often_as_asked(times: float) -> None:
    drawn = draws(range(2000), times, random.Random(0))
    assert len(drawn) / 2000 == pytest.approx(times, abs=0.06)
    counts = [drawn.count(number) for number in range(0, 2000, 400)]
    assert all(int(times) <= count <= int(times) + 1 for count in counts)


def test_replay_is_a_share_of_all_tokens() -> None:
    often = replay_times(900, [10, 20], 0.1)
    assert often * 30 / (900 + often * 30) == pytest.approx(0.1)
    assert replay_times(900, [], 0.1) == 0 == replay_times(900, [10], 0)
