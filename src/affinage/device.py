"""The one place that asks what this machine is: device, number type, threads, memory, seeds."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from affinage.errors import InputError

if TYPE_CHECKING:
    import torch

    from affinage.products import Library


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run may use. `memory` is what the device has free, in bytes; `products` multiplies matrices on a CPU."""

    device: str
    dtype: str
    threads: int
    memory: int
    products: Library = "torch"

    @property
    def torch_dtype(self) -> torch.dtype:
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype


def machine(device: str | None = None, dtype: str | None = None, threads: int | None = None) -> Machine:
    """Resolve the recipe's wishes against what is here, and set torch's thread count and the products' library.

    Raises:
        InputError: a device was asked for that this machine does not have.
    """
    import torch

    from affinage.products import faster, use

    here = _devices()
    kind = (device or here[0]).split(":")[0]
    if kind not in here:
        raise InputError(
            f"device {device!r} is not on this machine (it has: {', '.join(here)})", fix="leave device unset"
        )
    threads = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    if kind == "cpu":
        keep_memory()
    library = use(faster() if kind == "cpu" and dtype in (None, "float32") else "torch")
    default = "bfloat16" if kind == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    return Machine(device or kind, dtype or default, threads, free_memory(kind), library)


@cache
def keep_memory() -> None:
    """Have the C library keep what is freed for the next request of that size, instead of handing it back.

    A training step asks for the same large arrays again and again; pages that were handed back must be zeroed by the
    kernel each time (measured: docs/performance.md). glibc only; elsewhere nothing happens.
    """
    mmap_max, trim_threshold = -4, -1  # of <malloc.h>
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(mmap_max, 0)
        library.mallopt(trim_threshold, 2**31 - 1)


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

        return max(_highest.get("cuda", 0), int(torch.cuda.max_memory_allocated()))
    with contextlib.suppress(OSError, StopIteration):
        return max(_highest.get("cpu", 0), _resident_peak())
    import resource  # elsewhere than on Linux; there it would count the process that started this one, too

    return max(_highest.get("cpu", 0), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def watch_memory(device: str) -> Callable[[], int | None]:
    """Start watching. The function returned says the most bytes held since then, above what was held at the start.

    On a GPU these are the bytes of torch's tensors there. On a CPU they are the process's resident bytes by the kernel's
    own high-water mark; before it is set back, the C library returns what was freed, or else a piece of work that finds
    room in the leavings of an earlier one would seem to need none. None where the kernel has no such mark (not Linux).
    """
    gc.collect()
    if device.startswith("cuda"):
        import torch

        _highest["cuda"] = peak_memory(device)
        torch.cuda.reset_peak_memory_stats()
        start = int(torch.cuda.memory_allocated())
        return lambda: int(torch.cuda.max_memory_allocated()) - start
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    highest = peak_memory(device)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark becomes what is resident now
    except OSError:
        return lambda: None
    _highest["cpu"] = highest
    start = _resident_peak()
    return lambda: _resident_peak() - start


_highest: dict[str, int] = {}  # peaks that were reached before a mark was set back


def _resident_peak() -> int:
    """The kernel's high-water mark of this process's resident bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


@cache
def product_speed(device: str, dtype: str, threads: int) -> float:
    """Operations per second of a matrix product here: the best of a few, in a fraction of a second."""
    import torch

    from affinage.products import product

    size = 4096 if device.startswith("cuda") else 768
    square = torch.ones(size, size, dtype=getattr(torch, dtype), device=device)
    best = float("inf")
    for _ in range(4):
        began = time.perf_counter()
        value = float(product(square, square)[0, 0])  # reading one number waits for the device
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
