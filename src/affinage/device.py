"""The one place that asks what this machine is: device, number type, threads, memory, seeds."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import psutil

from affinage.errors import InputError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run may use. `memory` is what the device has free, in bytes."""

    device: str
    dtype: str
    threads: int
    memory: int

    @property
    def torch_dtype(self) -> torch.dtype:
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype


def machine(device: str | None = None, dtype: str | None = None, threads: int | None = None) -> Machine:
    """Resolve the recipe's wishes against what is here, and set torch's thread count.

    Raises:
        InputError: a device was asked for that this machine does not have.
    """
    import torch

    here = _devices()
    kind = (device or here[0]).split(":")[0]
    if kind not in here:
        raise InputError(
            f"device {device!r} is not on this machine (it has: {', '.join(here)})", fix="leave device unset"
        )
    threads = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    default = "bfloat16" if kind == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    return Machine(device or kind, dtype or default, threads, free_memory(kind))


def free_memory(device: str) -> int:
    """Free bytes on the device."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)


def peak_memory(device: str) -> int:
    """Most bytes that this process has held: device memory on a GPU, resident memory on a CPU."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated())
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@cache
def product_speed(device: str, dtype: str, threads: int) -> float:
    """Operations per second of a matrix product here: the best of a few, in a fraction of a second."""
    import torch

    size = 4096 if device.startswith("cuda") else 768
    square = torch.ones(size, size, dtype=getattr(torch, dtype), device=device)
    best = float("inf")
    for _ in range(4):
        began = time.perf_counter()
        value = float((square @ square)[0, 0])  # reading one number waits for the device
        best = min(best, time.perf_counter() - began) if value else best
    return 2.0 * size**3 / best


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch."""
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _devices() -> list[str]:
    import torch

    found = ["cuda"] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]
