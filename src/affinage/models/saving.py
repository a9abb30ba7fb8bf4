"""A model on disk: adapter or full weights, tokenizer, heads. What was written is read again before it counts."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from affinage.device import Machine
from affinage.errors import InputError, RunError
from affinage.files import fresh_folder, write_json
from affinage.models.adapted import AdaptedModel
from affinage.models.adapters import adapter_state, moves_base, no_warnings
from affinage.models.fingerprints import check_base
from affinage.models.heads import CLASSIFIER, ClassifierHead
from affinage.models.loading import Base, load_network, open_base, quiet
from affinage.models.reward_head import REWARD, RewardHead
from affinage.models.trainables import unchanged

HEADS: dict[str, type[ClassifierHead] | type[RewardHead]] = {CLASSIFIER: ClassifierHead, REWARD: RewardHead}
ADAPTER_FILE = "adapter_model.safetensors"


def save_model(model: AdaptedModel, base: Base, folder: Path, tokenizer: Any, *, allow_unchanged: bool = False) -> None:
    """Write what trained to `folder`, all or nothing: an adapter in the adapter library's layout, full weights in
    Hugging Face's, or neither when only heads trained; tokenizer with its template and heads beside it.

    Raises:
        RunError: a tensor is not finite, nothing changed since training began, or what was read again differs.
    """
    _refuse_broken(model, allow_unchanged)
    with fresh_folder(folder) as side:
        if hasattr(model.network, "peft_config"):
            _save_adapter(model.network, base, side)
        elif any(p.requires_grad for p in model.network.parameters()):
            save_network(model.network, side)
        if len(model.heads):
            save_heads(model, side)
        save_tokenizer(tokenizer, side)


def save_network(network: Any, folder: Path) -> None:
    """Full weights in Hugging Face's layout, then loaded again and compared bit for bit.

    Raises:
        RunError: what was loaded differs.
    """
    kinds = {tensor.dtype for tensor in network.parameters()}
    if len(kinds) > 1:  # what trained is float32 over a frozen rest in 16 bits
        network.float()
    with quiet(), no_warnings():
        network.save_pretrained(folder)
        again = type(network).from_pretrained(folder, dtype=network.dtype)
    _compare(network.state_dict(), again.state_dict(), folder)


def save_heads(model: AdaptedModel, folder: Path) -> None:
    """heads.safetensors, and heads.json with what rebuilds them."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.heads.state_dict().items()}
    save_file(state, folder / "heads.safetensors")
    settings = {name: head.settings for name, head in model.heads.items()}
    write_json(folder / "heads.json", {"schema": 1, "heads": settings})
    _compare(state, load_file(folder / "heads.safetensors"), folder)


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """The tokenizer's files and its chat template."""
    with quiet(), no_warnings():
        tokenizer.save_pretrained(folder)


def load_run(run: Path, machine: Machine) -> AdaptedModel:
    """A run's model with its adapter attached (not merged) and its heads, in evaluation mode.

    Raises:
        InputError: the run or its base is missing or broken.
        GateError: the base's weights are not those that the adapter was trained on.
    """
    folder, mark = run / "model", read_fingerprint(run)
    own = (folder / "config.json").exists()
    base = open_base(str(run) if own else str(mark["base"]["name"]))
    if not own:
        check_base(mark, base, run)
    model = AdaptedModel(load_network(base, machine), causal=base.causal, dtype=machine.torch_dtype)
    if (folder / "adapter_config.json").exists():
        load_adapter(model, folder)
    load_heads(model, folder)
    return model.requires_grad_(False).eval()


