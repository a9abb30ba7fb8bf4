"""Equivalences of the design: padded = one at a time, and the chunked loss = the plain one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from affinage.data.batches import collate
from affinage.models.adapted import AdaptedModel
from affinage.models.logprobs import OutputHead, token_nll, weighted_nll
from tests.models.networks import bert, llama
from tests.training.test_loop import rows


def test_padded_equals_alone_for_a_decoder() -> None:
    model = AdaptedModel(llama(), causal=True)
    many = rows(7)
    together = model.row_scores(collate(many, 0))
    for number, row in enumerate(many):
        alone = model.row_scores(collate([row], 0))
        torch.testing.assert_close(together.nll_B[number], alone.nll_B[0], rtol=1e-5, atol=1e-5)
        assert together.tokens_B[number] == alone.tokens_B[0] == row.learned


def test_padded_equals_alone_for_an_encoder() -> None:
    model = AdaptedModel(bert(), causal=False)
    many = rows(5)
    together = model.hidden(collate(many, 0))
    for number, row in enumerate(many):
        alone = model.hidden(collate([row], 0))[0]
        torch.testing.assert_close(together[number, : len(row)], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("positions", [1, 5, 300])
@pytest.mark.parametrize("variant", ["plain", "biased", "softcapped", "scaled"])
def test_chunked_loss_equals_the_plain_one(positions: int, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affinage.models.logprobs.CHUNK_BYTES", 4 * 50 * 64)
    torch.manual_seed(0)
    projection = nn.Linear(16, 50, bias=variant == "biased")
    head = OutputHead(projection, 0.5 if variant == "scaled" else 1.0, 3.0 if variant == "softcapped" else None)
    hidden = torch.randn(positions, 16, requires_grad=True)
    targets, weights = torch.randint(50, (positions,)), torch.rand(positions)
    ours = weighted_nll(hidden, head, targets, weights)
    (3 * ours).backward()
    found = hidden.grad.clone(), projection.weight.grad.clone()
    hidden.grad = projection.weight.grad = None
    plain = (F.cross_entropy(head.logits(hidden), targets, reduction="none") * weights).sum()
    (3 * plain).backward()
    torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(found[0], hidden.grad, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[1], projection.weight.grad, rtol=1e-5, atol=1e-5)
    nlls, hits = token_nll(hidden, head, targets)
    torch.testing.assert_close((nlls * weights).sum(), plain.detach(), rtol=1e-6, atol=1e-5)
    assert torch.equal(hits, head.logits(hidden).argmax(-1) == targets)
