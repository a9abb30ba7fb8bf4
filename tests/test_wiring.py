"""Which objective eats which rows, and what is said where none does."""

from __future__ import annotations

import pytest

from affinage.data.records import Chat, Labelled, Pair, Preference, Prompt, Rated, Record, Text
from affinage.errors import InputError
from affinage.recipe import Recipe
from affinage.wiring import choose_objective


@pytest.mark.parametrize(
    ("kind", "objective"), [(Text, "pretrain"), (Chat, "sft"), (Labelled, "classify"), (Preference, "dpo")]
)
def test_the_kind_of_the_rows_asks_for_an_objective(kind: type[Record], objective: str) -> None:
    assert choose_objective(Recipe(), kind) == objective


@pytest.mark.parametrize(
    ("kind", "holds", "fix"),
    [
        (Rated, "rated rows alone.*a thumb or a score", "columns.messages=messages"),
        (Pair, "pair rows alone.*queries with passages", "columns.text=passage"),
        (Prompt, "prompt rows alone.*without answers", "add responses"),
    ],
)
def test_rows_that_no_objective_eats_are_refused_with_a_way_out(kind: type[Record], holds: str, fix: str) -> None:
    with pytest.raises(InputError, match=holds) as caught:
        choose_objective(Recipe(), kind)
    assert fix in caught.value.fix
    with pytest.raises(
        InputError, match=f"objective sft learns from chat rows, the data are {kind.kind} rows"
    ) as named:
        choose_objective(Recipe(objective="sft"), kind)
    assert fix in named.value.fix
