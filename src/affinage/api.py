"""The package's face in Python: `af.tune("tickets.jsonl", train="lora").load().generate(...)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from affinage.recipe import Recipe, make_recipe
from affinage.runs import Run, open_run
from affinage.training.reporting import Reporter
from affinage.tuning import run as tuning
from affinage.use import Adapted
from affinage.use import load as load_adapted


class TunedRun(Run):
    """A run that can be put to use."""

    __slots__ = ()

    def load(self, **options: Any) -> Adapted:
        """The adapted model, ready to `generate`, `classify` or `encode`; options as for `affinage.load`."""
        return load_adapted(self.folder, **options)


def tune(data: str | Path | list[str] | Recipe, *, reporter: Reporter | None = None, **settings: Any) -> TunedRun:
    """One run from data (files, folders, `hub:owner/name`) and recipe keys, or from a recipe.

    Raises:
        InputError: the recipe, the data or the model is wrong (before anything is written).
        RunError: the work failed; the last good checkpoint is kept in the run folder.
    """
    if isinstance(data, Recipe):
        recipe = data.model_copy(update=settings) if settings else data
    else:
        sources = [str(data)] if isinstance(data, str | Path) else [str(source) for source in data]
        recipe = make_recipe({**settings, "data": sources})
    return TunedRun(tuning.tune(recipe, reporter=reporter).folder)


def resume(folder: str | Path, *, reporter: Reporter | None = None) -> TunedRun:
    """Go on with a run that was stopped."""
    return TunedRun(tuning.resume(folder, reporter=reporter).folder)


def run(folder: str | Path) -> TunedRun:
    """A run on disk.

    Raises:
        InputError: there is none in this folder.
    """
    return TunedRun(open_run(folder).folder)
