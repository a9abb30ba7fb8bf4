"""The reference: the model without its adapters, kept on disk under everything that can change what it thinks."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from affinage.data.batches import Row, collate
from affinage.data.groups import Group
from affinage.models.adapted import AdaptedModel
from affinage.models.reference import Reference, adapters_off, reference_logprobs
from affinage.models.trainables import mark
from affinage.recipe import make_recipe
from affinage.store.arrays import ArrayCache
from tests.data.test_groups import group
from tests.models.networks import llama

GROUPS = [group([4, 5, 6], [7, 8], prompt=(1, 9)), group([10], [11, 12], prompt=(1, 3, 3)), group([4], [5], [6])]


def model(seed: int = 0) -> AdaptedModel:
    return AdaptedModel(llama(seed), causal=True)


def ask(of: AdaptedModel, cache: ArrayCache | None, groups: list[Group] | None = None) -> Reference:
    return reference_logprobs(of, groups or GROUPS, budget=64, pad_id=0, cache=cache)


def plain(of: AdaptedModel, row: Row) -> float:
    with torch.no_grad():
        return -float(of.row_scores(collate([row], 0)).nll_B[0])


def test_it_is_the_sum_of_log_probabilities_of_what_is_learned_from() -> None:
    found = ask(model(), None)
    for values, own in zip(found.values, GROUPS, strict=True):
        assert values == pytest.approx([plain(model(), row) for row in own.rows], abs=1e-4)


def test_what_was_asked_once_is_not_asked_again(tmp_path: Path) -> None:
    first = ask(model(), ArrayCache(tmp_path))
    assert (first.computed, first.reused, first.broken) == (7, 0, 0)
    again = ask(model(), ArrayCache(tmp_path))
    assert (again.computed, again.reused) == (0, 7)
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(first.values, again.values, strict=True))
    more = ask(model(), ArrayCache(tmp_path), [*GROUPS, group([4, 5, 6], [8])])
    assert (more.computed, more.reused) == (2, 7)


def other_weights(row: Row) -> Row:
    return Row(row.tokens_T, row.weights_T * 0.5, row.record_id)


@pytest.mark.parametrize("change", ["model", "tokens", "weights", "dtype"])
def test_another_model_row_or_number_type_is_asked_anew(change: str, tmp_path: Path) -> None:
    ask(model(), ArrayCache(tmp_path))
    other, groups = model(1 if change == "model" else 0), GROUPS
    if change == "tokens":
        groups = [group([20, 5, 6], [21, 8], prompt=(1, 9))]
    if change == "weights":
        groups = [Group(tuple(other_weights(row) for row in one.rows)) for one in GROUPS]
    if change == "dtype":
        other.dtype = torch.bfloat16
    found = ask(other, ArrayCache(tmp_path), groups)
    assert found.reused == 0
    assert found.computed == sum(len(one.rows) for one in groups)


def not_numbers(of: AdaptedModel, groups: list[Group], *_: object, **__: object) -> list[np.ndarray]:
    return [np.full(len(own.rows), np.nan) for own in groups]


@pytest.mark.parametrize("damage", ["cut", "flipped", "not a number"])
def test_a_broken_entry_is_asked_again_and_counted(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if damage == "not a number":
        with monkeypatch.context() as patch:
            patch.setattr("affinage.models.reference.completion_values", not_numbers)
            ask(model(), ArrayCache(tmp_path))
    else:
        ask(model(), ArrayCache(tmp_path))
        (file,) = tmp_path.rglob("*.arr")
        raw = file.read_bytes()
        file.write_bytes(raw[:-3] if damage == "cut" else raw[:-1] + bytes([raw[-1] ^ 1]))
    found = ask(model(), ArrayCache(tmp_path))
    assert (found.computed, found.reused) == (7, 0)
    assert found.broken == (0 if damage == "not a number" else 1)
    assert found.values[0] == pytest.approx([plain(model(), row) for row in GROUPS[0].rows], abs=1e-4)
    assert ask(model(), ArrayCache(tmp_path)).reused == 7


@pytest.mark.parametrize("train", ["lora", "dora", "ia3", "prefix"])
def test_the_reference_is_the_policy_with_its_adapters_off(train: str) -> None:
    untouched, policy = model(), AdaptedModel(copy.deepcopy(llama()), causal=True)
    mark(policy, make_recipe({"train": train}), train)
    names = [name for name, _ in policy.trainable_parameters()]
    with torch.no_grad():
        for _, tensor in policy.trainable_parameters():
            tensor.add_(0.1)
    before, live = ask(untouched, None), ask(policy, None)
    for ours, theirs in zip(before.values, live.values, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert [name for name, _ in policy.trainable_parameters()] == names
    with adapters_off(policy), torch.no_grad():
        off = policy.row_logprobs(collate([GROUPS[0].rows[0]], 0))
    with torch.no_grad():
        on = policy.row_logprobs(collate([GROUPS[0].rows[0]], 0))
    assert float(off[0]) == pytest.approx(before.values[0][0], abs=1e-5)
    assert abs(float(on[0] - off[0])) > 1e-3
