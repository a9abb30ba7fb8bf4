"""Hashes that bind what a run leaves to its base, tokenizer and chat template."""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from affinage.errors import GateError
from affinage.models.loading import Base, quiet


def fingerprint(base: Base, folder: Path, tokenizer: Any, *, method: str) -> dict[str, Any]:
    """The contents of fingerprint.json for a model saved in `folder`.

    Args:
        tokenizer: the one saved beside the model.
        method: the trainable's name (`lora`, `full`, `head`, `last:2` ...).
    """
    return {
        "schema": 1,
        "base": {"name": base.name, **hash_base(base)},
        "tokenizer": hash_tokenizer(tokenizer),
        "template": _digest([str(tokenizer.chat_template or "").encode()]),
        "method": method,
        "adapter": _hash_present(folder / "adapter_model.safetensors"),
        "heads": _hash_present(folder / "heads.safetensors"),
    }


def hash_base(base: Base) -> dict[str, Any]:
    """Hashes of the base's own weights and of the adapters merged on top of them, bottom first."""
    below = [hash_weights([folder / "adapter_model.safetensors"]) for folder in base.adapters]
    files = weight_files(base.location)
    return {"weights": hash_weights(files) if files else None, "adapters_below": below}


def check_base(mark: dict[str, Any], base: Base, run: Path) -> None:
    """Refuse a base whose weights are not those that the run was trained on.

    Raises:
        GateError: they are not.
    """
    found = hash_base(base)
    expected = {key: mark["base"].get(key) for key in found}
    if found != expected:
        raise GateError(
            f"{run} was trained on other weights than those of {base.name!r} (fingerprint {expected['weights']}, here "
            f"{found['weights']})",
            fix="put the base back that the run was trained on, or tune again",
        )


def weight_files(location: str) -> list[Path]:
    """The safetensors files of a folder or of a hub model in the local cache; none where a run starts at random."""
    folder = Path(location)
    if not folder.is_dir():
        folder = _cached(location)
    return sorted(path for path in folder.glob("*.safetensors") if path.name.startswith("model"))


def hash_weights(files: Iterable[Path]) -> str:
    """One hash over all tensors (name, type, shape, bytes), whatever their order and the files they are split in."""
    digests = []
    for path in files:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            start = 8 + int.from_bytes(raw[:8], "little")
            header = json.loads(raw[8:start])
            header.pop("__metadata__", None)
            with memoryview(raw) as view:
                for name, about in header.items():
                    first, final = about["data_offsets"]
                    described = json.dumps([name, about["dtype"], about["shape"]]).encode()
                    with view[start + first : start + final] as piece:
                        digests.append(_digest([described, piece]))
    return _digest([digest.encode() for digest in sorted(digests)])


def hash_tokenizer(tokenizer: Any) -> str:
    """One hash over what the tokenizer does: its pieces, rules and special tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        state = json.loads(backend.to_str())
        state.pop("truncation", None)  # set anew by each call
        state.pop("padding", None)
    else:
        state = tokenizer.get_vocab()
    special = {key: str(value) for key, value in tokenizer.special_tokens_map.items()}
    return _digest([json.dumps([state, special], sort_keys=True).encode()])


def _hash_present(path: Path) -> str | None:
    return hash_weights([path]) if path.exists() else None


def _cached(name: str) -> Path:
    from transformers.utils import cached_file

    with quiet():
        config = cached_file(name, "config.json", local_files_only=True)
    return Path(str(config)).parent


def _digest(parts: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
