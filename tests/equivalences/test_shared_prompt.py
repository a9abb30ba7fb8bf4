"""A prompt that several completions share gives the same as separate rows: values and gradients, on every path."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from affinage.data.batches import Batch, collate
from affinage.data.groups import GROUP, Group, collate_groups
from affinage.models.adapted import AdaptedModel
from affinage.models.reward_head import REWARD, RewardHead
from affinage.objectives.preference import REFERENCE, DPOObjective
from affinage.objectives.reward import RewardObjective
from tests.data.test_groups import group
from tests.models.networks import bert, llama


def groups() -> list[Group]:
    """Two prompts, of 3 and of 2 completions of different length."""
    made = [group([4, 5, 6, 7], [6], [9, 9], prompt=(1, 8, 11, 3)), group([7, 21], [30, 31, 32], prompt=(1, 40))]
    return [Group(one.rows, {**one.values, REFERENCE: [-3.0 - n for n in range(len(one.rows))]}) for one in made]


def separate() -> Batch:
    """The same completions as whole rows."""
    shared = collate_groups(groups(), 0)
    batch = collate([row for one in groups() for row in one.rows], 0)
    kept = shared.extras[GROUP] >= 0
    batch.extras = {name: values[kept] for name, values in shared.extras.items()}
    return batch


def model(network: Any, *, pack: bool = True, causal: bool = True) -> AdaptedModel:
    made = AdaptedModel(copy.deepcopy(network), causal=causal)
    made.pack = pack
    torch.manual_seed(1)
    made.heads[REWARD] = RewardHead(64)
    return made


def step(objective: Any, made: AdaptedModel, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    made.zero_grad()
    loss = objective(made, batch)
    total = torch.stack([term.total for term in loss.terms]).sum()
    total.backward()
    return total.detach(), {name: t.grad for name, t in made.named_parameters() if t.grad is not None}


@pytest.mark.parametrize("objective", [DPOObjective(0.3, 0.1), RewardObjective()])
@pytest.mark.parametrize("pack", [True, False])
def test_losses_and_gradients_are_those_of_separate_rows(objective: Any, pack: bool) -> None:
    network = llama(attention_bias=True)
    value, grads = step(objective, model(network, pack=pack), collate_groups(groups(), 0))
    plain, wanted = step(objective, model(network, pack=False), separate())
    torch.testing.assert_close(value, plain, rtol=1e-5, atol=1e-5)
    assert grads.keys() == wanted.keys()
    assert len(grads) > 10
    for name, grad in grads.items():
        torch.testing.assert_close(grad, wanted[name], rtol=1e-4, atol=1e-5)


def test_log_probabilities_are_those_of_separate_rows() -> None:
    network, shared = llama(), collate_groups(groups(), 0)
    kept = shared.extras[GROUP] >= 0
    wanted = model(network, pack=False).row_logprobs(separate())
    for pack in (True, False):
        made = model(network, pack=pack)
        found = made.row_logprobs(shared)
        assert made.passes[0] == ("packed" if pack else "padded")
        torch.testing.assert_close(found[kept], wanted, rtol=1e-5, atol=1e-5)
        assert not found[~kept].any()


def test_an_encoders_rewards_are_those_of_separate_rows() -> None:
    network, objective = bert(), RewardObjective()
    shared = collate_groups(groups(), 0)
    found = objective.rewards(model(network, causal=False), shared)[shared.extras[GROUP] >= 0]
    torch.testing.assert_close(found, objective.rewards(model(network, causal=False), separate()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padding", [0, 1, 7])
def test_a_reward_does_not_depend_on_padding(padding: int) -> None:
    objective, batch, network = RewardObjective(), collate_groups(groups(), 0), llama()
    wider = Batch(
        *(torch.nn.functional.pad(part, (0, padding)) for part in (batch.tokens_BT, batch.weights_BT, batch.mask_BT)),
        batch.extras, batch.continues_B,
    )  # fmt: skip
    for pack in (True, False):
        made = model(network, pack=pack)
        torch.testing.assert_close(objective.rewards(made, wider), objective.rewards(made, batch), rtol=1e-5, atol=1e-5)
