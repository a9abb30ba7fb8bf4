"""`affinage recipe init` and `recipe explain`."""

from __future__ import annotations

from pathlib import Path

import yaml

from affinage.recipe import GROUPS, Recipe
from tests.cli.calling import Call


def test_a_written_recipe_plans_the_same_run(call: Call, base: Path, questions: Path) -> None:
    words = (questions, "--model", base, "--set", "threads=1", "--set", "seed=3")
    assert call("recipe", "init", *words, "--out", "mine.yaml").code == 0
    assert yaml.safe_load(Path("mine.yaml").read_text()) == {
        "model": str(base), "data": [str(questions)], "seed": 3, "threads": 1,
    }  # fmt: skip
    plans = [call("tune", *some, "--dry-run", "--json").json for some in (words, ("mine.yaml",))]
    assert plans[0] == plans[1]
    over = call("tune", "mine.yaml", "--set", "rank=3", "--train", "lora", "--dry-run", "--json").json["plan"]
    assert over["train"] == "lora"
    assert over["trainable_parameters"] != plans[0]["plan"]["trainable_parameters"]


def test_every_comment_can_be_uncommented(call: Call, base: Path, questions: Path) -> None:
    text = call("recipe", "init", questions, "--model", base).out
    settings = [
        line.removeprefix("# ")
        for line in text.splitlines()
        if line.removeprefix("# ").split(":")[0] in Recipe.model_fields
    ]
    values = yaml.safe_load("\n".join(settings))
    assert set(values) == set(Recipe.model_fields)
    Recipe.model_validate(values)
    assert "# derived: " in text


def test_an_existing_recipe_is_kept(call: Call, questions: Path, base: Path) -> None:
    Path("mine.yaml").write_text("seed: 1\n")
    assert call("recipe", "init", questions, "--model", base, "--out", "mine.yaml").code == 2
    assert Path("mine.yaml").read_text() == "seed: 1\n"


def test_every_key_is_explained(call: Call) -> None:
    keys = call("recipe", "explain", "--json").json["keys"]
    inner = {name: {f"{name}.{key}" for key in group.model_fields} for name, group in GROUPS.items()}
    assert set(keys) == {name for name in Recipe.model_fields if name not in GROUPS} | set().union(*inner.values())
    assert keys["head.depth"]["type"] == "whole number >= 1 <= 8"
    one = call("recipe", "explain", "rank").out
    assert one.startswith("rank: whole number > 0\n")
    assert str(Recipe.model_fields["rank"].description) in one
    assert len(call("recipe", "explain", "head", "--json").json["keys"]) == len(inner["head"])
