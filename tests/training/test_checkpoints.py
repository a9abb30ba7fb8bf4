"""A run that stops and goes on is the run that never stopped, bit for bit."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from affinage.data.batches import Batches
from affinage.models.adapted import AdaptedModel
from affinage.objectives.language import LanguageObjective
from affinage.training.checkpoints import ResumePoint, load_checkpoint, save_checkpoint
from affinage.training.loop import train
from affinage.training.optimizer import make_optimizer, make_schedule
from tests.models.networks import llama
from tests.training.test_loop import rows


def pieces(name: str) -> tuple[AdaptedModel, torch.optim.Optimizer, Batches]:
    model = AdaptedModel(llama(attention_dropout=0.1), causal=True)
    optimizer = make_optimizer(model, name, learning_rate=1e-3, weight_decay=0.1)
    return model, optimizer, Batches(rows(20), budget=128, micro=64, pad_id=0, epochs=8, seed=1)


SCHEDULE = make_schedule("cosine", peak=1e-3, steps=30, warmup=0.1, final=0.1)


@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize("stop", [1, 7, 12])
def test_resumed_equals_straight(name: str, stop: int, tmp_path: Path) -> None:
    torch.manual_seed(5)
    straight, optimizer, batches = pieces(name)
    torch.manual_seed(9)
    for _ in itertools.islice(train(straight, LanguageObjective(), batches, optimizer, SCHEDULE), 15):
        pass

    model, optimizer, batches = pieces(name)
    torch.manual_seed(9)
    for step in train(model, LanguageObjective(), batches, optimizer, SCHEDULE):
        if step.step == stop:
            save_checkpoint(tmp_path, ResumePoint(stop, batches.state_dict(), {"best": 1.5}), model, optimizer)
            break
    torch.manual_seed(1234)  # whatever happened in between
    resumed, optimizer, batches = pieces(name)
    point = load_checkpoint(tmp_path, resumed, optimizer)
    assert point is not None
    assert point.progress == {"best": 1.5}
    batches.load_state_dict(point.batches)
    again = train(resumed, LanguageObjective(), batches, optimizer, SCHEDULE, done=point.step)
    for _ in itertools.islice(again, 15 - stop):
        pass
    for (key, one), other in zip(straight.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), key


def test_an_unfinished_checkpoint_is_not_one(tmp_path: Path) -> None:
    model, optimizer, batches = pieces("adamw")
    save_checkpoint(tmp_path, ResumePoint(3, batches.state_dict(), {}), model, optimizer)
    broken = tmp_path / "step-00000009"
    broken.mkdir()
    (broken / "weights.safetensors").write_bytes(b"cut short")
    point = load_checkpoint(tmp_path, model, optimizer)
    assert point is not None
    assert point.step == 3


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    model, optimizer, batches = pieces("adamw")
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, ResumePoint(step, batches.state_dict(), {}), model, optimizer)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000003", "step-00000004"]
