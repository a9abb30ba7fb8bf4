"""Resume points: weights that train, optimizer, random state and the data's position, all or nothing."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from affinage.files import fresh_folder, write_json
from affinage.models.adapted import AdaptedModel


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """What a checkpoint says besides tensors. `progress` is the caller's own (best score, patience ...)."""

    step: int
    batches: dict[str, Any]
    progress: dict[str, Any]


def save_checkpoint(
    folder: Path, point: ResumePoint, model: AdaptedModel, optimizer: torch.optim.Optimizer, *, keep: int = 2
) -> None:
    """Write `folder/step-<n>` and drop all but the newest `keep`. A kill at any moment leaves a whole one."""
    with fresh_folder(folder / f"step-{point.step:08d}") as side:
        save_file(trainable_state(model), side / "weights.safetensors")
        state, layout = _flatten(optimizer.state_dict())
        save_file(state, side / "optimizer.safetensors")
        save_file(_random_state(), side / "random.safetensors")
        about = {"step": point.step, "batches": point.batches, "progress": point.progress, "optimizer": layout}
        write_json(side / "state.json", {"schema": 1, **about})
    for old in _steps(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path, model: AdaptedModel, optimizer: torch.optim.Optimizer) -> ResumePoint | None:
    """Restore the newest checkpoint in place; None when there is none yet."""
    steps = _steps(folder)
    if not steps:
        return None
    newest = steps[-1]
    about = orjson.loads((newest / "state.json").read_bytes())
    load_trainable(model, load_file(newest / "weights.safetensors", device=str(model.device)))
    optimizer.load_state_dict(_unflatten(load_file(newest / "optimizer.safetensors"), about["optimizer"]))
    _restore_random(load_file(newest / "random.safetensors"))
    return ResumePoint(about["step"], about["batches"], about["progress"])


def save_weights(path: Path, model: AdaptedModel) -> None:
    """The weights that train, alone (the best so far)."""
    with fresh_folder(path) as side:
        save_file(trainable_state(model), side / "weights.safetensors")


def load_weights(path: Path, model: AdaptedModel) -> None:
    """Put the weights of `save_weights` back."""
    load_trainable(model, load_file(path / "weights.safetensors", device=str(model.device)))


def trainable_state(model: AdaptedModel) -> dict[str, Tensor]:
    """Copies of the tensors that train, by name."""
    return {name: tensor.detach().clone().contiguous() for name, tensor in model.trainable_parameters()}


def load_trainable(model: AdaptedModel, state: dict[str, Tensor]) -> None:
    """Copy `state` into the tensors that train; names must agree exactly."""
    own = dict(model.trainable_parameters())
    if own.keys() != state.keys():
        raise ValueError(f"weights do not belong to this model: {sorted(own.keys() ^ state.keys())[:3]}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])


def _steps(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if (path / "state.json").exists())


def _flatten(state: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors = {
        f"{number}.{key}": value.clone().contiguous()
        for number, values in state["state"].items()
        for key, value in values.items()
        if isinstance(value, Tensor)
    }
    groups = [{k: v for k, v in group.items() if not isinstance(v, Tensor)} for group in state["param_groups"]]
    return tensors, {"groups": groups}


def _unflatten(tensors: dict[str, Tensor], layout: dict[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = tensor
    return {"state": state, "param_groups": layout["groups"]}


def _random_state() -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _restore_random(state: dict[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
