"""Putting an adapter of the adapter library on a network: where it goes, with which settings, and what it reaches."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from affinage.errors import InputError, nearest
from affinage.models.adapted import AdaptedModel, find_blocks
from affinage.models.loading import Base
from affinage.models.methods import VIRTUAL_TOKENS, Method, Shapes, find_method
from affinage.models.targets import find_modules, is_linear, patterns, sides, widening

NEED_WEIGHTS = ("ADAMSS", "FROD", "SHIRA")  # they read the weights while they attach: no trial without memory
STARTS = ("gaussian", "orthogonal", "olora", "pissa")  # ways to initialise LoRA that need no data of their own


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a recipe says about an adapter. Unset values take the method's defaults."""

    rank: int | None = None
    alpha: float | None = None
    targets: Sequence[str] | None = None
    layers: frozenset[int] | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What an adapter reaches: modules by name, parameters that train, and the share of the blocks' parameters that
    lie in adapted modules (experts that are no linear layers, for instance, stay outside)."""

    modules: tuple[str, ...]
    trained: int
    share: float


def attach(model: AdaptedModel, name: str, wishes: Wishes) -> Coverage:
    """Wrap the model's network by method `name`; only the adapter (and our heads) trains afterwards.

    Raises:
        InputError: see `refuse`.
    """
    model.requires_grad_(False)
    model.network, coverage = wrap(model.network, name, wishes, causal=model.causal)
    model.heads.requires_grad_(True)
    if moves_base(model.network):
        model.network.start = adapter_state(model.network)
    return coverage


def adapter_state(network: Any) -> dict[str, Tensor]:
    """Copies of an adapter's tensors under the names that its file gives them."""
    from peft import get_peft_model_state_dict

    with no_warnings():
        found = get_peft_model_state_dict(network, save_embedding_layers=False)
    return {name: tensor.detach().clone().contiguous() for name, tensor in found.items()}


def moves_base(network: Any) -> bool:
    """Whether attaching took something out of the base's weights (PiSSA and its kin), which saving must give back."""
    start = getattr(network.active_peft_config, "init_lora_weights", None)
    return isinstance(start, str) and start.startswith(("pissa", "olora"))


def refuse(name: str, base: Base, wishes: Wishes, *, skeleton: Any = None) -> Coverage:
    """Attach to a network without memory, so that what cannot work is told before anything heavy loads.

    Args:
        skeleton: the base's `skeleton()`, where the caller has one already (it is left as it is).

    Raises:
        InputError: an unknown method or option, one that this model cannot take, or targets that match nothing.
    """
    method = find_method(name)
    skeleton = skeleton if skeleton is not None else base.skeleton()
    if method.library not in NEED_WEIGHTS:
        if method.library == "LORA":  # some ways to initialise decompose the weights
            _check_options(_kind(method), name, method, wishes)
            wishes = dataclasses.replace(wishes, options={**wishes.options, "init_lora_weights": True})
        return wrap(copy.deepcopy(skeleton), name, wishes, causal=base.causal)[1]
    find_modules(skeleton, method, wishes.targets, wishes.layers)
    chosen = range(base.blocks) if wishes.layers is None else wishes.layers
    first = dataclasses.replace(wishes, layers=None)
    one = wrap(_one_block(base), name, first, causal=base.causal)[1]
    return dataclasses.replace(one, trained=one.trained * len(chosen), share=one.share * len(chosen) / base.blocks)


