"""Which weights may move: each trainable is a function that marks parameters on a frozen model."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from affinage.errors import InputError
from affinage.models.adapted import AdaptedModel, find_blocks
from affinage.models.adapters import Coverage, Wishes, attach, refuse
from affinage.models.loading import Base
from affinage.recipe import Recipe


def check_trainable(recipe: Recipe, train: str, base: Base, skeleton: Any, *, has_head: bool) -> None:
    """Everything that can be refused about `train` before weights load.

    Args:
        skeleton: the base's network without memory.
        has_head: whether the objective brings a head of its own.

    Raises:
        InputError: nothing would train, the model cannot take it, or a setting would have no effect.
    """
    blocks = parse_layers(recipe.layers, base.blocks)
    if train == "head" and not has_head:
        raise InputError("train = 'head': this objective has no head of its own to train", fix="use last:1")
    if train == "head" and blocks is not None:
        raise InputError(
            "layers narrows what trains inside the model, and train = 'head' trains nothing there", fix="remove layers"
        )
    if parse_last(train, base.blocks) is not None and not top_blocks(train, base.blocks, blocks):
        raise InputError(f"layers = {recipe.layers!r} leaves no block of {train} to train", fix="remove layers")
    if not is_adapter(train):
        _refuse_adapter_settings(recipe, train)
        return
    if recipe.initialise == "random":
        raise InputError(
            f"train = {train!r} with initialise = random: the random base would be lost", fix="use train=full"
        )
    refuse(train, base, wishes_of(recipe, base.blocks), skeleton=skeleton)


def count_trainable(
    recipe: Recipe, train: str, base: Base, skeleton: Any, *, classes: int = 0, reward: bool = False
) -> int:
    """How many parameters will move, with a head of `classes` classes (0: none) or one that says rewards."""
    widths = [base.width, *[recipe.head.width] * (recipe.head.depth - 1), classes]
    head = sum(a * b + b for a, b in pairwise(widths)) if classes else 0
    head = base.width if reward else head
    if is_adapter(train):
        return head + refuse(train, base, wishes_of(recipe, base.blocks), skeleton=skeleton).trained
    chosen = _chosen(skeleton, train, parse_layers(recipe.layers, base.blocks), has_head=bool(head))
    return head + sum(p.numel() for p in {id(p): p for module in chosen for p in module.parameters()}.values())


def mark(model: AdaptedModel, recipe: Recipe, train: str) -> Coverage | None:
    """Freeze the model, then let move what `train` names, and the heads; what moves is held in float32.

    Returns what an adapter reaches; None for head, last:N and full.

    Raises:
        InputError: as `check_trainable`.
    """
    blocks = len(model.blocks)
    coverage = None
    if is_adapter(train):
        coverage = attach(model, train, wishes_of(recipe, blocks))
    else:
        model.requires_grad_(False)
        chosen = _chosen(model.network, train, parse_layers(recipe.layers, blocks), has_head=bool(model.heads))
        for module in [*chosen, model.heads]:
            for parameter in module.parameters():
                parameter.requires_grad_(parameter.is_floating_point())
    for _, parameter in model.trainable_parameters():
        if parameter.dtype != torch.float32:
            parameter.data = parameter.data.float()
    model.start_sums = _sums(model)
    return coverage


def unchanged(model: AdaptedModel) -> bool:
    """Whether every tensor that trains still is what it was when it was marked."""
    return model.start_sums == _sums(model)


def is_adapter(train: str) -> bool:
    """Whether `train` is a method of the adapter library (or is meant to be one)."""
    return train not in ("head", "full") and not train.startswith("last")


def wishes_of(recipe: Recipe, blocks: int) -> Wishes:
    """What the recipe says about an adapter."""
    layers = parse_layers(recipe.layers, blocks)
    chosen = None if layers is None else frozenset(layers)
    return Wishes(recipe.rank, recipe.alpha, recipe.targets, chosen, dict(recipe.adapter))


def top_blocks(train: str, blocks: int, layers: set[int] | None) -> set[int]:
    """The block numbers that `last:N` moves."""
    top = set(range(blocks - (parse_last(train, blocks) or 0), blocks))
    return top if layers is None else top & layers


def parse_layers(text: str | None, blocks: int) -> set[int] | None:
    """`"0-2,5"` as block numbers; None stays None (all blocks).

    Raises:
        InputError: not of that form, or a number that the model does not have.
    """
    if text is None:
        return None
    chosen: set[int] = set()
    for part in str(text).split(","):
        found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if not found:
            raise InputError(f"layers = {text!r}: expected block numbers such as 0-3 or 2,5")
        first, final = int(found[1]), int(found[2] or found[1])
        if not first <= final < blocks:
            raise InputError(f"layers = {text!r}: the model has blocks 0 to {blocks - 1}")
        chosen.update(range(first, final + 1))
    return chosen


def parse_last(train: str, blocks: int) -> int | None:
    """The N of `last:N`, or None when `train` is something else.

    Raises:
        InputError: N is not a number of blocks that the model has.
    """
    if not train.startswith("last"):
        return None
    found = re.fullmatch(r"last:(\d+)", train)
    if not found or not 1 <= int(found[1]) <= blocks:
        raise InputError(f"train = {train!r}: expected last:N with N from 1 to {blocks}", fix="for example last:1")
    return int(found[1])


def _chosen(network: Any, train: str, layers: set[int] | None, *, has_head: bool) -> list[nn.Module]:
    """The modules of the network that head, last:N or full lets move; under a head of ours, no output projection."""
    if train == "head":
        return []
    blocks = find_blocks(network)
    if train == "full" and layers is None:
        read = network.base_model if has_head else network
        return [module for name, module in read.named_children() if name != "pooler"]  # no objective reads the pooler
    numbers = layers if train == "full" and layers else top_blocks(train, len(blocks), layers)
    return [blocks[number] for number in sorted(numbers)]


def _refuse_adapter_settings(recipe: Recipe, train: str) -> None:
    for key in ("rank", "alpha", "targets", "adapter"):
        if getattr(recipe, key):
            raise InputError(
                f"{key} is a setting of adapters, and train = {train!r} is none", fix=f"remove {key}, or use train=lora"
            )


def _sums(model: AdaptedModel) -> dict[str, int]:
    """A checksum of each tensor that trains: its bits, added up."""
    return {
        name: int(tensor.detach().contiguous().view(torch.int32).sum(dtype=torch.int64))
        for name, tensor in model.trainable_parameters()
    }
