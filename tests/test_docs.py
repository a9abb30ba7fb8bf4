"""The documents say what the code does: generated pages, links, commands and keys in them."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from affinage.cli.main import COMMANDS, load_command
from affinage.data.batches import Row, collate
from affinage.models.adapted import AdaptedModel
from affinage.recipe import GROUPS, Recipe, make_recipe, parse_overrides
from affinage.training.loop import denominators
from tests.models.networks import llama

ROWS = ([1, 5, 6, 7, 8, 9], [1, 5, 6])
ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])
RESULTS = "results.md"  # written by `make results` from committed evaluation files
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(page: Path, language: str) -> Iterator[str]:
    """The fenced blocks of one language."""
    for found in _FENCE.finditer(page.read_text(encoding="utf-8")):
        if found[1] == language:
            yield found[2]


def commands() -> list[tuple[str, str]]:
    """Every `affinage` command of every page, with the page that it stands on."""
    lines = [(page.name, line) for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    return [(name, line) for name, line in lines if line.split()[:1] and line.split()[0].endswith("affinage")]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["recipe.md", "methods.md", "house.svg"])
def test_generated_pages_are_those_of_the_code(name: str, generator: ModuleType) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == generator.pages()[name], "run: python docs/generate.py"


def test_every_key_stands_in_the_recipe_page_with_its_words() -> None:
    page = (DOCS / "recipe.md").read_text(encoding="utf-8")
    for key, field in Recipe.model_fields.items():
        says = str(field.description).partition(" Derived")[0]
        assert f"| `{key}` |" in page or key in GROUPS
        assert says in page or key in GROUPS, key


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_has_these_options(page: str, line: str) -> None:
    words = shlex.split(line.partition(" #")[0].partition(" < ")[0].replace("YOUR_MODEL", "tiny"))[1:]
    assert words[0] in COMMANDS, f"{page}: {line}"
    command = load_command(words[0], COMMANDS[words[0]][0])
    inner = getattr(command, "commands", {})
    if inner and len(words) > 1 and not words[1].startswith("-"):
        command, words = inner[words[1]], words[1:]
    command.make_context(words[0], words[1:])
    overrides = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    make_recipe(parse_overrides(overrides))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if target.startswith(("http:", "https:")):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists() or other.name == RESULTS, f"{page.name}: {target}"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_slug(head) for head in heads}, f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_parse(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(block)


def test_pages_name_tests_that_exist() -> None:
    for page in PAGES:
        for path in re.findall(r"`(tests/[\w/]+(?:\.py)?)`", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_the_site_shows_every_page() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = list(_leaves(site["nav"]))
    assert len(named) == len(set(named))
    assert set(named) == {RESULTS, "findings/index.md", *(page.name for page in DOCS.glob("*.md"))}


def test_every_room_of_the_house_is_described() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    rooms = {room.strip().removeprefix("affinage.") for layer in layers for room in layer.split("|")}
    package = ROOT / "src" / "affinage"
    built = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    assert rooms == built - {"__init__", "__main__"}
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == rooms


def test_the_worked_example_is_an_objective() -> None:
    (code,) = blocks(DOCS / "add-a-method.md", "python")
    space: dict[str, Any] = {}
    exec(compile(code, "add-a-method.md", "exec"), space)
    objective, model = space["EvenObjective"](), AdaptedModel(llama(), causal=True).eval()
    rows = [Row(np.array(ids, np.int32), np.array([0.0] + [1.0] * (len(ids) - 1), np.float32)) for ids in ROWS]
    with torch.no_grad():
        (term,) = objective(model, collate(rows, 0)).terms
        alone = [model.row_scores(collate([row], 0)) for row in rows]
    assert float(term.total) == pytest.approx(sum(float(one.nll_B / one.tokens_B) for one in alone), rel=1e-5)
    assert denominators(objective, [collate(rows, 0)] * 2) == {"nll": 4.0}


def _leaves(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for item in nav.values() if isinstance(nav, dict) else nav:
            yield from _leaves(item)


def _slug(head: str) -> str:
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", head.lower()).strip())