def load_adapter(model: AdaptedModel, folder: Path) -> None:
    """Attach the adapter of `folder`.

    Raises:
        InputError: the files are broken, or their tensors are not exactly those that this network takes.
    """
    from peft import PeftModel, set_peft_model_state_dict

    below = {id(tensor) for tensor in model.network.parameters()}
    try:
        stored = load_file(folder / ADAPTER_FILE)
        with quiet(), no_warnings():
            model.network = PeftModel.from_pretrained(model.network, folder, torch_device=str(model.device))
            for tensor in model.network.parameters():
                if id(tensor) not in below and tensor.is_floating_point():
                    tensor.data = tensor.data.float()  # as it was trained, whatever the base's type
            set_peft_model_state_dict(model.network, stored)
    except Exception as error:  # the reader of safetensors has an exception type of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise InputError(f"the adapter in {folder} cannot be attached: {reason}", fix="save or copy it again") from None
    try:
        _compare(stored, adapter_state(model.network), folder)
    except RunError as error:
        raise InputError(f"the adapter in {folder} is not applied as it was saved: {error.message}") from None


def load_heads(model: AdaptedModel, folder: Path) -> None:
    """Rebuild the heads of `folder`, where it has any.

    Raises:
        InputError: they are broken.
    """
    if not (folder / "heads.json").exists():
        return
    try:
        settings = json.loads((folder / "heads.json").read_text())["heads"]
        for name, values in settings.items():
            model.heads[name] = HEADS[name].from_settings(values)
        model.heads.load_state_dict(load_file(folder / "heads.safetensors"))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"the heads in {folder} cannot be loaded: {str(error).splitlines()[0][:300]}") from None
    model.heads.to(model.device)


def read_fingerprint(run: Path) -> dict[str, Any]:
    """The run's fingerprint.json.

    Raises:
        InputError: it is missing or broken.
    """
    try:
        return dict(json.loads((run / "fingerprint.json").read_text()))
    except (OSError, ValueError):
        raise InputError(f"{run} holds no finished model", fix=f"finish it: affinage tune --resume {run}") from None


def _save_adapter(network: Any, base: Base, folder: Path) -> None:
    state = {name: tensor.cpu() for name, tensor in adapter_state(network).items()}
    config = copy.deepcopy(network.active_peft_config)
    config.inference_mode, config.base_model_name_or_path = True, base.name
    if moves_base(network):
        state, config = _as_lora(state, network.start, config)
    save_file(state, folder / ADAPTER_FILE, metadata={"format": "pt"})
    config.save_pretrained(folder)
    _compare(state, load_file(folder / ADAPTER_FILE), folder)


def _as_lora(state: dict[str, Tensor], start: dict[str, Tensor], config: Any) -> tuple[dict[str, Tensor], Any]:
    """The change since `start` as a LoRA of twice the rank on the untouched base: BA - B0 A0 = [B -B0] [A; A0]."""
    plain = {}
    for name, tensor in state.items():
        first, axis = start[name].to(tensor), 0 if "lora_A" in name else 1
        plain[name] = torch.cat([tensor, first if axis == 0 else -first], dim=axis).contiguous()
    config.init_lora_weights = True
    config.r, config.lora_alpha = 2 * config.r, config.lora_alpha * (2**0.5 if config.use_rslora else 2)
    return plain, config


def _refuse_broken(model: AdaptedModel, allow_unchanged: bool) -> None:
    tensors = [*model.trainable_parameters(), *((f"heads.{k}", v) for k, v in model.heads.named_buffers())]
    broken = [name for name, tensor in tensors if not torch.isfinite(tensor).all()]
    if broken:
        raise RunError(
            f"{len(broken)} tensors hold values that are not numbers, such as {broken[0]}: nothing was saved"
        )
    if not allow_unchanged and unchanged(model):
        raise RunError("training changed no tensor: nothing was saved", fix="raise learning_rate or steps")


def _compare(memory: dict[str, Tensor], disk: dict[str, Tensor], folder: Path) -> None:
    if memory.keys() != disk.keys():
        odd = sorted(memory.keys() ^ disk.keys())
        raise RunError(f"{folder}: {len(odd)} tensors are not on both sides, such as {odd[0]}")
    for name, tensor in memory.items():
        other = disk[name].to(device=tensor.device)
        if tensor.dtype != other.dtype or not torch.equal(tensor, other):
            raise RunError(f"{folder}: {name} is not what was in memory")
