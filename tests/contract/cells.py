"""One cell of the table objective x trainable x model, and the runs that prove it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from affinage.recipe import Recipe, make_recipe
from affinage.runs import Run, open_run
from affinage.training.reporting import Silent
from affinage.tuning.prepare import prepare
from affinage.tuning.run import resume, tune
from tests.contract import checks
from tests.contract.watch import Watch
from tests.small import rows_for, write_rows

STEPS = 8
RATES = {"head": 3e-2, "last:1": 1e-2, "full": 1e-2, "lora": 2e-2, "dora": 2e-2, "ia3": 1e-1, "prefix": 2e-1}
BESIDE_A_HEAD = 0.04  # of these rates: a head on standardised encodings feels every change below it
HEAD = r"^heads\."
DECLARED = {
    "head": HEAD,
    "last:1": r"\blayers?\.1\.|" + HEAD,
    "full": r"^network\.(?!pooler|lm_head)|" + HEAD,
    "lora": r"\blora_[AB]\.|" + HEAD,
    "dora": r"\blora_([AB]|magnitude_vector)\.|" + HEAD,
    "ia3": r"\bia3_|" + HEAD,
    "prefix": r"\bprompt_encoder\.|" + HEAD,
}
LINEAR = {"llama": 14, "bert": 12}  # linear layers in the two blocks
PER_LINEAR = {"lora": 2, "dora": 3, "ia3": 1}


class KilledError(Exception):
    """Stands for the end of the process."""


class KilledAt(Silent):
    """Ends the run while it trains, right after a step was taken."""

    def __init__(self, step: int) -> None:
        self.step = step

    @contextmanager
    def stage(self, text: str, total: int) -> Iterator[Any]:
        def advance(done: int, said: str = "") -> None:
            if text == "training" and done == self.step:
                raise KilledError

        yield advance


@dataclass(frozen=True)
class Cell:
    """One point of the grid on one random model. `folder` takes its runs."""

    objective: str
    train: str
    base: Path
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    rows: str = ""  # which rows, where the objective takes several kinds

    @property
    def lines(self) -> int:
        return len(rows_for(self.rows or self.objective))

    @property
    def tensors(self) -> int | None:
        """How many tensors an adapter has, head included; None where the pattern alone tells."""
        if self.train not in PER_LINEAR:
            return None
        head = {"classify": 2, "reward": 1}.get(self.objective, 0)
        return PER_LINEAR[self.train] * LINEAR[self.base.name] + head

    @property
    def declared(self) -> str:
        """What the names of its tensors look like; only a language objective reads the output projection."""
        return DECLARED[self.train] + (
            "" if self.objective in ("classify", "reward") or self.train != "full" else r"|\blm_head\."
        )

    @property
    def untold(self) -> str:
        """What is added to every score alike: the shift of an encoder's last normalisation, under pairs of scores."""
        return r"layer\.1\.output\.LayerNorm\.bias$" if self.objective == "reward" else r"(?!)"

    @property
    def rate(self) -> float:
        slower = self.objective in ("classify", "reward") and self.train != "head"
        # Several labels start from each one's own share, rewards from even odds, with less to gain in a few steps.
        shy = 3.0 if self.rows == "multi" else 12.0 if (self.objective, self.base.name) == ("reward", "bert") else 1.0
        return RATES[self.train] * (BESIDE_A_HEAD * shy if slower else 1.0)

    def recipe(self, name: str, **changes: Any) -> Recipe:
        """Every step takes all training rows at once, unless `micro_tokens` splits it."""
        self.folder.mkdir(exist_ok=True)
        data = self.folder / "rows.jsonl"
        if not data.exists():
            write_rows(data, rows_for(self.rows or self.objective))
        settings: dict[str, Any] = {
            "model": str(self.base), "data": str(data), "objective": self.objective, "train": self.train,
            "out": str(self.folder / name), "steps": STEPS, "learning_rate": self.rate, "schedule": "constant",
            "warmup": 0.0, "folds": 1, "held_out": 2, "validation": 2, "evaluate_every": 3, "checkpoint_every": 2,
            "patience": 0, "samples": 0, "threads": 1,
        }  # fmt: skip
        return make_recipe(settings | self.settings | changes)

    @cached_property
    def tokens(self) -> tuple[int, int]:
        """Padded tokens of all twelve training rows, and of a quarter of them."""
        sizes = prepare(self.recipe("sizes")).plan.facts.lengths
        widest = max(sizes)
        assert len(sizes) == 12
        assert min(sizes) > 0.75 * widest  # so that a quarter holds three rows, whichever
        assert len(set(sizes)) > 1  # ragged
        return 12 * widest, 3 * widest

    def whole(self) -> Run:
        """A step is one forward pass."""
        step, _ = self.tokens
        return tune(self.recipe("whole", batch_tokens=step, micro_tokens=step))

    def split(self) -> Run:
        """A step is four forward passes."""
        step, micro = self.tokens
        run = tune(self.recipe("split", batch_tokens=step, micro_tokens=micro))
        return run

    def killed(self) -> Run:
        """As `split`, killed after step 5 and resumed from its checkpoint of step 4."""
        step, micro = self.tokens
        recipe = self.recipe("killed", batch_tokens=step, micro_tokens=micro)
        with pytest.raises(KilledError):
            tune(recipe, reporter=KilledAt(5))
        run = open_run(str(recipe.out))
        assert not run.finished
        assert [path.name for path in sorted(run.checkpoints.glob("step-*"))] == ["step-00000002", "step-00000004"]
        return resume(run.folder)


def keep_contract(cell: Cell, monkeypatch: pytest.MonkeyPatch, *, only: Sequence[str] = ()) -> None:
    """Run every check (or those named) on the cell."""
    wanted = lambda name: not only or name in only  # noqa: E731
    with monkeypatch.context() as patch:
        watch = Watch(patch)
        whole = cell.whole()
    if wanted("ledger"):
        checks.check_ledger(whole, cell.lines)
    if wanted("first loss"):
        checks.check_first_loss(watch, whole)
    if wanted("overfits"):
        checks.check_overfits(whole, STEPS)
    if wanted("declared"):
        checks.check_declared(watch, cell.declared, cell.tensors, cell.untold)
    if wanted("saved"):
        checks.check_saved(watch, whole)
    if wanted("micro"):
        split = cell.split()
        checks.check_close_weights(whole, split, cell.rate)
    if wanted("resumed"):
        split = split if wanted("micro") else cell.split()
        checks.check_same_weights(split, cell.killed())
    if wanted("merged"):
        checks.check_merges(whole, cell.folder / "merged", merges=cell.train != "prefix")
