"""Adapt a language model to your own data, with proof of what changed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affinage.recipe import Recipe as Recipe
    from affinage.recipe import make_recipe as make_recipe
    from affinage.runs import Run as Run
    from affinage.tuning.run import resume as resume
    from affinage.tuning.run import tune as tune
    from affinage.use import load as load

_HOME = {
    "Recipe": "affinage.recipe",
    "Run": "affinage.runs",
    "load": "affinage.use",
    "make_recipe": "affinage.recipe",
    "resume": "affinage.tuning.run",
    "tune": "affinage.tuning.run",
}
__all__ = ["Recipe", "Run", "load", "make_recipe", "resume", "tune"]


def __getattr__(name: str) -> Any:
    """Hand a name on when it is first asked for: `import affinage` alone loads nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'affinage' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
