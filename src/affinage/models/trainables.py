"""Which weights may move: each trainable is a function that marks parameters on a frozen model."""

from __future__ import annotations

import re
from collections.abc import Callable

from torch import nn

from affinage.errors import InputError
from affinage.models.adapted import AdaptedModel


def freeze(model: AdaptedModel) -> None:
    """Nothing moves."""
    model.requires_grad_(False)


def mark_head(model: AdaptedModel, layers: set[int] | None) -> None:
    """Only our heads move."""
    _mark(model.heads)


def mark_full(model: AdaptedModel, layers: set[int] | None) -> None:
    """Everything moves, or everything in the chosen blocks."""
    _mark(model.heads)
    if layers is None:
        _mark(model.network)
    for number, block in enumerate(model.blocks):
        if layers is not None and number in layers:
            _mark(block)


def last(count: int) -> Callable[[AdaptedModel, set[int] | None], None]:
    """The top `count` blocks move."""

    def mark_last(model: AdaptedModel, layers: set[int] | None) -> None:
        blocks = model.blocks
        top = set(range(len(blocks) - count, len(blocks)))
        mark_full(model, top if layers is None else top & layers)

    return mark_last


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


def _mark(module: nn.Module) -> None:
    for parameter in module.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
