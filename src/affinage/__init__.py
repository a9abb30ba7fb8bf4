"""Adapt a language model to your own data, with proof of what changed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from affinage.early import prepare as _prepare

if TYPE_CHECKING:
    from affinage.api import TunedRun as TunedRun
    from affinage.api import resume as resume
    from affinage.api import run as run
    from affinage.api import tune as tune
    from affinage.recipe import Recipe as Recipe
    from affinage.recipe import make_recipe as make_recipe
    from affinage.use import load as load

_HOME = {
    "Recipe": "affinage.recipe",
    "TunedRun": "affinage.api",
    "load": "affinage.use",
    "make_recipe": "affinage.recipe",
    "resume": "affinage.api",
    "run": "affinage.api",
    "tune": "affinage.api",
}
_prepare()  # before any library that computes is loaded
__all__ = ["Recipe", "TunedRun", "load", "make_recipe", "resume", "run", "tune"]


def __getattr__(name: str) -> Any:
    """Hand a name on when it is first asked for: `import affinage` alone loads nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'affinage' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
