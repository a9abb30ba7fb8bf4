"""The adapter methods by name: how each is set up by default, and why some cannot be taken. No heavy imports."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from affinage.errors import InputError, nearest

VIRTUAL_TOKENS = 16
Place = Literal["linear", "norm", "embedding", "prompt", "attention"]


@dataclass(frozen=True, slots=True)
class Shapes:
    """Sizes that the chosen modules have in common: what block sizes must divide, what ranks must not exceed."""

    inputs: int
    outputs: int
    smallest: int
    elements: int

    @classmethod
    def of(cls, pairs: list[tuple[int, int]]) -> Shapes:
        """From (inputs, outputs) of each module."""
        return cls(
            inputs=math.gcd(*(a for a, _ in pairs)),
            outputs=math.gcd(*(b for _, b in pairs)),
            smallest=min(min(pair) for pair in pairs),
            elements=min(a * b for a, b in pairs),
        )

    @property
    def both(self) -> int:
        return math.gcd(self.inputs, self.outputs)


def _nothing(shapes: Shapes, rank: int | None) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Method:
    """One way to adapt.

    `library` is its name in the adapter library; `place` what it attaches to; `rank` and `alpha` the fields that hold
    them there; `settings` what differs from the library's defaults; `fit` what depends on the modules' shapes; `merges`
    says why it cannot be merged into the weights (empty: it can).
    """

    library: str
    place: Place = "linear"
    rank: str | None = None
    default_rank: int | None = None
    alpha: str | None = None
    alpha_per_rank: float = 2.0
    settings: dict[str, Any] = field(default_factory=dict)
    fit: Callable[[Shapes, int | None], dict[str, Any]] = _nothing
    needs: tuple[str, ...] = ()
    merges: str = ""
    rank_share: float = 1.0  # the default rank's ceiling, as a share of the smallest side of a module

    def rank_for(self, asked: int | None, shapes: Shapes) -> int | None:
        """The rank asked for, or the default as far as the modules allow it."""
        if asked is not None or self.default_rank is None:
            return asked
        return max(1, min(self.default_rank, int(shapes.smallest * self.rank_share)))


def divisor(number: int, ceiling: int, *, even: bool = False) -> int:
    """The largest divisor of `number` up to `ceiling` (an even one where there is one, if asked)."""
    found = [d for d in range(1, min(number, ceiling) + 1) if number % d == 0 and (not even or d % 2 == 0)]
    return found[-1] if found else 1


def _lora(**settings: Any) -> Method:
    return Method("LORA", rank="r", default_rank=16, alpha="lora_alpha", settings=settings)


def _ranked(library: str, rank: int) -> Method:
    return Method(library, rank="r", default_rank=rank)


_PROMPT = "its learned positions stand beside the text, not in the weights"

METHODS: dict[str, Method] = {
    "lora": _lora(),
    "dora": _lora(use_dora=True),
    "rslora": _lora(use_rslora=True),
    "pissa": _lora(init_lora_weights="pissa"),
    "adamss": Method("ADAMSS", rank="r", default_rank=100),
    "adaption_prompt": Method(
        "ADAPTION_PROMPT",
        "attention",
        settings={"adapter_len": VIRTUAL_TOKENS},
        merges="it attends to learned positions",
    ),
    "beft": Method("BEFT"),
    "boft": Method("BOFT", fit=lambda s, _: {"boft_block_size": divisor(s.inputs, 4)}),
    "c3a": Method("C3A", fit=lambda s, _: {"block_size": divisor(s.both, 256)}),
    "cartridge": Method("CARTRIDGE", "prompt", merges=_PROMPT),
    "deft": _ranked("DEFT", 16),
    "delora": _ranked("DELORA", 16),
    "fourierft": Method(
        "FOURIERFT", settings={"init_weights": True}, fit=lambda s, _: {"n_frequency": min(1000, s.elements)}
    ),
    "frod": Method("FROD", settings={"progressbar": False}),
    "glora": _ranked("GLORA", 16),
    "gralora": Method(
        "GRALORA", rank="r", default_rank=32, alpha="alpha", fit=lambda s, r: {"gralora_k": math.gcd(2, s.both, r or 2)}
    ),
    "hira": _ranked("HIRA", 32),
    "hra": _ranked("HRA", 8),
    "ia3": Method("IA3"),
    "lily": Method("LILY", rank="r", default_rank=32, merges="a router weighs its parts anew for each text"),
    "ln_tuning": Method("LN_TUNING", "norm"),
    "loha": Method("LOHA", rank="r", default_rank=16, alpha="alpha"),
    "lokr": Method("LOKR", rank="r", default_rank=16, alpha="alpha"),
    "miss": _ranked("MISS", 64),
    "multitask_prompt_tuning": Method("MULTITASK_PROMPT_TUNING", "prompt", merges=_PROMPT),
    "oft": Method("OFT", fit=lambda s, _: {"oft_block_size": divisor(s.inputs, 32)}),
    "osf": Method("OSF"),
    "p_tuning": Method("P_TUNING", "prompt", merges=_PROMPT),
    "peanut": _ranked("PEANUT", 32),
    "prefix_tuning": Method("PREFIX_TUNING", "prompt", merges=_PROMPT),
    "prompt_tuning": Method("PROMPT_TUNING", "prompt", merges=_PROMPT),
    "psoft": Method("PSOFT", rank="r", default_rank=32, alpha="psoft_alpha", alpha_per_rank=1.0),
    "pvera": _ranked("PVERA", 256),
    "randlora": Method("RANDLORA", rank="r", default_rank=32, alpha="randlora_alpha", alpha_per_rank=20.0),
    "road": Method("ROAD", fit=lambda s, _: {"group_size": divisor(s.outputs, 64, even=True)}),
    "shira": Method("SHIRA", rank="r", default_rank=32, rank_share=0.5),
    "supertuning": Method("SUPERTUNING"),
    "tinylora": _ranked("TINYLORA", 2),
    "trainable_tokens": Method("TRAINABLE_TOKENS", "embedding", needs=("token_indices",)),
    "unilora": _ranked("UNILORA", 4),
    "vblora": Method("VBLORA", rank="r", default_rank=4, fit=lambda s, _: {"vector_length": divisor(s.both, 256)}),
    "vera": _ranked("VERA", 256),
    "waveft": Method("WAVEFT", fit=lambda s, _: {"n_frequency": min(2592, s.elements)}),
}
ALIASES = {"prefix": "prefix_tuning", "prompt": "prompt_tuning"}

REFUSED: dict[str, str] = {
    "adalora": "its rank budget is redistributed by the adapter library's own training loop after every backward pass",
    "cpt": "it learns a prompt from marked-up examples under a loss of its own, not from an objective's",
    "poly": "it mixes several adapters by a task number on every row, and rows have no task number here",
    "shadow": "it trains a second network beside the model under a loss of its own",
    "xlora": "it mixes several finished adapters, and a run trains one",
    "qlora": "weights in 4 bits are not supported yet",
}


def known_methods() -> list[str]:
    """Every name that `train` takes besides head, last:N and full."""
    return sorted([*METHODS, *ALIASES])


def find_method(name: str) -> Method:
    """The method of that name.

    Raises:
        InputError: there is none, or it cannot be taken (with the reason).
    """
    if name in REFUSED:
        raise InputError(
            f"train = {name!r} cannot be taken: {REFUSED[name]}", fix="use lora, or another of the methods in the docs"
        )
    method = METHODS.get(ALIASES.get(name, name))
    if method is None:
        known = ["head", "last:1", "full", *known_methods()]
        raise InputError(
            f"train = {name!r}: there is no such trainable.{nearest(name, known)}", fix=f"one of {', '.join(known)}"
        )
    return method


def rank_of(name: str, rank: int | None) -> int | None:
    """The rank that `name` gets: the one asked for, or its default; None for methods without a rank."""
    return rank if rank is not None else find_method(name).default_rank


def alpha_of(name: str, rank: int | None, alpha: float | None) -> float | None:
    """The scale that `name` gets; None for methods without one."""
    method, chosen = find_method(name), rank_of(name, rank)
    if alpha is not None or method.alpha is None or chosen is None:
        return alpha
    return method.alpha_per_rank * chosen


def virtual_tokens(name: str, options: dict[str, Any]) -> int:
    """Positions that the method's prompt takes from the model's context."""
    if find_method(name).place != "prompt":
        return 0
    return int(options.get("num_virtual_tokens", VIRTUAL_TOKENS))
