"""Log-probabilities of rows: the chunked sums are those of plain log-softmax, in value and gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from affinage.models.adapted import AdaptedModel
from affinage.models.logprobs import OutputHead, row_nll
from tests.models.networks import batch, llama

ROWS = 4


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affinage.models.logprobs.CHUNK_BYTES", 4 * 50 * 16)


def parts(variant: str) -> tuple[OutputHead, Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    projection = nn.Linear(16, 50, bias=variant == "biased")
    head = OutputHead(projection, 1.0, 3.0 if variant == "softcapped" else None)
    owners = torch.randint(ROWS - 1, (70,))  # the last row owns nothing
    return head, torch.randn(70, 16), torch.randint(50, (70,)), torch.rand(70), owners


def plain(head: OutputHead, hidden: Tensor, targets: Tensor, weights: Tensor, owners: Tensor) -> Tensor:
    chosen = torch.log_softmax(head.logits(hidden), dim=-1).gather(1, targets[:, None])[:, 0]
    return torch.zeros(ROWS).index_add(0, owners, -chosen * weights)


@pytest.mark.parametrize("trained", ["hidden", "head", "both"])
@pytest.mark.parametrize("variant", ["plain", "biased", "softcapped"])
def test_rows_cost_what_log_softmax_says(variant: str, trained: str) -> None:
    head, hidden, *rest = parts(variant)
    weight = head.projection.weight
    found: list[list[Tensor]] = []
    for way in (lambda states: row_nll(states, head, *rest, ROWS), lambda states: plain(head, states, *rest)):
        hidden = hidden.detach().requires_grad_(trained != "head")
        head.projection.requires_grad_(trained != "hidden")
        head.projection.zero_grad()
        sums = way(hidden)
        (torch.tensor([2.0, -1.0, 0.5, 7.0]) * sums).sum().backward()
        found.append([sums.detach(), *(t.grad for t in (hidden, weight) if t.grad is not None)])
    assert len(found[0]) == len(found[1]) == (3 if trained == "both" else 2)
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert found[0][0][-1] == 0


def test_nothing_is_kept_for_a_gradient_that_nobody_asks_for() -> None:
    head, hidden, *rest = parts("plain")
    with torch.inference_mode():
        sums = row_nll(hidden, head, *rest, ROWS)
    torch.testing.assert_close(sums, plain(head, hidden, *rest), rtol=1e-5, atol=1e-5)


def test_the_gradient_in_16_bits_is_near_that_in_32() -> None:
    head, hidden, *rest = parts("plain")
    grads = []
    for inside in (True, False):
        hidden = hidden.detach().requires_grad_()
        head.projection.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=inside):
            sums = row_nll(hidden, head, *rest, ROWS)
        sums.sum().backward()
        grads.append((hidden.grad, head.projection.weight.grad.clone()))
    for low, high in zip(*grads, strict=True):
        assert low.dtype == torch.float32
        torch.testing.assert_close(low, high, rtol=2e-2, atol=3e-2)


def test_a_models_rows_are_those_of_its_logits() -> None:
    model, some = AdaptedModel(llama(), causal=True), batch((9, 5, 7))
    logits = model.network(input_ids=some.tokens_BT).logits[:, :-1].log_softmax(-1)
    chosen = logits.gather(2, some.tokens_BT[:, 1:, None])[..., 0]
    expected = (chosen * some.weights_BT[:, 1:]).sum(1)
    torch.testing.assert_close(model.row_logprobs(some), expected, rtol=1e-5, atol=1e-5)
