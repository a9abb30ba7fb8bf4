"""What a run ran on: versions, machine, data as they were read."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from affinage.tuning.prepared import Prepared

PACKAGES = ("affinage", "torch", "transformers", "peft", "safetensors", "tokenizers", "numpy")


def environment(prepared: Prepared) -> dict[str, Any]:
    """The content of environment.json."""
    here = prepared.machine
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in PACKAGES},
        "device": here.device,
        "dtype": here.dtype,
        "threads": here.threads,
        "data": prepared.layouts,
        "data_digest": prepared.data_digest,
        "notes": prepared.notes,
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
