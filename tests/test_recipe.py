"""Every setting has an effect: somewhere outside the recipe each key is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from affinage.recipe import GROUPS, Recipe

SOURCE = Path(__file__).resolve().parents[1] / "src" / "affinage"
CODE = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py")) if path.name != "recipe.py")


@pytest.mark.parametrize("key", [key for key in Recipe.model_fields if key not in GROUPS])
def test_each_key_is_read(key: str) -> None:
    assert re.search(rf'recipe\.{key}\b|"{key}"', CODE), key


@pytest.mark.parametrize(
    ("group", "key"), [(name, key) for name, group in GROUPS.items() for key in group.model_fields]
)
def test_each_key_of_a_group_is_read(group: str, key: str) -> None:
    assert re.search(rf"({group}|settings|recipe\.{group})\.{key}\b", CODE), key


def test_the_recipe_stays_small() -> None:
    assert len(Recipe.model_fields) < 60
    assert all(len(group.model_fields) <= 20 for group in GROUPS.values())
