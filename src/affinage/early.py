"""What the native libraries must be told before they load; the first import of the package says it.

Whoever sets these variables otherwise is left alone, and a program that loaded torch before keeps what it has.
"""

from __future__ import annotations

import os

SPINS = "1000"  # turns that an idle thread waits awake before it sleeps
PREPARED = "32"  # products that oneDNN keeps ready; each may hold a packed copy of a matrix, and its own limit is 1,024


def prepare() -> None:
    """Set the variables that nobody has set.

    Idle threads of the OpenMP library wait awake for milliseconds; where other work shares the cores, they take the
    time that the others need, and each product waits for the slowest (measured: docs/performance.md).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    for limit in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(limit, PREPARED)
