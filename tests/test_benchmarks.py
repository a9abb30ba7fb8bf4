"""The benchmarks' own sums: operations counted from shapes are those that torch counts, and every job can be drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TOKENS = 17


@pytest.fixture(autouse=True)
def _beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def _llama(shape: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=shape.width, intermediate_size=shape.inner, num_hidden_layers=shape.blocks,
        num_attention_heads=shape.heads, num_key_value_heads=shape.key_heads, vocab_size=shape.vocabulary,
        tie_word_embeddings=True, attn_implementation="eager",
    )  # fmt: skip
    return LlamaForCausalLM(config)


@pytest.mark.parametrize("train", ["full", "last:2", "lora"])
def test_operations_are_those_that_torch_counts(train: str) -> None:
    from jobs import Shape
    from operations import Piece, reading, training

    shape, piece = Shape(48, 3, 4, 2, 64, 100), Piece(TOKENS, 0, TOKENS, TOKENS)
    unseen = 4.0 * (TOKENS**2 - piece.pairs) * shape.width  # of a block: the plain attention multiplies them as well
    network = _llama(shape)
    tokens = torch.randint(0, shape.vocabulary, (1, TOKENS))
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        network(tokens)
    assert reading(shape, [piece]) + shape.blocks * unseen == counted.get_total_flops()
    moving = shape.blocks
    if train == "last:2":
        moving = 2
        network.requires_grad_(False).model.layers[-2:].requires_grad_(True)
    if train == "lora":
        from peft import LoraConfig, get_peft_model

        network = get_peft_model(network, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    with FlopCounterMode(display=False) as counted:
        network(tokens, labels=tokens).loss.backward()
    unseen *= shape.blocks + 2 * moving
    assert training(shape, [piece], train, 4).over(1) + unseen == pytest.approx(counted.get_total_flops(), rel=0.01)


def test_shared_prompts_and_passes_count_once() -> None:
    from operations import Count, Piece

    whole = Piece(10)
    assert Piece(4).pairs + Piece(6, before=4).pairs == whole.pairs
    assert Piece(10, wanted=3).wanted_pairs == 8 + 9 + 10
    assert (Count(2, 3) + Count(1, 1)).over(10) == 3 + 40


def test_every_job_can_be_drawn(tmp_path: Path) -> None:
    from jobs import JOBS
    from work import PAD, write_work

    for job in JOBS:
        work = write_work(job, path := tmp_path / f"{job.name}.json", model=tmp_path, threads=1)
        assert json.loads(path.read_text()) == work
        assert work == write_work(job, path, model=tmp_path, threads=1)
        assert len(work["steps"]) == job.steps * max(job.epochs, default=1)
        assert all(PAD not in row["tokens"] and row["learned"] < len(row["tokens"]) for row in work["rows"])
        names = [measure["name"] for measure in work["measures"]]
        assert {goal.measure for goal in job.goals} <= set(names)
        assert all(measure["tokens"] > 0 for measure in work["measures"])


def test_ratios_are_formed_within_a_repetition() -> None:
    from jobs import JOBS
    from report import summarise, table

    job = next(one for one in JOBS if one.name == "pretrain")
    run = lambda seconds, peak: {  # noqa: E731
        "seconds": {"training": seconds}, "limits": {"torch": 100.0, "onednn": 200.0}, "seconds_to_first_step": 1.0,
        "imported_bytes": 100, "peak_bytes": peak, "losses": [2.0, 1.0],
    }  # fmt: skip
    measures = [{"name": "training", "tokens": 60, "operations": 140.0}]
    runs = {"affinage": [run(2.0, 200), run(4.0, 200)], "hf": [run(3.0, 600), run(8.0, 600)]}
    found = summarise(job, measures, runs)
    assert found["measures"]["training"]["hf"]["ratio"] == {"median": 1.75, "low": 1.5, "high": 2.0}
    assert found["measures"]["training"]["affinage"]["shares"]["torch"]["high"] == 0.7
    assert [goal["met"] for goal in found["goals"]] == [True, False, True]
    assert "1.75 x (1.50 to 2.00)" in table(job.name, found)
