"""What goes wrong on the way (numbers, disk, permissions) stops the run with one message, and nothing saved is lost."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from affinage.data.batches import Batch
from affinage.models.adapted import AdaptedModel
from affinage.objectives.base import Loss, Term
from affinage.objectives.language import LanguageObjective
from tests.cli.calling import Call
from tests.faults.test_bad_input import refused

SETS = (
    "train=lora", "steps=5", "checkpoint_every=1", "evaluate_every=2", "held_out=2", "validation=2", "samples=0",
    "learning_rate=0.01", "threads=1",
)  # fmt: skip


def words(chats: Path, base: Path, *more: str) -> list[object]:
    return ["tune", chats, "--model", base, *(word for value in (*SETS, *more) for word in ("--set", value))]


@pytest.fixture
def straight(call: Call, chats: Path, base: Path, tmp_path: Path) -> bytes:
    """The adapter of a run to which nothing happened."""
    assert call(*words(chats, base), "--out", "straight").code == 0
    return (tmp_path / "straight" / "model" / "adapter_model.safetensors").read_bytes()


def goes_on(call: Call, run: Path, straight: bytes) -> None:
    """The run can be resumed, and ends as if nothing had happened."""
    result = call("tune", "--resume", run)
    assert result.code == 0, result.err
    assert (run / "model" / "adapter_model.safetensors").read_bytes() == straight


class BreaksAt(LanguageObjective):
    """Gives a number that is none from the given step on."""

    def __init__(self, step: int, value: float) -> None:
        super().__init__()
        self.step, self.value = step, value

    def __call__(self, model: AdaptedModel, batch: Batch) -> Loss:
        self.step -= 1
        total = model.weighted_nll(batch)
        return Loss((Term("nll", total * self.value if self.step < 1 else total),))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_and_the_last_good_checkpoint_stays(
    value: float, call: Call, chats: Path, base: Path, straight: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("affinage.tuning.language.make_objective", lambda name, recipe: BreaksAt(4, value))
        result = call(*words(chats, base), "--out", "run")
    refused(result, 1, "step 4", "not a number", "learning rate", "last good checkpoint is kept", "->")
    run = tmp_path / "run"
    assert [path.name for path in sorted(run.glob("checkpoints/step-*"))] == ["step-00000002", "step-00000003"]
    for tensor in load_file(run / "checkpoints" / "step-00000003" / "weights.safetensors").values():
        assert torch.isfinite(tensor).all()
    assert not (run / "model").exists()
    goes_on(call, run, straight)


def test_a_learning_rate_out_of_all_measure_is_named(call: Call, chats: Path, base: Path, tmp_path: Path) -> None:
    result = call(*words(chats, base, "learning_rate=1e30", "warmup=0"), "--out", "run")
    refused(result, 1, "not a number", "learning_rate", "->")
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize("objective", ["sft", "classify"])
def test_a_base_with_broken_numbers_is_told(
    objective: str, call: Call, chats: Path, base: Path, tmp_path: Path
) -> None:
    from tests.small import rows_for, save_decoder, write_rows

    save_decoder(tmp_path / "base")
    weights = load_file(tmp_path / "base" / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = float("inf")
    save_file(weights, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    data = chats if objective == "sft" else write_rows(tmp_path / "rows.jsonl", rows_for("classify"))
    result = call(*words(data, tmp_path / "base"), "--out", "run")
    assert result.code in (1, 2)
    refused(result, result.code, "not", "->")
    assert not (tmp_path / "run" / "model").exists()


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: the system itself refuses the write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_takes_no_checkpoint(call: Call, chats: Path, base: Path, straight: bytes, tmp_path: Path) -> None:
    with small_disk(20_000):
        result = call(*words(chats, base), "--out", "run")
    refused(result, 1, "cannot write", "step-00000001", "->")
    goes_on(call, tmp_path / "run", straight)


@pytest.mark.parametrize("name", ["plan.json", "state.json", "ledger.json", "evaluation.json"])
def test_a_disk_that_is_full_loses_nothing_that_was_saved(
    name: str, call: Call, chats: Path, base: Path, straight: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def full(number: int) -> None:
        if name in os.readlink(f"/proc/self/fd/{number}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(number)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = call(*words(chats, base), "--out", "run")
    refused(result, 1, "cannot write", "No space left on device", "free some space", "->")
    assert not [path for path in (tmp_path / "run").rglob(".*") if path.is_file()]
    goes_on(call, tmp_path / "run", straight)


@pytest.mark.parametrize("denied", ["run", "checkpoints", "model"])
def test_a_folder_that_must_not_be_written(
    denied: str, call: Call, chats: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = os.mkdir

    def guarded(path: Any, *rest: Any, **named: Any) -> None:
        if Path(path).name.lstrip(".").split(".")[0] == denied:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        make(path, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", guarded)
        result = call(*words(chats, base), "--out", "run")
    refused(result, 2, "no permission", denied, "->")


def test_a_file_in_the_way_stays(call: Call, chats: Path, base: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    refused(call(*words(chats, base), "--out", "run"), 2, "run", "->")
    assert (tmp_path / "run").read_text() == "mine"


def test_a_finished_run_is_never_written_over(
    call: Call, chats: Path, base: Path, straight: bytes, tmp_path: Path
) -> None:
    run = tmp_path / "straight"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    refused(call(*words(chats, base), "--out", "straight"), 2, "straight", "->")
    refused(call("tune", "--resume", "straight"), 2, "finished", "--model", "->")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_resumed_run_needs_the_same_data(call: Call, chats: Path, base: Path, tmp_path: Path) -> None:
    data = tmp_path / "mine.jsonl"
    data.write_text(chats.read_text())
    with small_disk(20_000):
        assert call(*words(data, base), "--out", "run").code == 1
    data.write_text("".join(chats.read_text().splitlines(keepends=True)[:-4]))
    refused(call("tune", "--resume", "run"), 2, "changed", "->")
    data.write_text(chats.read_text())
    assert call("tune", "--resume", "run").code == 0