def wrap(network: Any, name: str, wishes: Wishes, *, causal: bool) -> tuple[Any, Coverage]:
    """The network inside the library's wrapper, and what the adapter reaches.

    Raises:
        InputError: see `refuse`.
    """
    from peft import get_peft_model

    method = find_method(name)
    modules = find_modules(network, method, wishes.targets, wishes.layers)
    sizes = {key: sum(p.numel() for p in module.parameters()) for key, module in modules.items()}
    blocks = find_blocks(network)
    inside = {id(p): p.numel() for p in blocks.parameters()}
    reached = sum(inside.get(id(p), 0) for module in modules.values() for p in module.parameters())
    config = make_config(network, name, method, wishes, modules, causal=causal)
    try:
        with no_warnings():
            wrapped = get_peft_model(network, config)
    except (ValueError, TypeError, KeyError, NotImplementedError, AttributeError, ImportError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise InputError(
            f"{name} cannot be attached to this {network.config.model_type} model: {reason}",
            fix="choose lora, or other options",
        ) from None
    trained = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
    if trained == 0:
        raise InputError(f"{name} leaves nothing to train on this {network.config.model_type} model", fix="choose lora")
    return wrapped, Coverage(tuple(sizes), trained, reached / max(1, sum(inside.values())))


def make_config(
    network: Any, name: str, method: Method, wishes: Wishes, modules: dict[str, nn.Module], *, causal: bool
) -> Any:
    """The library's configuration object: defaults under the method's settings under what fits under the wishes."""
    kind = _kind(method)
    _check_options(kind, name, method, wishes)
    settings = dict(method.settings) | _ranks(name, method, wishes, modules)
    fields = {field.name for field in dataclasses.fields(kind)}
    if method.place == "prompt":
        settings["num_virtual_tokens"] = VIRTUAL_TOKENS
    elif method.place == "attention":
        settings["adapter_layers"] = len(find_blocks(network))
    else:
        settings["target_modules"] = patterns(network, modules)
    if "feedforward_modules" in fields:
        settings["feedforward_modules"] = patterns(network, widening(modules)) or []
    settings["task_type"] = "CAUSAL_LM" if causal else "FEATURE_EXTRACTION"
    return kind(**settings | wishes.options)


@contextmanager
def no_warnings() -> Iterator[None]:
    """Foreign advice is not for our users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _kind(method: Method) -> type[Any]:
    """The library's configuration class."""
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kind: type[Any] = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType[method.library]]
    return kind


def _check_options(kind: type[Any], name: str, method: Method, wishes: Wishes) -> None:
    ours = {"peft_type", "task_type", "inference_mode", "target_modules", "base_model_name_or_path"}
    ours |= {field for field in (method.rank, method.alpha) if field}
    known = {field.name for field in dataclasses.fields(kind) if field.init} - ours
    for key, value in wishes.options.items():
        if key not in known:
            own = f" ({key} is set by its own key of the recipe)" if key in ours else ""
            raise InputError(
                f"adapter.{key}: {name} has no such option{own}.{nearest(key, known)}",
                fix=f"one of {', '.join(sorted(known))}",
            )
        if key == "init_lora_weights" and not isinstance(value, bool) and not str(value).startswith(STARTS):
            offered = f"true, false, {', '.join(STARTS)}"
            raise InputError(f"adapter.init_lora_weights = {value!r} is not offered", fix=offered)
    for option in method.needs:
        if option not in wishes.options:
            raise InputError(f"{name} needs adapter.{option}", fix=f"for example --set adapter.{option}=[3,4]")
    for key, value, place in (("rank", wishes.rank, method.rank), ("alpha", wishes.alpha, method.alpha)):
        if value is not None and place is None:
            raise InputError(f"{name} has no {key}: the setting would have no effect", fix=f"remove {key}")


def _ranks(name: str, method: Method, wishes: Wishes, modules: dict[str, nn.Module]) -> dict[str, Any]:
    """Rank, scale and whatever must fit the modules' shapes."""
    matrices = [sides(module) for module in modules.values() if is_linear(module)]
    if not matrices or method.place != "linear":
        return {}
    shapes = Shapes.of(matrices)
    rank = method.rank_for(wishes.rank, shapes)
    found = method.fit(shapes, rank)
    if method.rank is not None and rank is not None:
        found[method.rank] = rank
        if method.alpha is not None:
            alpha = wishes.alpha if wishes.alpha is not None else method.alpha_per_rank * rank
            found[method.alpha] = int(alpha) if float(alpha).is_integer() else alpha
    return found


def _one_block(base: Base) -> Any:
    """One block of the base's shape, with random weights and hardly any vocabulary."""
    config = copy.deepcopy(base.config)
    text = config.get_text_config()
    text.num_hidden_layers, text.vocab_size, text.pad_token_id = 1, 8, None
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:1]
    from transformers import AutoModel, AutoModelForCausalLM

    kind = AutoModelForCausalLM if base.causal else AutoModel
    return kind.from_config(config, trust_remote_code=base.trust_remote_code)
