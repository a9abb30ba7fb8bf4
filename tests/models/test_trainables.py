"""Which weights may move: refused early, counted early, marked exactly."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from affinage.errors import InputError
from affinage.models.adapted import AdaptedModel
from affinage.models.heads import CLASSIFIER, ClassifierHead
from affinage.models.loading import Base, open_base
from affinage.models.trainables import check_trainable, count_trainable, mark, parse_layers
from affinage.recipe import HeadSettings, make_recipe
from tests.models.networks import batch, bert, llama, save_base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return open_base(str(save_base(tmp_path_factory.mktemp("llama"), llama())))


@pytest.mark.parametrize(
    ("settings", "blocks"),
    [
        ({"train": "full"}, None),
        ({"train": "full", "layers": "1"}, {"1"}),
        ({"train": "last:1"}, {"1"}),
        ({"train": "last:2"}, {"0", "1"}),
        ({"train": "last:2", "layers": "0"}, {"0"}),
        ({"train": "head"}, set()),
        ({"train": "lora", "layers": "0"}, {"0"}),
    ],
)
def test_exactly_what_is_named_moves(base: Base, settings: dict[str, Any], blocks: set[str] | None) -> None:
    recipe = make_recipe(settings)
    head = ClassifierHead(["a", "b", "c"], 64, recipe.head)
    model = AdaptedModel(llama(), causal=True, heads={CLASSIFIER: head})
    mark(model, recipe, settings["train"])
    moving = dict(model.trainable_parameters())
    inside = {name for name in moving if not name.startswith("heads.")}
    assert len(moving) - len(inside) == len(list(head.parameters()))
    if blocks is None:
        everything = {f"network.{name}" for name, _ in model.network.named_parameters()}
        assert inside == everything - {"network.lm_head.weight"}  # nothing reads it under a head
    else:
        assert {name.split(".layers.")[1].split(".")[0] for name in inside} == blocks
    count = count_trainable(recipe, settings["train"], base, base.skeleton(), classes=3)
    assert count == sum(tensor.numel() for tensor in moving.values())


def test_the_unused_pooler_of_an_encoder_stays() -> None:
    model = AdaptedModel(bert(), causal=False)
    mark(model, make_recipe({"train": "full"}), "full")
    (model.hidden(batch()) ** 3).sum().backward()
    assert all(tensor.grad is not None for _, tensor in model.trainable_parameters())
    assert not any("pooler" in name for name, _ in model.trainable_parameters())


def test_what_moves_is_held_in_float32() -> None:
    model = AdaptedModel(llama().to(torch.bfloat16), causal=True, dtype=torch.bfloat16)
    mark(model, make_recipe({"train": "last:1"}), "last:1")
    assert {tensor.dtype for _, tensor in model.trainable_parameters()} == {torch.float32}
    model.weighted_nll(batch()).backward()
    assert all(tensor.grad is not None and tensor.grad.any() for _, tensor in model.trainable_parameters())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train": "head"}, "no head of its own"),
        ({"train": "last:3"}, "N from 1 to 2"),
        ({"train": "last"}, "expected last:N"),
        ({"train": "last:1", "layers": "0"}, "leaves no block"),
        ({"train": "full", "layers": "0-4"}, "blocks 0 to 1"),
        ({"train": "full", "rank": 4}, "rank is a setting of adapters"),
        ({"train": "lora", "initialise": "random"}, "the random base would be lost"),
        ({"train": "fulll"}, "Did you mean 'full'"),
        ({"train": "qlora"}, "4 bits"),
    ],
)
def test_what_cannot_train_is_refused(base: Base, settings: dict[str, Any], said: str) -> None:
    recipe = make_recipe(settings)
    with pytest.raises(InputError, match=said):
        check_trainable(recipe, settings["train"], base, base.skeleton(), has_head=False)


def test_the_skeleton_is_left_as_it_was(base: Base) -> None:
    skeleton = base.skeleton()
    names = [name for name, _ in skeleton.named_parameters()]
    check_trainable(make_recipe({"train": "lora"}), "lora", base, skeleton, has_head=False)
    assert [name for name, _ in skeleton.named_parameters()] == names


def test_a_deep_head_is_counted(base: Base) -> None:
    shape = HeadSettings(depth=3, width=10)
    recipe = make_recipe({"train": "head", "head": shape.model_dump()})
    expected = sum(p.numel() for p in ClassifierHead(["a", "b"], 64, shape).parameters())
    assert count_trainable(recipe, "head", base, base.skeleton(), classes=2) == expected


def test_layers_are_parsed() -> None:
    assert parse_layers("0-2, 5", 6) == {0, 1, 2, 5}
    assert parse_layers(None, 6) is None
    for wrong in ("x", "3-1", "6", "1,,2"):
        with pytest.raises(InputError, match="layers = "):
            parse_layers(wrong, 6)
