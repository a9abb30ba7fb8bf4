"""Training with everything around the loop: logging, validation, keeping the best, checkpoints, stopping."""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from affinage.data.batches import Batch
from affinage.errors import RunError
from affinage.files import append_line, write_text
from affinage.models.adapted import AdaptedModel
from affinage.objectives.base import Objective
from affinage.planning.plan import Plan
from affinage.recipe import Recipe
from affinage.runs import INTERRUPTED
from affinage.training.checkpoints import ResumePoint, load_checkpoint, load_weights, save_checkpoint, save_weights
from affinage.training.loop import Step, train
from affinage.training.optimizer import make_optimizer, make_schedule, state_bytes
from affinage.training.reporting import Reporter, step_line


class Source(Protocol):
    """Optimizer steps, each a list of micro-batches, whose position can be saved."""

    def __iter__(self) -> Iterator[list[Batch]]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...
    def seen(self) -> set[int]: ...


@dataclass(slots=True)
class Progress:
    """What a checkpoint must remember besides weights. `best` is the best validation score so far (lower is better)."""

    best: float | None = None
    best_step: int = 0
    waited: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Fitted:
    """How the training ended: `finished`, `early` (no better for `patience` scores) or `interrupted` (Ctrl-C).

    `best_step` is 0 where no step was better within the forgetting budget. `step_seconds`: of an optimizer step, on
    average over those taken since the run started or was resumed (None: there were none), without validation and saving.
    """

    steps: int
    best_step: int
    ended: str
    seconds: float
    step_seconds: float | None
    optimizer_bytes: int


