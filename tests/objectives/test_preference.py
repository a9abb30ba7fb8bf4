"""DPO and the reward model: literal values, the exact optimum, and parity with TRL on the same batch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from affinage.data.batches import Batch
from affinage.data.groups import GROUP, RANK, Group, collate_groups
from affinage.models.adapted import AdaptedModel
from affinage.models.reward_head import REWARD, RewardHead
from affinage.objectives.pairs import TERM, pair_figures, pair_loss, pairs_of
from affinage.objectives.preference import REFERENCE, DPOObjective
from affinage.objectives.reward import RewardObjective
from tests.data.test_groups import group
from tests.models.networks import llama, tokenizer

PAIRS = [([4, 5, 6], [7, 8]), ([9, 10], [11, 12, 13]), ([30], [31, 32])]


def batch_of(reference: Any) -> Batch:
    """Three pairs; `reference` gives each completion its log-probability, a number or by its own row."""
    made = [group(*pair, prompt=(1, 20 + n, 21)) for n, pair in enumerate(PAIRS)]
    return collate_groups([Group(g.rows, {**g.values, REFERENCE: [reference] * 2}) for g in made], 0)


class Tabular(nn.Module):
    """A policy over 4 arms: a completion is the arm's number, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.logits_A = nn.Parameter(torch.zeros(4))

    def row_logprobs(self, batch: Batch) -> Tensor:
        return torch.log_softmax(self.logits_A, 0)[batch.tokens_BT[:, 0]]


def one_pair(better: int, worse: int, reference_A: Tensor) -> Batch:
    arms = torch.tensor([better, worse])
    extras = {GROUP: torch.zeros(2, dtype=torch.long), RANK: torch.tensor([1, 2]), REFERENCE: reference_A.log()[arms]}
    return Batch(arms[:, None], torch.ones(2, 1), torch.ones(2, 1, dtype=torch.bool), extras)


def test_a_policy_that_is_its_reference_costs_log_2_and_prefers_nothing() -> None:
    model = AdaptedModel(llama(), causal=True)
    batch = batch_of(0.0)
    batch.extras[REFERENCE] = model.row_logprobs(batch).detach()
    loss = DPOObjective()(model, batch)
    (term,) = loss.terms
    assert DPOObjective().weigh(batch) == {TERM: 3.0}
    assert float(term.total) / 3 == pytest.approx(0.693147, abs=1e-6)
    assert float(loss.metrics["margin"]) == pytest.approx(0.0, abs=1e-6)
    assert float(loss.metrics["chosen_reward"]) == pytest.approx(0.0, abs=1e-6)
    assert float(loss.metrics["accuracy"]) / 3 == 0.5


@pytest.mark.parametrize(
    ("beta", "optimum"),
    [
        (0.5, [0.007424, 0.041142, 0.202669, 0.748765]),
        (1.0, [0.085073, 0.173439, 0.314304, 0.427184]),
        (2.0, [0.212039, 0.262195, 0.288191, 0.237574]),
    ],
)
def test_dpo_reaches_the_exact_optimum_of_the_rewards_behind_the_preferences(beta: float, optimum: list[float]) -> None:
    reference, rewards = torch.tensor([0.4, 0.3, 0.2, 0.1]), torch.tensor([0.0, 1.0, 2.0, 3.0])
    policy, objective = Tabular(), DPOObjective(beta)
    optimizer = torch.optim.LBFGS([policy.logits_A], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]

    def closure() -> float:
        """Infinite data: every pair, as often as people with these rewards prefer it."""
        optimizer.zero_grad()
        losses = [
            torch.sigmoid(rewards[i] - rewards[j]) * objective(policy, one_pair(i, j, reference)).terms[0].total  # type: ignore[arg-type]
            for i, j in pairs
        ]
        total = torch.stack(losses).sum()
        total.backward()
        return float(total.detach())

    optimizer.step(closure)
    found = torch.softmax(policy.logits_A.detach(), 0)
    assert 0.5 * float((found - torch.tensor(optimum)).abs().sum()) < 1e-3


