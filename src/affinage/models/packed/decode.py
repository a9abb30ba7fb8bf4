"""One token at a time through a Llama-family network: weights laid out once, keys and values in buffers that grow.

All rows write into the same column of the buffers: a shorter prompt begins further right, and what stands left of it is
masked.

Shapes: B rows, T columns that are filled, K key and value heads, G query heads of each, D width of a head, H width,
V vocabulary, N prompt tokens that are read together. Buffers have room for more rows and columns than are filled.
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
from affinage.models.packed.fixed import Fixed, FixedBlock, paired
from affinage.models.packed.layout import Layout
from affinage.models.packed.stack import Stack
from affinage.models.packed.weights import CannotPack, read_matrix

READ_TOKENS = 2048  # prompt tokens read at a time: what lies between two layers stays small
GROWTH = 64  # columns that the buffers grow by at least
_SHARE = 0.5  # of the free memory, that a second layout of the weights may take


class Decoder:
    """A network's weights as decoding uses them. They are read once, here: what trains after that is not seen.

    Args:
        stack: the network's blocks.
        network: the network itself, for its embeddings and its output head.
        longest: most tokens of a prompt and its answer.

    Raises:
        CannotPack: texts may outgrow the attention's window, or the memory is short.
    """

    @torch.no_grad()
    def __init__(self, stack: Stack, network: Any, longest: int) -> None:
        if stack.window is not None and longest > stack.window:
            raise CannotPack(f"texts of up to {longest} tokens are longer than its window of {stack.window}")
        if sum(tensor.nbytes for tensor in network.parameters()) > _SHARE * free_memory("cpu"):
            raise CannotPack("the free memory does not hold a second layout of its weights")
        self.stack = stack
        self.embed = network.get_input_embeddings()
        self.blocks = [FixedBlock.of(block) for block in stack.blocks]
        self._head = OutputHead.of(network)
        self._fixed_head = _fixed(self._head)
        cos, sin = stack.rotary(stack.norm, torch.arange(longest)[None])
        half = cos.shape[-1] // 2
        self.turns = torch.complex(cos[0, :, :half], sin[0, :, :half])  # of each position and pair

    @property
    def key_heads(self) -> int:
        return self.blocks[0].key_heads

    def logits(self, hidden_BH: Tensor) -> Tensor:
        """(B, H), normalised, -> (B, V) in float32."""
        return self._head.logits(hidden_BH) if self._fixed_head is None else self._fixed_head(hidden_BH)

    def read(self, rows: Sequence[np.ndarray], buffers: _Buffers, places: list[int]) -> Tensor:
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

    def step(self, tokens_B: Tensor, turns_BK: Tensor, buffers: _Buffers) -> Tensor:
        """Append one token to each row: hidden states (B, H) after it."""
        stream = self.embed(tokens_B)
        column = buffers.open_column()
        for number, block in enumerate(self.blocks):
            keys, values = buffers.of(number)
            heads = block.heads(normalise(stream, block.epsilon)[0]).view(len(turns_BK), -1, block.head_width)
            pairs = torch.view_as_complex(heads.unflatten(-1, (-1, 2)))
            pairs[:, :-1].mul_(turns_BK[:, None])
            keys[:, :, column] = heads[:, -2]
            values[:, column] = heads[:, -1]
            scores = torch.bmm(heads[:, :-2], keys[:, :, : column + 1])
            if buffers.mask is not None:
                scores[:, :, : buffers.mask.shape[2]].add_(buffers.mask)
            attended = torch.bmm(scores.softmax(-1), values[:, : column + 1])
            stream.add_(block.out(attended.view(len(stream), -1)))
            gate, up = block.gate_up(normalise(stream, block.epsilon)[0]).chunk(2, dim=1)
            stream.add_(block.down(F.silu(gate).mul_(up)))
        return normalise(stream, self.stack.epsilon)[0].mul_(self.stack.norm)


class _Buffers:
    """Keys (B x K, D, columns) and values (B x K, columns, D) of each block.

    Args:
        blocks: how many blocks.
        lengths: tokens of each row's prompt.
        heads: key heads.
        width: of a head.
    """

    def __init__(self, blocks: int, lengths: Sequence[int], heads: int, width: int) -> None:
        self._heads, self._rows, self._filled = heads, len(lengths) * heads, max(lengths)
        columns = self._filled + GROWTH
        self._keys = [torch.zeros(self._rows, width, columns) for _ in range(blocks)]
        self._values = [torch.zeros(self._rows, columns, width) for _ in range(blocks)]
        before_B = self._filled - torch.tensor(lengths)
        hidden_BT = torch.arange(int(before_B.max())) < before_B[:, None]
        mask = torch.zeros(hidden_BT.shape).masked_fill_(hidden_BT, -torch.inf)
        self.mask = mask.repeat_interleave(heads, 0)[:, None] if hidden_BT.numel() else None

    def of(self, block: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the rows that are left."""
        return self._keys[block][: self._rows], self._values[block][: self._rows]

    def fill(self, block: int, places: list[int], layout: Layout, key_NKD: Tensor, value_NKD: Tensor) -> None:
        """Take the prompts' keys and values, row behind row, to the rows `places`."""
        keys, values = (part[block].unflatten(0, (-1, self._heads)) for part in (self._keys, self._values))
        done = 0
        for run in layout.runs:
            own, columns = places[done : done + run.count], slice(self._filled - run.length, self._filled)
            key, value = (part[run.start : run.end].unflatten(0, (run.count, -1)) for part in (key_NKD, value_NKD))
            keys[own, :, :, columns] = paired(key).permute(0, 2, 3, 1)
            values[own, :, columns] = value.transpose(1, 2)
            done += run.count

    def open_column(self) -> int:
        """The next column, with room made for it."""
        column, columns = self._filled, self._values[0].shape[1]
        self._filled += 1
        if column == columns:
            more = max(GROWTH, columns // 2)
            self._keys = [F.pad(part[: self._rows], (0, more)) for part in self._keys]
            self._values = [F.pad(part[: self._rows], (0, 0, 0, more)) for part in self._values]
        return column

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order. Rows that only close gaps are moved; otherwise all are copied."""
        moved = {place: row for place, row in enumerate(rows) if place != row}
        count = len(rows) * self._heads
        if count <= self._rows and all(row >= len(rows) for row in moved.values()):
            for part in (*self._keys, *self._values, *([] if self.mask is None else [self.mask])):
                by_row = part.unflatten(0, (-1, self._heads))
                by_row[list(moved)] = by_row[list(moved.values())]
        else:
            index = torch.tensor(list(rows))
            self._keys, self._values = ([self._taken(part, index) for part in parts] for parts in (self._keys, self._values))
            self.mask = None if self.mask is None else self._taken(self.mask, index)
        self._rows = count
        self.mask = None if self.mask is None else self.mask[:count]

    def _taken(self, part: Tensor, index: Tensor) -> Tensor:
        return part.unflatten(0, (-1, self._heads)).index_select(0, index).flatten(0, 1)


class DecodedRows:
    """Rows that grow together, each as if alone. A row's place stays the same until `select`.

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
        self._buffers = _Buffers(len(decoder.blocks), lengths, first.key_heads, first.head_width)

    @torch.no_grad()
    def prefill(self) -> Tensor:
        """Read the prompts: logits (B, V) after their last tokens."""
        hidden_BH = torch.empty(len(self._prompts), len(self._decoder.stack.norm))
        for places in self._readings():
            hidden_BH[places] = self._decoder.read([self._prompts[b] for b in places], self._buffers, places)
        return self._decoder.logits(hidden_BH)

    @torch.no_grad()
    def advance(self, tokens_B: Tensor) -> Tensor:
        """Append one token to each row: logits (B, V) after it."""
        turns_BK = self._decoder.turns[self._next_B].repeat_interleave(self._decoder.key_heads, 0)
        self._next_B = self._next_B + 1
        return self._decoder.logits(self._decoder.step(tokens_B, turns_BK, self._buffers))

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
    except CannotPack:
        return None
    return Fixed.of(matrix.whole(), matrix.bias)
