"""How much of the disk the large caches may take."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from affinage.store.arrays import LIMIT


def room(folder: Path) -> int:
    """Bytes to keep at most: a quarter of what is free, but no less than other arrays may have."""
    with contextlib.suppress(OSError):
        existing = next(place for place in (folder, *folder.parents) if place.exists())
        return max(LIMIT, shutil.disk_usage(existing).free // 4)
    return LIMIT
