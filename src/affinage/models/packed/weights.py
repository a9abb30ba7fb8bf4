"""A block's weights as the packed pass uses them, read from the network's own modules (plain LoRA included)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

FAMILIES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM")  # one block, the same in all of them
FIXED_ROPE = ("default", "linear", "llama3", "yarn")  # angles that do not depend on how long a batch is


class CannotPackError(Exception):
    """The packed pass does not cover this model; the message says why."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """A linear layer: x @ weight.T + bias, and with plain LoRA beside it + scale * (x @ down.T) @ up.T."""

    weight: Tensor
    bias: Tensor | None = None
    down: Tensor | None = None
    up: Tensor | None = None
    scale: float = 0.0

    @property
    def tensors(self) -> Iterator[Tensor]:
        """All tensors, those that do not train included."""
        return (tensor for tensor in (self.weight, self.bias, self.down, self.up) if tensor is not None)

    @torch.no_grad()
    def whole(self) -> Tensor:
        """The weight that does all of it at once: adding the product of two thin matrices to the weight is cheap,
        sending every token through them is not."""
        if self.down is None or self.up is None:
            return self.weight
        return torch.addmm(self.weight, self.up, self.down, alpha=self.scale)


@dataclass(frozen=True, slots=True)
class Block:
    """The weights of one transformer block (Touvron et al., 2023), and the shape of its heads."""

    norm: Tensor
    query: Matrix
    key: Matrix
    value: Matrix
    out: Matrix
    middle_norm: Tensor
    gate: Matrix
    up: Matrix
    down: Matrix
    epsilon: float
    head_width: int

    @property
    def scale(self) -> float:
        """What queries times keys are multiplied by."""
        return float(self.head_width**-0.5)

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        return self.query, self.key, self.value, self.out, self.gate, self.up, self.down

    @property
    def tensors(self) -> Iterator[Tensor]:
        yield from (self.norm, self.middle_norm)
        for matrix in self.matrices:
            yield from matrix.tensors

    @property
    def trains(self) -> bool:
        return any(tensor.requires_grad for tensor in self.tensors)


def check_family(network: Any) -> None:
    """That the packed pass computes what this network computes.

    Raises:
        CannotPackError: it would not.
    """
    kind, config = type(network), network.config
    if kind.__name__ not in FAMILIES or not kind.__module__.startswith("transformers.models."):
        raise CannotPackError(f"{kind.__name__} is not one of {', '.join(FAMILIES)}")
    if getattr(config, "hidden_act", "") != "silu":
        raise CannotPackError(f"its activation is {config.hidden_act}")
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope not in FIXED_ROPE:
        raise CannotPackError(f"its positions are of the kind {rope!r}, which depends on the batch")
    if network.training and getattr(config, "attention_dropout", 0.0):
        raise CannotPackError("its attention drops weights at random while training")
    first = next(network.parameters())
    if first.dtype != torch.float32 or first.device.type != "cpu":
        raise CannotPackError("it is not in float32 on a CPU")


def window(network: Any) -> int | None:
    """How many tokens back a token sees, where that is bounded."""
    config = network.config
    if not getattr(config, "use_sliding_window", True):
        return None
    found = getattr(config, "sliding_window", None)
    return int(found) if found else None


def read_block(layer: Any) -> Block:
    """The weights of a block of `FAMILIES`.

    Raises:
        CannotPackError: one of its layers is of another kind.
    """
    attention, feed = _own(layer, "self_attn", "Attention"), _own(layer, "mlp", "MLP")
    norm, epsilon = read_norm(layer.input_layernorm)
    return Block(
        norm=norm,
        query=read_matrix(attention.q_proj),
        key=read_matrix(attention.k_proj),
        value=read_matrix(attention.v_proj),
        out=read_matrix(attention.o_proj),
        middle_norm=read_norm(layer.post_attention_layernorm)[0],
        gate=read_matrix(feed.gate_proj),
        up=read_matrix(feed.up_proj),
        down=read_matrix(feed.down_proj),
        epsilon=epsilon,
        head_width=int(attention.head_dim),
    )


def read_matrix(module: nn.Module) -> Matrix:
    """A linear layer, bare or with one plain LoRA.

    Raises:
        CannotPackError: it is anything else.
    """
    _unhooked(module)
    if type(module) is nn.Linear:
        return Matrix(module.weight, module.bias)
    kind = type(module)
    if (kind.__module__, kind.__name__) != ("peft.tuners.lora.layer", "Linear"):
        raise CannotPackError(f"a layer is of the kind {kind.__name__}")
    return _read_lora(module)


def _read_lora(module: Any) -> Matrix:
    base = module.get_base_layer()
    if type(base) is not nn.Linear or module.merged:
        raise CannotPackError("a layer under an adapter is not a bare linear one")
    active = [name for name in module.active_adapters if name in module.lora_A]
    if module.disable_adapters or not active:
        return Matrix(base.weight, base.bias)
    name, *more = active
    drops = module.lora_dropout[name]
    if more or name in module.lora_variant or module.lora_bias.get(name) or module.lora_B[name].bias is not None:
        raise CannotPackError("its adapter is not a single plain LoRA")
    if module.training and not (isinstance(drops, nn.Identity) or drops.p == 0.0):
        raise CannotPackError("its LoRA drops inputs at random")
    for part in (drops, module.lora_A[name], module.lora_B[name], base):
        _unhooked(part)
    up, down = module.lora_B[name].weight, module.lora_A[name].weight
    return Matrix(base.weight, base.bias, down, up, float(module.scaling[name]))


def read_norm(module: Any) -> tuple[Tensor, float]:
    """The weight of a root-mean-square normalisation, and the small number that keeps it from dividing by zero.

    Raises:
        CannotPackError: it is anything else.
    """
    _unhooked(module)
    if not type(module).__name__.endswith("RMSNorm"):
        raise CannotPackError(f"a normalisation is of the kind {type(module).__name__}")
    return module.weight, float(module.variance_epsilon)


def _own(layer: Any, name: str, kind: str) -> Any:
    """A part of a block, as the library wrote it."""
    part = getattr(layer, name)
    _unhooked(layer)
    _unhooked(part)
    if not type(part).__name__.endswith(kind) or not type(part).__module__.startswith("transformers.models."):
        raise CannotPackError(f"its {name} is of the kind {type(part).__name__}")
    return part


def _unhooked(module: nn.Module) -> None:
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values(), *module._backward_hooks.values()]
    # Transformers leaves its own on the layers once all their states were asked for; alone they do nothing.
    if any(getattr(hook, "__module__", "") != "transformers.utils.output_capturing" for hook in hooks):
        raise CannotPackError("somebody listens to one of its layers")
