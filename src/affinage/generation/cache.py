"""One token at a time through a causal model, keys and values of what came before kept: by the packed pass where it
covers the model, by the network's own modules elsewhere.

Shapes: B rows, T prompt positions (left-padded, so that all rows write their next token in the same column), P virtual
positions that a prompt-learning adapter puts in front, S = P + T + steps taken so far, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from affinage.models.adapted import AdaptedModel
from affinage.models.packed.decode import DecodedRows, Decoder
from affinage.models.packed.weights import CannotPackError

FEW = 32  # tokens to write below which laying out the weights first costs more than it saves


class GrowingRows(Protocol):
    """Rows that grow together by one token at a time."""

    def prefill(self) -> Tensor:
        """Read the prompts: logits (B, V) after their last tokens."""
        ...

    def advance(self, tokens_B: Tensor) -> Tensor:
        """Append one token to each row: logits (B, V) after it."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows only, in this order; one named several times is copied."""
        ...


Open = Callable[[Sequence[Sequence[int]]], GrowingRows]  # prompts to rows


def opened(model: AdaptedModel, pad_id: int, *, longest: int, tokens: int) -> Open:
    """How rows of this model are grown from here on, as its weights are now.

    Args:
        model: a causal model; adapters of any kind may be attached.
        pad_id: id of the padding.
        longest: most tokens of a prompt and its answer.
        tokens: how many there are to write at most, all answers together.
    """
    try:
        if tokens < FEW:
            raise CannotPackError("few tokens are to be written")
        return partial(DecodedRows, Decoder(model.stack(), model.plain, longest))
    except CannotPackError:
        return partial(CachedRows, model, pad_id)


class CachedRows:
    """Rows that grow together. Padding is masked and positions are counted per row, so each row is as if alone.

    Args:
        model: a causal model; adapters of any kind may be attached.
        pad_id: id of the padding.
        prompts: token ids of each row.
    """

    def __init__(self, model: AdaptedModel, pad_id: int, prompts: Sequence[Sequence[int]]) -> None:
        self._model = model
        self._body = model.plain.base_model
        self._takes_positions = "position_ids" in inspect.signature(self._body.forward).parameters
        self._cache: Any = None
        lengths = [len(prompt) for prompt in prompts]
        width, virtual = max(lengths), model.virtual_tokens
        padded = [[pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        self._prompts_BT = torch.tensor(padded, device=model.device)
        self._next_B = torch.tensor(lengths, device=model.device) + virtual
        columns = torch.arange(width, device=model.device)
        real = columns >= width - torch.tensor(lengths, device=model.device)[:, None]
        self._mask_BS = torch.cat([real.new_ones(len(prompts), virtual), real], dim=1).long()
        self._ragged = min(lengths) < width

    @torch.no_grad()
    def prefill(self) -> Tensor:
        """Read the prompts: logits (B, V) after their last tokens."""
        from transformers import DynamicCache

        rows, virtual = len(self._prompts_BT), self._model.virtual_tokens
        positions_BS = (self._mask_BS.cumsum(1) - 1).clamp(min=0)
        prompt = self._model.network.get_prompt(batch_size=rows) if virtual else None
        if isinstance(prompt, Tensor):  # embeddings in front of the tokens'
            embeddings = self._model.plain.get_input_embeddings()(self._prompts_BT)
            inputs = {"inputs_embeds": torch.cat([prompt.to(embeddings.dtype), embeddings], dim=1)}
            self._cache = DynamicCache(config=self._model.plain.config)
        else:  # keys and values of the virtual positions, if any, are the cache to start from
            inputs = {"input_ids": self._prompts_BT}
            self._cache = DynamicCache(config=self._model.plain.config) if prompt is None else prompt
            positions_BS = positions_BS[:, virtual:]
        return self._forward(inputs, positions_BS)

    @torch.no_grad()
    def advance(self, tokens_B: Tensor) -> Tensor:
        """Append one token to each row: logits (B, V) after it."""
        self._mask_BS = torch.cat([self._mask_BS, self._mask_BS.new_ones(len(tokens_B), 1)], dim=1)
        logits_BV = self._forward({"input_ids": tokens_B[:, None]}, self._next_B[:, None])
        self._next_B = self._next_B + 1
        return logits_BV

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows only, in this order; one named several times is copied."""
        index = torch.tensor(list(rows), device=self._mask_BS.device)
        self._cache.reorder_cache(index)
        self._mask_BS, self._next_B = self._mask_BS[index], self._next_B[index]

    def _forward(self, inputs: dict[str, Tensor], positions_BT: Tensor) -> Tensor:
        if self._takes_positions:
            inputs["position_ids"] = positions_BT
        mask = self._mask_BS if self._ragged else None
        with self._model.precision():
            output = self._body(**inputs, attention_mask=mask, past_key_values=self._cache, use_cache=True)
            return self._model.output_head.logits(output.last_hidden_state[:, -1])
