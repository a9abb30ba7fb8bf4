"""One token at a time through a Llama-family network: weights laid out once, keys and values in buffers that grow.

Shapes: B rows, K key heads, H width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from affinage.data.batches import Row, collate
from affinage.device import free_memory
from affinage.models.logprobs import OutputHead
from affinage.models.packed.block import forward, normalise
from affinage.models.packed.buffers import Buffers
from affinage.models.packed.fixed import Fixed, FixedBlock
from affinage.models.packed.layout import Layout
from affinage.models.packed.stack import Stack
from affinage.models.packed.weights import CannotPackError, read_matrix

READ_TOKENS = 2048  # prompt tokens read at a time: what lies between two layers stays small
_SHARE = 0.5  # of the free memory, that a second layout of the weights may take


class Decoder:
    """A network's weights as decoding uses them. They are read once, here: what trains after that is not seen.

    Args:
        stack: the network's blocks.
        network: the network itself, for its embeddings and its output head.
        longest: most tokens of a prompt and its answer.

    Raises:
        CannotPackError: texts may outgrow the attention's window, or the memory is short.
    """

    @torch.no_grad()
    def __init__(self, stack: Stack, network: Any, longest: int) -> None:
        if stack.window is not None and longest > stack.window:
            raise CannotPackError(f"texts of up to {longest} tokens are longer than its window of {stack.window}")
        if sum(tensor.nbytes for tensor in network.parameters()) > _SHARE * free_memory("cpu"):
            raise CannotPackError("the free memory does not hold a second layout of its weights")
        self.stack = stack
        self.embed = network.get_input_embeddings()
        self.blocks = [FixedBlock.of(block) for block in stack.blocks]
        self._head = OutputHead.of(network)
        self._fixed_head = _fixed(self._head)
        cos, sin = stack.rotary(stack.norm, torch.arange(longest)[None])
        half = cos.shape[-1] // 2
        self.turns = torch.complex(cos[0, :, :half], sin[0, :, :half])  # of each position and pair

    def logits(self, hidden_BH: Tensor) -> Tensor:
        """(B, H), normalised, -> (B, V) in float32."""
        if self._fixed_head is None:
            return self._head.logits(hidden_BH)
        return self._fixed_head(hidden_BH)

    def read(self, rows: Sequence[np.ndarray], buffers: Buffers, places: list[int]) -> Tensor:
        """The prompts `rows` without padding: hidden states (B, H) of their last tokens; keys and values to `places`."""
        batch = collate([Row(tokens, np.zeros(len(tokens), np.float32)) for tokens in rows], 0)
        layout = Layout.of(batch)
        ends_B = layout.starts_B + batch.mask_BT.sum(1) - 1
        stream, angles = self.embed(layout.tokens_N), self.stack.angles(layout)
        for number, block in enumerate(self.stack.blocks):
            wanted = ends_B if number == len(self.blocks) - 1 else None
            stream, seen = forward(stream, block, layout.runs, angles, keep=True, wanted=wanted)
            assert seen is not None
            buffers.fill(number, places, layout, seen.key, seen.value)
        return normalise(stream, self.stack.epsilon)[0].mul_(self.stack.norm)

    def step(self, tokens_B: Tensor, turns_BK: Tensor, buffers: Buffers) -> Tensor:
        """Append one token to each row: hidden states (B, H) after it."""
        stream = self.embed(tokens_B)
        buffers.open_column()
        for number, block in enumerate(self.blocks):
            heads = block.heads(normalise(stream, block.epsilon)[0]).view(len(turns_BK), -1, block.head_width)
            pairs = torch.view_as_complex(heads.view(*heads.shape[:2], -1, 2))
            pairs[:, :-1].mul_(turns_BK[:, None])  # all but the values
            stream.add_(block.out(buffers.attend(number, heads).view(len(stream), -1)))
            gate, up = block.gate_up(normalise(stream, block.epsilon)[0]).chunk(2, dim=1)
            stream.add_(block.down(F.silu(gate).mul_(up)))
        return normalise(stream, self.stack.epsilon)[0].mul_(self.stack.norm)


class DecodedRows:
    """Rows that grow together, each as if alone. What they give are inference tensors: no gradient passes them.

    Args:
        decoder: the weights.
        prompts: token ids of each row.
    """

    def __init__(self, decoder: Decoder, prompts: Sequence[Sequence[int]]) -> None:
        self._decoder = decoder
        self._prompts = [np.array(prompt, np.int32) for prompt in prompts]
        lengths = [len(prompt) for prompt in prompts]
        self._next_B = torch.tensor(lengths)
        first = decoder.blocks[0]
        self._heads = first.key_heads
        self._buffers = Buffers(len(decoder.blocks), lengths, first.key_heads, first.head_width)

    @torch.inference_mode()
    def prefill(self) -> Tensor:
        """Read the prompts: logits (B, V) after their last tokens."""
        hidden_BH = torch.empty(len(self._prompts), len(self._decoder.stack.norm))
        for places in self._readings():
            hidden_BH[places] = self._decoder.read([self._prompts[b] for b in places], self._buffers, places)
        return self._decoder.logits(hidden_BH)

    @torch.inference_mode()
    def advance(self, tokens_B: Tensor) -> Tensor:
        """Append one token to each row: logits (B, V) after it."""
        turns_BK = self._decoder.turns[self._next_B].repeat_interleave(self._heads, 0)
        self._next_B = self._next_B + 1
        return self._decoder.logits(self._decoder.step(tokens_B, turns_BK, self._buffers))

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows only, in this order; one named several times is copied."""
        self._buffers.select(rows)
        self._next_B = self._next_B[list(rows)]

    def _readings(self) -> Iterator[list[int]]:
        """Rows to read together, those of equal length side by side."""
        reading: list[int] = []
        tokens = 0
        for place in sorted(range(len(self._prompts)), key=lambda b: len(self._prompts[b])):
            if reading and tokens + len(self._prompts[place]) > READ_TOKENS:
                yield reading
                reading, tokens = [], 0
            reading.append(place)
            tokens += len(self._prompts[place])
        yield reading


def _fixed(head: OutputHead) -> Fixed | None:
    """The output head laid out, where it is one linear layer."""
    if head.multiplier != 1.0 or head.softcap is not None:
        return None
    try:
        matrix = read_matrix(head.projection)
    except CannotPackError:
        return None
    return Fixed.of(matrix.whole(), matrix.bias)
