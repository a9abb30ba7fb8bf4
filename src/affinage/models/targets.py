"""Which modules of a network an adapter changes, and how the adapter library is told so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from torch import nn

from affinage.errors import InputError, nearest
from affinage.models.adapted import find_blocks
from affinage.models.methods import Method


def find_modules(
    network: Any, method: Method, targets: Sequence[str] | None, layers: frozenset[int] | None
) -> dict[str, nn.Module]:
    """The modules that the method changes, by name; none for methods that stand beside the network.

    Raises:
        InputError: a target matches nothing, or the method takes no targets or layers.
    """
    if method.place in ("prompt", "attention"):
        if targets or layers is not None:
            given = "targets" if targets else "layers"
            name = method.library.lower()
            raise InputError(f"{name} acts on the whole model: it takes no {given}", fix=f"remove {given}")
        return {}
    if method.place == "embedding":
        embedding = network.get_input_embeddings()
        candidates = {name: module for name, module in network.named_modules() if module is embedding}
    else:
        fits = is_linear if method.place == "linear" else _is_norm
        candidates = {name: module for name, module in network.named_modules() if fits(module)}
    blocks = block_names(network)
    if targets:
        candidates = _named(network, candidates, targets)
    elif method.place != "embedding":
        candidates = {name: module for name, module in candidates.items() if _block_of(name, blocks) is not None}
    if layers is not None:
        candidates = {name: module for name, module in candidates.items() if _block_of(name, blocks) in layers}
    if not candidates:
        raise InputError(
            "no module of the chosen layers can be adapted",
            fix=f"remove layers or targets; the model has: {_endings(network)}",
        )
    return candidates


def patterns(network: Any, modules: dict[str, nn.Module]) -> list[str] | str | None:
    """`modules` as the library wants them: endings where these match nothing else, else an expression."""
    if not modules:
        return None
    endings = sorted({name.rpartition(".")[2] for name in modules})
    matched = {name for name, _ in network.named_modules() if name.rpartition(".")[2] in endings}
    if matched == modules.keys():
        return endings
    blocks = block_names(network)
    grouped: dict[str, list[int]] = {}
    alone = []
    for name in modules:
        number = _block_of(name, blocks)
        if number is None:
            alone.append(re.escape(name))
        else:
            grouped.setdefault(name.removeprefix(f"{blocks}.{number}."), []).append(number)
    shared: dict[tuple[int, ...], list[str]] = {}
    for path, numbers in grouped.items():
        shared.setdefault(tuple(numbers), []).append(re.escape(path))
    for which, paths in shared.items():
        alone.append(rf"{re.escape(blocks)}\.({'|'.join(map(str, which))})\.({'|'.join(paths)})")
    return "|".join(alone)


def block_names(network: Any) -> str:
    """The dotted name of the list of blocks."""
    blocks = find_blocks(network)
    names: dict[int, str] = {id(module): name for name, module in network.named_modules()}
    return names[id(blocks)]


def is_linear(module: nn.Module) -> bool:
    """A matrix product: torch's, or the transposed one of GPT-2's family."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def sides(module: Any) -> tuple[int, int]:
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    return module.weight.shape[0], module.weight.shape[1]


def widening(modules: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """The feed-forward layers' way back (more inputs than outputs): IA3 scales their inputs, not their outputs."""
    return {name: m for name, m in modules.items() if is_linear(m) and sides(m)[0] > sides(m)[1]}


def _named(network: Any, candidates: dict[str, nn.Module], targets: Sequence[str]) -> dict[str, nn.Module]:
    chosen = {}
    for target in targets:
        found = {name: m for name, m in candidates.items() if name == target or name.endswith(f".{target}")}
        if not found:
            endings = sorted({name.rpartition(".")[2] for name in candidates})
            raise InputError(
                f"targets: {target!r} matches no module that this method can adapt.{nearest(target, endings)}",
                fix=f"the model has: {', '.join(endings)}",
            )
        chosen.update(found)
    return {name: module for name, module in candidates.items() if name in chosen}


def _endings(network: Any) -> str:
    return ", ".join(sorted({name.rpartition(".")[2] for name, module in network.named_modules() if is_linear(module)}))


def _block_of(name: str, blocks: str) -> int | None:
    """The number of the block that a module lies in."""
    found = re.match(rf"{re.escape(blocks)}\.(\d+)\.", name)
    return int(found[1]) if found else None


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()
