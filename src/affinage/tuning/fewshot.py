"""The cheapest alternative to supervised tuning: a few training examples in the prompt of the untouched model."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import replace

from affinage.data.batches import Row
from affinage.data.records import Chat
from affinage.data.rendering.renderer import Renderer

MOST = 3  # examples


def few_shot_rows(
    renderer: Renderer, train: Sequence[Chat], records: Sequence[Chat], seed: int
) -> tuple[int, list[Row]]:
    """The rows of `records` with examples before them, and how many examples fitted (0: none did, no rows).

    Only what is learned from without examples is learned from with them, so that both score the same tokens. The
    examples come from the shorter half of the training rows and are the same for all.
    """
    short = sorted(train, key=lambda chat: sum(len(m.content) for m in chat.messages))[: max(MOST, len(train) // 2)]
    lenient = copy.copy(renderer)
    lenient.too_long = "drop"
    for shots in range(min(MOST, len(short)), 0, -1):
        chosen = random.Random(seed).sample(short, shots)
        rows, drops = lenient.rows([_with_examples(record, chosen) for record in records])
        if not drops:
            return shots, [replace(row, record_id=record.id) for row, record in zip(rows, records, strict=True)]
    return 0, []


def _with_examples(record: Chat, examples: Sequence[Chat]) -> Chat:
    system = [message for message in record.messages[:1] if message.role == "system"]
    shown = [replace(m, learn=False) for chat in examples for m in chat.messages if m.role != "system"]
    return replace(record, messages=(*system, *shown, *record.messages[len(system) :]))
