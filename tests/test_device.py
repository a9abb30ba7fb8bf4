"""What the machine says of its memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from affinage.device import peak_memory, watch_memory

MIB = 2**20


def _held(mib: int) -> np.ndarray:
    return np.ones(mib * MIB, np.uint8)


def test_a_watch_counts_what_was_held_since_it_began_and_freed_again() -> None:
    before = _held(64)
    above = watch_memory("cpu")
    assert above() == pytest.approx(0, abs=8 * MIB)
    during = _held(96)
    assert int(during[-1]) + int(before[-1]) == 2
    del during
    assert above() == pytest.approx(96 * MIB, abs=16 * MIB)


def test_room_that_an_earlier_piece_of_work_left_is_counted_again() -> None:
    earlier = _held(96)
    del earlier
    above = watch_memory("cpu")
    later = _held(96)
    assert int(later[-1]) == 1
    assert above() == pytest.approx(96 * MIB, abs=16 * MIB)


def test_the_processes_own_peak_outlives_a_watch() -> None:
    large = _held(128)
    peak = peak_memory("cpu")
    del large
    watch_memory("cpu")
    assert peak_memory("cpu") >= peak


def test_where_the_mark_cannot_be_set_back_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, text: str) -> int:
        raise PermissionError(self)

    monkeypatch.setattr(Path, "write_text", refuse)
    assert watch_memory("cpu")() is None


def test_on_a_gpu_it_is_torchs_tensors_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"now": 100, "most": 900}
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda: counts["now"])
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda: counts["most"])
    monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", lambda: counts.update(most=counts["now"]))
    monkeypatch.setattr("affinage.device._highest", {})
    above = watch_memory("cuda:0")
    counts["most"] = 350
    assert above() == 250
    assert peak_memory("cuda:0") == 900