@dataclass(slots=True)
class Fit:
    """One training: the pieces, and the folder that takes its log and checkpoints.

    `forgotten` tells what general text has cost so far; with a budget, only weights within it are kept as the best.
    """

    recipe: Recipe
    plan: Plan
    model: AdaptedModel
    objective: Objective
    batches: Source
    validate: Callable[[], float] | None
    folder: Path
    reporter: Reporter
    forgotten: Callable[[], float] | None = None

    def run(self) -> Fitted:
        """Train to the end, or until it no longer helps; the best weights are in the model afterwards."""
        optimizer = make_optimizer(
            self.model,
            self.recipe.optimizer,
            learning_rate=self.plan["learning_rate"],
            weight_decay=self.recipe.weight_decay,
        )
        point = load_checkpoint(self.checkpoints, self.model, optimizer)
        progress = Progress(**point.progress) if point else Progress()
        done = point.step if point else 0
        if point:
            self.batches.load_state_dict(point.batches)
        self._cut_log(done)
        if self.budget is not None and not point:
            self._validate(0, progress)  # the untouched weights are within any budget
        ended = self._loop(optimizer, progress, done)
        if progress.best is None:  # nothing was validated, or all of it was over the budget (some adapters begin so)
            return self._fitted(self.last if self.budget is None else 0, ended, progress.seconds, optimizer, done)
        load_weights(self.best, self.model)
        if not progress.best_step:
            self.reporter.note(
                f"no step was better within the forgetting budget of {self.budget:g} bits per byte: the weights are "
                "as they were"
            )
        return self._fitted(progress.best_step, ended, progress.seconds, optimizer, done)

    def _fitted(self, best: int, ended: str, seconds: float, optimizer: torch.optim.Optimizer, done: int) -> Fitted:
        each = self.took / (self.last - done) if self.last > done else None
        return Fitted(self.last, best, ended, seconds, each, state_bytes(optimizer))

    @property
    def budget(self) -> float | None:
        """Bits per byte that may be lost on general text, where that is watched."""
        return self.recipe.forgetting_budget if self.forgotten and self.validate else None

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def best(self) -> Path:
        return self.checkpoints / "best"

    @property
    def log(self) -> Path:
        return self.folder / "metrics.jsonl"

    last: int = 0
    took: float = 0.0  # seconds of the steps themselves

    def _loop(self, optimizer: torch.optim.Optimizer, progress: Progress, done: int) -> str:
        recipe, plan = self.recipe, self.plan
        total = plan["steps"]
        schedule = make_schedule(
            recipe.schedule, peak=plan["learning_rate"], steps=total, warmup=recipe.warmup, final=recipe.final_rate
        )
        steps = train(self.model, self.objective, self.batches, optimizer, schedule, clip=recipe.clip, done=done)
        recent: deque[Step] = deque(maxlen=20)
        self.last = done
        ended = "early" if self._exhausted(progress) and done < total else "finished"
        with stopping() as stop, self.reporter.stage("training", total) as advance:
            began = time.perf_counter() - progress.seconds
            over = done >= total or self._exhausted(progress)  # stopped after its last step
            for step in steps if not over else ():
                self.last = step.step
                recent.append(step)
                self.took += step.seconds
                self._record(step)
                advance(step.step, step_line(step, _speed(recent)))
                if step.step % plan["evaluate_every"] == 0 or step.step == total:
                    self._validate(step.step, progress)
                    self._check_gradients(step)
                exhausted = self._exhausted(progress)
                over = step.step >= total or exhausted or stop()
                progress.seconds = time.perf_counter() - began
                if step.step % plan["checkpoint_every"] == 0 or (over and stop()):
                    if self.model.bottom is not None:
                        self.model.bottom.flush()
                    point = ResumePoint(step.step, self.batches.state_dict(), asdict(progress))
                    save_checkpoint(self.checkpoints, point, self.model, optimizer)
                if over:
                    ended = INTERRUPTED if stop() else "early" if exhausted and step.step < total else "finished"
                    break
        if self.last % plan["evaluate_every"] and self.last != total and ended == "finished":
            self._validate(self.last, progress)  # the data ended before the planned steps
        return ended

    def _exhausted(self, progress: Progress) -> bool:
        """Whether patience has run out."""
        return bool(self.recipe.patience) and progress.waited >= self.recipe.patience

    def _validate(self, step: int, progress: Progress) -> None:
        if self.validate is None:
            return
        value = self.validate()
        lost = self.forgotten() if self.forgotten is not None and self.budget is not None else None
        beside = {} if lost is None else {"forgetting": {"metric": "bits_per_byte", "difference": lost}}
        append_line(self.log, {"step": step, "validation": {"metric": "loss", "value": value}, **beside})
        if not math.isfinite(value):
            raise RunError(f"step {step}: the validation loss is not a number", fix="try a lower --set learning_rate")
        within = lost is None or self.budget is None or lost <= self.budget
        if within and (progress.best is None or value < progress.best):
            progress.best, progress.best_step, progress.waited = value, step, 0
            save_weights(self.best, self.model)
        else:
            progress.waited += 1

    def _record(self, step: Step) -> None:
        speed = step.tokens / step.seconds if step.seconds else 0.0
        append_line(
            self.log,
            {
                "step": step.step,
                "loss": step.loss,
                "tokens": step.tokens,
                "learned_tokens": step.learned_tokens,
                "tokens_per_second": round(speed, 1),
                "learning_rate": step.learning_rate,
                "gradient_norm": step.gradient_norm,
                **step.metrics,
            },
        )

    def _check_gradients(self, step: Step) -> None:
        if step.gradient_norm == 0.0:
            raise RunError(
                f"step {step.step}: every gradient is zero, nothing is learned", fix="check `train` and `targets`"
            )

    def _cut_log(self, done: int) -> None:
        """Drop what was logged after the checkpoint: those steps will come again."""
        if not self.log.exists():
            return
        import orjson

        lines = self.log.read_text(encoding="utf-8").splitlines()
        kept = []
        for line in lines:
            try:
                if orjson.loads(line)["step"] <= done:
                    kept.append(line)
            except orjson.JSONDecodeError:  # cut short by a kill
                continue
        write_text(self.log, "".join(line + "\n" for line in kept))


def _speed(recent: deque[Step]) -> float:
    seconds = sum(step.seconds for step in recent)
    return sum(step.tokens for step in recent) / seconds if seconds else 0.0


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C (or SIGTERM) asks the loop to stop after its step; a second one stops at once."""
    asked = False

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    try:
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: the caller owns the signals
        before = {}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
