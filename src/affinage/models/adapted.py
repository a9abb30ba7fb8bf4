"""The model as objectives see it: hidden states, log-likelihoods, encodings and heads, whatever trains inside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from affinage.data.batches import Batch
from affinage.models.frozen import FrozenBottom
from affinage.models.logprobs import OutputHead, row_nll, token_nll, weighted_nll
from affinage.models.packed.layout import Layout
from affinage.models.packed.stack import Stack
from affinage.models.packed.weights import CannotPackError
from affinage.store.arrays import ArrayCache


@dataclass(frozen=True, slots=True)
class RowScores:
    """Per row of a batch (B,): summed negative log-likelihood in nats, learned tokens, and how many were hit."""

    nll_B: Tensor
    tokens_B: Tensor
    hits_B: Tensor


class AdaptedModel(nn.Module):
    """A network of Hugging Face's layout (bare, or wrapped by the adapter library) with our heads beside it.

    Args:
        network: a causal LM or an encoder.
        causal: whether tokens see only what stands before them (then right padding needs no mask).
        heads: layers of our own, by name.
        dtype: numbers of the forward pass; weights that train stay float32.
    """

    def __init__(
        self,
        network: Any,
        *,
        causal: bool,
        heads: dict[str, nn.Module] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.network = network
        self.causal = causal
        self.dtype = dtype
        self.heads = nn.ModuleDict(heads or {})
        self.bottom: FrozenBottom | None = None  # what lies below the lowest block that trains, run once for each text
        self.pack = True  # off: every pass goes through the network's own modules, padded
        self.start_sums: dict[str, int] = {}  # checksums of what trains, taken when it was marked

    @property
    def plain(self) -> Any:
        """The network without the adapter library's wrapper."""
        return self.network.get_base_model() if hasattr(self.network, "get_base_model") else self.network

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.network.parameters()).device
        return device

    @property
    def output_head(self) -> OutputHead:
        return OutputHead.of(self.plain)

    @property
    def blocks(self) -> nn.ModuleList:
        """The stack of transformer blocks, from the embeddings up."""
        return find_blocks(self.plain)

    @property
    def virtual_tokens(self) -> int:
        """How many learned positions a prompt-learning adapter puts in front of each row."""
        config = getattr(self.network, "active_peft_config", None)
        if config is None or not config.is_prompt_learning or self.network._adapters_disabled:
            return 0
        return int(config.num_virtual_tokens)

    def precision(self) -> AbstractContextManager[Any]:
        """The context in which forward passes run: products in `dtype`, sums in float32."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def train(self, mode: bool = True) -> AdaptedModel:
        """Training mode for what trains; a network that is frozen throughout keeps its dropout off."""
        super().train(mode)
        if mode and not any(parameter.requires_grad for parameter in self.network.parameters()):
            self.network.eval()
        return self

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and tensors that move, in a fixed order."""
        return ((name, tensor) for name, tensor in self.named_parameters() if tensor.requires_grad)

    def hidden(self, batch: Batch, layer: int | None = None) -> Tensor:
        """Hidden states (B, T, H): the last (normalised), or those after block `layer` (0: the embeddings)."""
        return self.hidden_layers(batch, [layer])[0]

    def hidden_layers(self, batch: Batch, layers: Sequence[int | None]) -> list[Tensor]:
        """As `hidden`, for several layers out of one forward pass."""
        packed = self._packed(batch)
        if packed is not None and list(layers) == [None]:
            stack, layout = packed
            return [layout.padded(self._through(stack, layout))]
        if packed is not None and not torch.is_grad_enabled():
            stack, layout = packed
            found = stack.states(self._embedded(layout.tokens_N), layout, layers)
            return [layout.padded(state) for state in found]
        whole, moved_B = batch.unshared()
        body, inputs, virtual = self._inputs(whole)
        with self.precision():
            output = body(**inputs, use_cache=False, output_hidden_states=any(layer is not None for layer in layers))
        states = [output.last_hidden_state if layer is None else output.hidden_states[layer] for layer in layers]
        own = [state[:, virtual:] if virtual else state for state in states]
        return own if batch.continues_B is None else [_from(state, moved_B, batch.mask_BT.shape[1]) for state in own]

    def hidden_at(self, batch: Batch, rows_N: Tensor, columns_N: Tensor) -> Tensor:
        """Last hidden states (N, H) of some positions: a model that can, computes no others in its last block."""
        packed = self._packed(batch)
        if packed is not None:
            stack, layout = packed
            places_N = layout.starts_B[rows_N] + columns_N
            return self._through(stack, layout, places_N)
        whole, moved_B = batch.unshared()
        return self.hidden(whole)[rows_N, columns_N + moved_B[rows_N]]

    @property
    def passes(self) -> tuple[str, str]:
        """How batches go through: `packed` (no padding, gradients by hand) or `padded`, and why."""
        try:
            self.stack()
        except CannotPackError as reason:
            return "padded", str(reason)
        return "packed", "no padding, and no work that no gradient needs"

    def stack(self) -> Stack:
        """The packed pass of this model as it is now.

        Raises:
            CannotPackError: it has none; the message says why.
        """
        if not self.causal:
            raise CannotPackError("an encoder's tokens see each other both ways")
        if self.virtual_tokens:
            raise CannotPackError("its adapter puts virtual tokens in front")
        if self.dtype != torch.float32:
            raise CannotPackError("its passes are not in float32")
        if not self.pack:
            raise CannotPackError("asked for")
        return Stack.of(self.plain)

    def freeze_bottom(self, cache: ArrayCache | None) -> FrozenBottom | None:
        """Run what lies below the lowest block that trains once for each text from now on, where there is such a part.

        What trains must not change which weights are frozen while this holds; `bottom = None` ends it.
        """
        try:
            stack = self.stack()
        except CannotPackError:
            return None
        embeddings = list(self.plain.get_input_embeddings().parameters())
        depth = stack.lowest(entering=any(tensor.requires_grad for tensor in embeddings))
        if depth == 0 or depth == len(stack.blocks):
            return None
        frozen = embeddings + [tensor for block in stack.blocks[:depth] for tensor in block.tensors]
        described = {k: v for k, v in self.plain.config.to_dict().items() if k not in ("_name_or_path", "use_cache")}
        self.bottom = FrozenBottom(self._embedded, frozen, repr(sorted(described.items())), depth, cache)
        return self.bottom

    def _packed(self, batch: Batch) -> tuple[Stack, Layout] | None:
        """The pass without padding over this batch, where the model has one."""
        try:
            stack, layout = self.stack(), Layout.of(batch)
            stack.check(layout)
        except CannotPackError:
            return None
        return stack, layout

    def _through(self, stack: Stack, layout: Layout, places_M: Tensor | None = None) -> Tensor:
        """Last hidden states (M, H), from the lowest block on that must be run."""
        if self.bottom is None:
            return stack(self._embedded(layout.tokens_N), layout, places_M)
        return stack.above(self.bottom.depth)(self.bottom.entering(stack, layout), layout, places_M)

    def _embedded(self, tokens_N: Tensor) -> Tensor:
        embeddings: Tensor = self.plain.get_input_embeddings()(tokens_N)
        return embeddings

    def _inputs(self, batch: Batch) -> tuple[nn.Module, dict[str, Any], int]:
        """The body to call, its inputs, and how many virtual tokens an adapter put in front of each row."""
        mask = None if self.causal or bool(batch.mask_BT.all()) else batch.mask_BT.long()
        body = self.plain.base_model
        rows, virtual = batch.tokens_BT.shape[0], self.virtual_tokens
        if not virtual:
            return body, {"input_ids": batch.tokens_BT, "attention_mask": mask}, 0
        if mask is not None:
            mask = torch.cat([mask.new_ones(rows, virtual), mask], dim=1)
        prompt = self.network.get_prompt(batch_size=rows, task_ids=batch.tokens_BT.new_zeros(rows))
        if not isinstance(prompt, Tensor):  # keys and values for every block
            inputs = {"input_ids": batch.tokens_BT, "past_key_values": prompt, "attention_mask": mask}
            return body, inputs, 0
        embeddings = self.plain.get_input_embeddings()(batch.tokens_BT)
        inputs_embeds = torch.cat([prompt.to(embeddings.dtype), embeddings], dim=1)
        return body, {"inputs_embeds": inputs_embeds, "attention_mask": mask}, virtual

    def weighted_nll(self, batch: Batch) -> Tensor:
        """Sum of weight x negative log-likelihood over the batch's learned tokens, in nats."""
        found = batch.predictions()
        hidden_NH = self.hidden_at(batch, found.rows_N, found.columns_N)
        with self.precision():
            return weighted_nll(hidden_NH, self.output_head, found.targets_N, found.weights_N)

    def row_logprobs(self, batch: Batch) -> Tensor:
        """Per row (B,): the log-probability of its learned tokens, each times its weight, in nats; differentiable."""
        found, rows = batch.predictions(), batch.tokens_BT.shape[0]
        hidden_NH = self.hidden_at(batch, found.rows_N, found.columns_N)
        with self.precision():
            return -row_nll(hidden_NH, self.output_head, found.targets_N, found.weights_N, found.owners_N, rows)

    @torch.no_grad()
    def row_scores(self, batch: Batch) -> RowScores:
        """Log-likelihood and hits of each row's learned tokens (weights count as 0 or 1 here)."""
        found = batch.predictions()
        hidden_NH = self.hidden_at(batch, found.rows_N, found.columns_N)
        with self.precision():
            nll_N, hits_N = token_nll(hidden_NH, self.output_head, found.targets_N)
        zeros = torch.zeros(batch.tokens_BT.shape[0], dtype=torch.float64, device=nll_N.device)
        return RowScores(
            nll_B=zeros.index_add(0, found.owners_N, nll_N.double()),
            tokens_B=zeros.index_add(0, found.owners_N, torch.ones_like(nll_N, dtype=torch.float64)),
            hits_B=zeros.index_add(0, found.owners_N, hits_N.double()),
        )


def _from(states_BTH: Tensor, starts_B: Tensor, width: int) -> Tensor:
    """The states of `width` positions from each row's start on (the last one again beyond a row's end)."""
    columns_BT = starts_B[:, None] + torch.arange(width, device=starts_B.device)
    columns_BT = columns_BT.clamp(max=states_BTH.shape[1] - 1)
    return states_BTH.gather(1, columns_BT[:, :, None].expand(-1, -1, states_BTH.shape[2]))


def find_blocks(network: Any) -> nn.ModuleList:
    """The module list that holds the transformer blocks.

    Raises:
        LookupError: the network has no such list.
    """
    depth = int(network.config.get_text_config().num_hidden_layers)
    for module in network.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise LookupError(f"{type(network).__name__} has no list of {depth} blocks")