def test_all_pairs_of_a_ranking_are_told_apart_and_ties_are_not() -> None:
    batch = collate_groups([Group(group([4], [5], [6]).rows, {RANK: [1, 2, 2]}), group([7], [8])], 0)
    better, worse = pairs_of(batch)
    assert list(zip(better.tolist(), worse.tolist(), strict=True)) == [(1, 2), (1, 3), (5, 6)]
    assert RewardObjective().weigh(batch) == {TERM: 3.0}


def test_bradley_terry_over_a_ranking_of_three_has_the_known_loss() -> None:
    rewards = torch.tensor([2.0, 1.0, 0.0])
    better, worse = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])
    assert float(pair_loss(rewards[better] - rewards[worse]).mean()) == pytest.approx(0.251150, abs=1e-6)
    figures = pair_figures(rewards, better, worse)
    assert {name: float(total) for name, total in figures.items()} == {
        "accuracy": 3, "margin": 4, "chosen_reward": 5, "rejected_reward": 1,
    }  # fmt: skip


@pytest.mark.parametrize("smoothing", [0.1, 0.25])
def test_smoothed_labels_are_content_where_the_odds_are_theirs(smoothing: float) -> None:
    margin = torch.tensor(math.log((1 - smoothing) / smoothing), requires_grad=True)
    pair_loss(margin, smoothing).backward()
    assert float(margin.grad) == pytest.approx(0.0, abs=1e-7)  # type: ignore[arg-type]
    assert float(pair_loss(torch.tensor(0.0), smoothing)) == pytest.approx(math.log(2))


def examples() -> list[dict[str, list[int]]]:
    return [
        {"prompt_ids": [1, 20 + n, 21], "chosen_ids": chosen, "rejected_ids": rejected}
        for n, (chosen, rejected) in enumerate(PAIRS)
    ]


def test_dpo_is_trls(tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    policy, reference = llama(0), llama(1)
    rows = Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}])
    arguments = DPOConfig(str(tmp_path), beta=0.3, report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False)
    trainer = DPOTrainer(policy, reference, arguments, train_dataset=rows, processing_class=tokenizer())
    theirs = trainer._compute_loss(trainer.model, DataCollatorForPreference(0)(examples()), False)
    theirs.backward()
    wanted = {name: t.grad.clone() for name, t in trainer.model.named_parameters() if t.grad is not None}

    model = AdaptedModel(llama(0), causal=True)
    batch = batch_of(0.0)
    batch.extras[REFERENCE] = AdaptedModel(llama(1), causal=True).row_logprobs(batch).detach()
    loss = DPOObjective(0.3)(model, batch)
    ours = loss.terms[0].total / 3
    ours.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert wanted
    for name, tensor in model.network.named_parameters():
        torch.testing.assert_close(tensor.grad, wanted[name], rtol=1e-4, atol=1e-6)


class Scored(nn.Module):
    """What a reward trainer calls: the scores of our own rows, chosen first."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, **inputs: Any) -> Any:
        from transformers.modeling_outputs import SequenceClassifierOutput

        return SequenceClassifierOutput(logits=self.scores[:, None])


def test_the_reward_models_loss_is_trls(tmp_path: Path) -> None:
    from datasets import Dataset
    from transformers import LlamaForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    model = AdaptedModel(llama(), causal=True, heads={REWARD: RewardHead(64)})
    batch = batch_of(0.0)
    ours = RewardObjective()(model, batch).terms[0].total / 3
    ours.backward()
    grad = model.heads[REWARD].dense.weight.grad.clone()
    model.zero_grad()

    config = llama().config
    config.num_labels, config.pad_token_id = 1, 0
    rows = Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}])
    arguments = RewardConfig(str(tmp_path), report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False)
    trainer = RewardTrainer(
        LlamaForSequenceClassification(config), arguments, train_dataset=rows, processing_class=tokenizer()
    )
    rewards = RewardObjective().rewards(model, batch)
    better, worse = pairs_of(batch)
    scored = Scored(torch.cat([rewards[better], rewards[worse]]))
    theirs = trainer.compute_loss(scored, {"attention_mask": batch.mask_BT})
    theirs.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grad, model.heads[REWARD].dense.weight.grad, rtol=1e-5, atol=1e-6)
