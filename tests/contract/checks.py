"""The contract that every cell of the table keeps, one check per promise. Each fails when it is broken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from affinage.data.batches import Batch
from affinage.device import Machine
from affinage.errors import GateError, InputError
from affinage.models.adapted import AdaptedModel
from affinage.models.merging import merge_run
from affinage.models.saving import load_run
from affinage.runs import Run
from tests.contract.watch import Watch

MACHINE = Machine("cpu", "float32", 1, 2**30)


def check_ledger(run: Run, lines: int) -> None:
    """Every line of the file is accounted for; one is a duplicate and one is empty."""
    ledger = run.ledger
    sides = [ledger[side] for side in ("trained", "not_reached", "validation", "held_out")]
    assert ledger["read"] == lines == sum(sides) + sum(ledger["dropped"].values())
    assert (ledger["trained"], ledger["validation"], ledger["held_out"]) == (lines - 6, 2, 2)
    dropped = (run.folder / "dropped.jsonl").read_text().splitlines()
    assert len(dropped) == sum(ledger["dropped"].values()) == 2


def check_overfits(run: Run, steps: int) -> None:
    """Every step shows the same rows, so the loss has to fall."""
    losses = losses_of(run)
    assert len(losses) == steps
    assert losses[-1] < 0.95 * losses[0], losses
    assert max(losses[-3:]) < losses[0], losses


def check_first_loss(watch: Watch, run: Run) -> None:
    """What is reported is the mean over all learned tokens (or rows) of the step."""
    if watch.first_loss is not None:
        found = losses_of(run)[0]
        assert abs(found - watch.first_loss) <= 2e-6 * abs(watch.first_loss), (found, watch.first_loss)


def check_declared(watch: Watch, declared: str, count: int | None = None, untold: str = r"(?!)") -> None:
    """Exactly the tensors whose names match `declared` train, change and get a gradient; all others stay bit for bit.

    Those that match `untold` train but shift all outputs alike, which the loss cannot tell.
    """
    now = dict(watch.model.named_parameters())
    wanted = {name for name in now if re.search(declared, name)}
    assert wanted
    assert count is None or len(wanted) == count
    assert {name for name, tensor in now.items() if tensor.requires_grad} == wanted
    wanted = {name for name in wanted if not re.search(untold, name)}
    assert {name for name, tensor in now.items() if not torch.equal(tensor, watch.start[name])} == wanted
    assert watch.reached == wanted


def check_saved(watch: Watch, run: Run) -> None:
    """The run's files give the model that was trained, bit for bit."""
    for ours, theirs in zip(outputs(watch.model), outputs(load_run(run.folder, MACHINE)), strict=True):
        assert torch.equal(ours, theirs)


def check_same_weights(one: Run, other: Run) -> None:
    """Two runs ended with the same weights, bit for bit."""
    for name, left, right in _pairs(one, other):
        assert torch.equal(left, right), name


def check_close_weights(one: Run, other: Run, rate: float) -> None:
    """Two runs differ by rounding alone: 99 in 100 weights by at most 1e-5, none by a tenth of one step's length.

    Adam divides each gradient by its own size, so that the rounding of a gradient near zero shows against the rate.
    A bias on attention keys shifts all scores alike, which softmax undoes: its gradient is rounding and nothing else.
    """
    pairs = [(left, right) for name, left, right in _pairs(one, other) if not name.endswith("key.bias")]
    apart = torch.cat([(left - right).abs().flatten() for left, right in pairs])
    assert float(apart.quantile(0.99)) <= 1e-5
    assert float(apart.max()) <= 0.1 * rate


def check_merges(run: Run, out: Path, *, merges: bool) -> None:
    """The merged model says what the attached one says, or merging is refused and nothing is left."""
    if not merges:
        with pytest.raises((InputError, GateError), match="cannot be merged"):
            merge_run(run.folder, out, MACHINE)
        assert not out.exists()
        return
    report = merge_run(run.folder, out, MACHINE)
    assert report.difference <= 1e-4
    assert report.merged == (run.model_folder / "adapter_config.json").exists()


def losses_of(run: Run) -> list[float]:
    """The training losses that the run logged, in order."""
    return [row["loss"] for row in run.metrics() if "loss" in row]


def _pairs(one: Run, other: Run) -> list[tuple[str, Tensor, Tensor]]:
    left, right = weights_of(one), weights_of(other)
    assert left.keys() == right.keys()
    assert left
    return [(name, tensor, right[name]) for name, tensor in left.items()]


def weights_of(run: Run) -> dict[str, Tensor]:
    """Every tensor that the run saved."""
    files = sorted(run.model_folder.glob("*.safetensors"))
    return {f"{path.name}:{name}": tensor for path in files for name, tensor in load_file(path).items()}


@torch.no_grad()
def outputs(model: AdaptedModel) -> list[Tensor]:
    """Logits over tokens (decoders) and over classes (where there is a head) on fixed rows."""
    model.eval()
    tokens_BT = torch.arange(3, 43).reshape(2, 20)
    hidden = model.hidden(Batch(tokens_BT, torch.ones(2, 20), torch.ones(2, 20, dtype=torch.bool)))
    found = [model.output_head.logits(hidden)] if model.causal else [hidden]
    return [*found, *(head(hidden.mean(dim=1)) for head in model.heads.values())]
