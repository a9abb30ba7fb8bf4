"""All blocks of a Llama-family network on packed tokens, as one step of autograd.

Shapes: N real tokens, H width, M tokens whose hidden states are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from affinage.models.packed.block import Angles, Seen, backward, forward, normalise, normalise_backward
from affinage.models.packed.layout import Layout
from affinage.models.packed.weights import Block, CannotPackError, check_family, read_block, read_norm, window

_WORTH = 0.9  # share of the tokens above which leaving the others out of the last block is not worth the copies


@dataclass(slots=True)
class Stack:
    """The blocks from `first` on, and the last normalisation."""

    blocks: tuple[Block, ...]
    norm: Tensor
    epsilon: float
    rotary: Any
    window: int | None
    first: int = 0

    @classmethod
    def of(cls, network: Any, first: int = 0) -> Stack:
        """Read a causal network, bare or with plain LoRA in it.

        Raises:
            CannotPackError: it is not of a family that the packed pass covers, or another adapter changes it.
        """
        check_family(network)
        body = network.model
        blocks = tuple(read_block(layer) for layer in body.layers[first:])
        return cls(blocks, *read_norm(body.norm), body.rotary_emb, window(network), first)

    def above(self, depth: int) -> Stack:
        """The same network from block `depth` on."""
        return replace(self, blocks=self.blocks[depth - self.first :], first=depth)

    @property
    def trained(self) -> list[Tensor]:
        """The tensors that train, in a fixed order."""
        every = [tensor for block in self.blocks for tensor in block.tensors] + [self.norm]
        return [tensor for tensor in every if tensor.requires_grad]

    def check(self, layout: Layout) -> None:
        """That each text fits the window.

        Raises:
            CannotPackError: a token would see further back than the network lets it.
        """
        if self.window is not None and layout.longest > self.window:
            raise CannotPackError(
                f"a text of {layout.longest} tokens is longer than the attention's window of {self.window}"
            )

    def angles(self, layout: Layout) -> Angles:
        """Rotary angles of the layout's tokens."""
        cos, sin = self.rotary(self.norm, layout.positions_N[None])
        half = cos.shape[-1] // 2
        return Angles(cos[0, :, None, :half].contiguous(), sin[0, :, None, :half].contiguous())

    def __call__(self, entering_NH: Tensor, layout: Layout, places_M: Tensor | None = None) -> Tensor:
        """Normalised hidden states of the tokens at `places_M` (M, H), of all tokens where that is None."""
        self.check(layout)
        trained = self.trained
        if not torch.is_grad_enabled() or not (trained or entering_NH.requires_grad):
            return self.run(entering_NH.detach(), layout, places_M)[0]
        found: Tensor = _Pass.apply(self, layout, places_M, entering_NH, *trained)  # type: ignore[no-untyped-call]
        return found

    @torch.no_grad()
    def run(
        self, entering_NH: Tensor, layout: Layout, places_M: Tensor | None = None, keep_from: int | None = None
    ) -> tuple[Tensor, list[Seen | None], tuple[Tensor, Tensor, Tensor | None]]:
        """The forward pass: outputs, what each block's gradient needs (from block `keep_from` on), the last norm's."""
        angles, stream, wanted, spread = self.angles(layout), entering_NH.clone(), None, places_M
        if places_M is not None and self.blocks:
            needed, within = torch.unique(places_M, return_inverse=True)
            if len(needed) < _WORTH * len(stream):
                wanted, spread = needed, within
        seen: list[Seen | None] = []
        for number, block in enumerate(self.blocks):
            last = number == len(self.blocks) - 1
            keep = keep_from is not None and number >= keep_from
            stream, one = forward(stream, block, layout.runs, angles, keep=keep, wanted=wanted if last else None)
            seen.append(one)
        normal, inverse = normalise(stream, self.epsilon)
        out = normal * self.norm
        return (out if spread is None else out[spread]), seen, (normal, inverse, spread)

    def lowest(self, entering: bool) -> int:
        """The first block that the gradient must reach."""
        return 0 if entering else next((n for n, block in enumerate(self.blocks) if block.trains), len(self.blocks))

    @torch.no_grad()
    def states(self, entering_NH: Tensor, layout: Layout, layers: Sequence[int | None]) -> list[Tensor]:
        """The residual stream (N, H) after each of `layers` blocks, counted from the first of all.

        0 is the stream as it enters; None, -1 and the number of blocks are the normalised end.
        """
        self.check(layout)
        depth = self.first + len(self.blocks)
        asked = [depth if layer is None else layer % (depth + 1) for layer in layers]
        angles, stream, found = self.angles(layout), entering_NH.clone(), {}
        for number in range(self.first, max(asked) + 1):
            if number in asked:
                found[number] = (
                    normalise(stream, self.epsilon)[0].mul_(self.norm) if number == depth else stream.clone()
                )
            if number < max(asked):
                stream, _ = forward(stream, self.blocks[number - self.first], layout.runs, angles, keep=False)
        return [found[layer] for layer in asked]


class _Pass(torch.autograd.Function):
    """The stack's forward pass and its gradient, for the entering stream and whatever trains."""

    @staticmethod
    def forward(
        ctx: Any, stack: Stack, layout: Layout, places_M: Tensor | None, entering: Tensor, *trained: Tensor
    ) -> Tensor:
        ctx.stack, ctx.layout = stack, layout
        ctx.down = stack.lowest(entering.requires_grad)
        ctx.entering = entering.requires_grad
        out, ctx.seen, ctx.last = stack.run(entering, layout, places_M, ctx.down)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        stack, layout, found = ctx.stack, ctx.layout, {}
        trained = stack.trained

        def note(tensor: Tensor, grad: Tensor) -> None:
            found[id(tensor)] = grad

        normal, inverse, spread = ctx.last
        grad = grads[0]
        grad = grad.clone() if spread is None else normal.new_zeros(normal.shape).index_add_(0, spread, grad)
        stream = normalise_backward(torch.zeros_like(normal), grad, normal, inverse, stack.norm, note)
        angles, seen = stack.angles(layout), ctx.seen
        ctx.seen = None
        for number in reversed(range(ctx.down, len(stack.blocks))):
            further = ctx.entering or number > ctx.down
            below = backward(stream, seen[number], stack.blocks[number], layout.runs, angles, note, further=further)
            seen[number] = None  # its memory is free for the next
            if below is None:
                break
            stream = below
        return None, None, None, stream if ctx.entering else None, *(found.get(id(tensor)) for tensor in trained)
