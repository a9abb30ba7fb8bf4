"""Token ids with a part of their own: those that end an answer, and one to pad with."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from affinage.data.rendering.encoding import Encoder
from affinage.data.rendering.endings import Endings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def stop_ids(tokenizer: PreTrainedTokenizerBase, encoder: Encoder, endings: Endings) -> tuple[int, ...]:
    """The token that the template writes after an answer, EOS, and the token that it writes after calls."""
    closing = [encoder.control[text] for text, control in encoder.split(endings.closing) if control][-1:]
    calls = [encoder.control[endings.of_calls.token]] if endings.of_calls.token else []
    eos = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    return tuple(dict.fromkeys((*closing, *eos, *calls)))


def pad_id(tokenizer: PreTrainedTokenizerBase, encoder: Encoder, stops: Collection[int]) -> int:
    """A token to pad with that never ends anything. Padding is told apart by position, so any other will do."""
    control = encoder.control
    ends = {tokenizer.eos_token_id, *stops}
    spare = sorted(control, key=lambda token: "pad" not in token.lower())
    choices = [tokenizer.pad_token_id, tokenizer.unk_token_id, *(control[token] for token in spare), 0, 1]
    return int(next(choice for choice in choices if choice is not None and choice not in ends))
