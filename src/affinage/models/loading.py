"""From a name to a network: the bundled base, a folder, a run, or a model on the hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from affinage.device import Machine
from affinage.errors import InputError, RunError
from affinage.models.adapted import find_blocks

BUNDLED = Path(__file__).parent / "tiny"


@dataclass(frozen=True, slots=True)
class Base:
    """A model that is known but not loaded.

    `name` is what the person wrote, `location` what transformers loads (a folder or a hub name), `adapters` the
    folders of adapters to merge on top, bottom first (a run that started from a run has several).
    """

    name: str
    location: str
    config: Any
    tokenizer: Any
    causal: bool
    adapters: tuple[Path, ...] = ()
    run: Path | None = field(default=None)
    trust_remote_code: bool = False

    @property
    def text_config(self) -> Any:
        return self.config.get_text_config()

    @property
    def context(self) -> int:
        """Longest row in tokens that the model takes."""
        limits = [
            getattr(self.text_config, "max_position_embeddings", None),
            getattr(self.text_config, "n_positions", None),
            getattr(self.tokenizer, "model_max_length", None),
        ]
        return int(min(limit for limit in [*limits, 1 << 20] if limit and limit > 0))

    @property
    def blocks(self) -> int:
        return int(self.text_config.num_hidden_layers)

    @property
    def width(self) -> int:
        return int(self.text_config.hidden_size)

    @property
    def vocabulary(self) -> int:
        return int(self.text_config.vocab_size)

    def skeleton(self) -> Any:
        """The network without memory behind its tensors: names and shapes, before anything heavy loads."""
        with torch.device("meta"):
            return _make(self.config, self.causal, self.trust_remote_code)


def open_base(name: str, *, trust_remote_code: bool = False) -> Base:
    """Read configuration and tokenizer of `name`, no weights.

    Raises:
        InputError: nothing is there, the folder is broken, or the model is not a text model.
    """
    location, adapters, run = _locate(name)
    try:
        with quiet():
            from transformers import AutoConfig, AutoTokenizer

            config = AutoConfig.from_pretrained(location, trust_remote_code=trust_remote_code)
            tokens = adapters[-1] if adapters else location
            tokenizer = AutoTokenizer.from_pretrained(tokens, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise InputError(f"cannot open the model {name!r}: {_first_line(error)}", fix=_way_out(name)) from None
    _refuse_not_text(name, config)
    return Base(name, location, config, tokenizer, is_causal(config), adapters, run, trust_remote_code)


def load_network(base: Base, machine: Machine, *, initialise: str = "pretrained") -> Any:
    """The network with its weights on the machine's device, earlier adapters merged in.

    Raises:
        InputError: weights are missing, broken or of other shapes than the configuration says.
    """
    if initialise == "random":
        with quiet():
            network = _make(base.config, base.causal, base.trust_remote_code)
    else:
        network = _read_weights(base, machine.torch_dtype)
    for adapter in base.adapters:
        network = _merge_adapter(network, adapter)
    network.to(device=machine.device, dtype=machine.torch_dtype)
    network.config.use_cache = True
    find_blocks(network)
    return network.eval()


def is_causal(config: Any) -> bool:
    """Whether the configuration is of a decoder (else an encoder)."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    architectures = getattr(config, "architectures", None) or []
    if any("CausalLM" in a or "LMHead" in a for a in architectures):
        return not any(a.startswith(("Bert", "Roberta", "Electra")) for a in architectures)
    return config.get_text_config().model_type not in MASKED


@contextmanager
def quiet() -> Iterator[None]:
    """No foreign progress bars or advice while a model loads."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _locate(name: str) -> tuple[str, tuple[Path, ...], Path | None]:
    if name == "tiny":
        return str(BUNDLED), (), None
    path = Path(name).expanduser()
    if not path.exists():
        if path.is_absolute() or name.startswith(".") or name.count("/") != 1:
            raise InputError(
                f"there is no model at {name!r}", fix="name a model folder, a run folder, a hub model, or `tiny`"
            )
        return name, (), None  # owner/name: the hub
    if (path / "recipe.yaml").exists() and (path / "fingerprint.json").exists():
        return _locate_run(path)
    if not (path / "config.json").exists():
        raise InputError(
            f"{path} is not a model folder: it has no config.json", fix="name the folder that holds config.json"
        )
    return str(path), (), None


def _locate_run(run: Path) -> tuple[str, tuple[Path, ...], Path]:
    model = run / "model"
    if not model.is_dir():
        raise InputError(f"{run} holds no finished model", fix=f"finish it: affinage tune --resume {run}")
    if (model / "config.json").exists():
        return str(model), (), run
    base = str(json.loads((run / "fingerprint.json").read_text())["base"]["name"])
    location, below, _ = _locate(base)
    own = (model,) if (model / "adapter_config.json").exists() else ()
    return location, (*below, *own), run


def _make(config: Any, causal: bool, trust_remote_code: bool) -> Any:
    from transformers import AutoModel, AutoModelForCausalLM

    kind = AutoModelForCausalLM if causal else AutoModel
    return kind.from_config(config, trust_remote_code=trust_remote_code)


def _read_weights(base: Base, dtype: torch.dtype) -> Any:
    from transformers import AutoModel, AutoModelForCausalLM

    kind = AutoModelForCausalLM if base.causal else AutoModel
    try:
        with quiet():
            network, report = kind.from_pretrained(
                base.location,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=base.trust_remote_code,
                ignore_mismatched_sizes=True,  # told below, by name
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise InputError(
            f"cannot load the weights of {base.name!r}: {_first_line(error)}", fix=_way_out(base.name)
        ) from None
    except Exception as error:  # safetensors raises its own type for a file cut short
        raise InputError(
            f"the weights of {base.name!r} are broken: {_first_line(error)}", fix=_way_out(base.name)
        ) from None
    missing = [key for key in report["missing_keys"] if "pooler" not in key]
    if missing:
        raise InputError(
            f"the weights of {base.name!r} lack {len(missing)} tensors, such as {missing[0]}", fix=_way_out(base.name)
        )
    for key, found, wanted in report["mismatched_keys"]:
        raise InputError(
            f"the weights of {base.name!r} are not those of its config.json: {key} has shape {tuple(found)}, "
            f"not {tuple(wanted)}",
            fix=_way_out(base.name),
        )
    return network


def _merge_adapter(network: Any, folder: Path) -> Any:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(network, folder).merge_and_unload(safe_merge=True)
    except (ValueError, NotImplementedError, AttributeError) as error:
        raise RunError(f"the adapter in {folder} cannot be merged to build on it: {_first_line(error)}") from None


def _refuse_not_text(name: str, config: Any) -> None:
    for part in ("vision_config", "audio_config", "speech_config"):
        if getattr(config, part, None) is not None:
            raise InputError(f"{name!r} is a {part.split('_')[0]} model; affinage adapts text models only")
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(f"{name!r} is an encoder-decoder; affinage takes causal models and encoders")
    if not hasattr(config.get_text_config(), "num_hidden_layers"):
        raise InputError(f"{name!r} ({config.model_type}) has no transformer blocks; affinage adapts text transformers")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _way_out(name: str) -> str:
    if Path(name).exists():
        return "check that the folder holds config.json, the tokenizer and model.safetensors, all complete"
    return "check the name; a hub model needs the network or a copy in the local cache"
