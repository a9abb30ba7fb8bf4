"""The catalogue of findings is complete: checks, drops, pages and `--explain` all speak of the same codes."""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import affinage
from affinage.cli.main import main
from affinage.data.records import Source
from affinage.errors import InputError
from affinage.inspection.catalogue import CATALOGUE, SEVERITIES
from affinage.inspection.dropped import _CODES
from affinage.inspection.findings import Finding, Findings, example
from affinage.inspection.gate import refuse_errors

PACKAGE = Path(affinage.__file__).parent
DOCS = PACKAGE.parents[1] / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def first_words(folder: str, *names: str) -> Iterator[tuple[str, str]]:
    """The first argument of every call of `names` in a room, where it is written out, with its file."""
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in names and isinstance(node.args[0].value, str):
                    yield node.args[0].value, path.name


def test_checks_give_only_codes_of_the_catalogue() -> None:
    given = dict(first_words("inspection", "Finding"))
    assert len(given) > 30
    assert set(given) <= set(CATALOGUE)
    with pytest.raises(ValueError, match="catalogue"):
        Finding("never-heard-of", "note", "x")


def test_every_reason_to_leave_a_row_out_is_in_the_catalogue() -> None:
    reasons = dict(first_words("data", "Drop", "BadRowError"))
    assert len(reasons) > 8
    assert {_CODES.get(reason, reason) for reason in reasons} <= set(CATALOGUE)


def test_entries_are_whole_sentences() -> None:
    for code, entry in CATALOGUE.items():
        assert code == entry.code == code.lower()
        assert entry.severity in SEVERITIES
        for text in (entry.says, entry.why, entry.fix):
            assert (text.endswith(".") and text[0].isupper()) or text.startswith("`"), (code, text)


def test_there_is_a_page_for_every_code_and_no_other(generator: ModuleType) -> None:
    made = {name: text for name, text in generator.pages().items() if name.startswith("findings/")}
    assert set(made) == {"findings/index.md", *(f"findings/{code}.md" for code in CATALOGUE)}
    assert {f"findings/{path.name}" for path in (DOCS / "findings").iterdir()} == set(made)
    for name, text in made.items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, "run: python docs/generate.py"
    for code in CATALOGUE:
        assert f"]({code}.md)" in made["findings/index.md"]


@pytest.mark.parametrize("code", ["length-bias", "secret"])
def test_explain_says_what_the_catalogue_says(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--explain", code]) == 0
    said = capsys.readouterr().out
    entry = CATALOGUE[code]
    assert all(text in said for text in (code, entry.severity, entry.says, entry.why, entry.fix))
    assert main(["inspect", "--explain", code, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["why"] == entry.why


def test_explain_knows_the_nearest_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--explain", "lenght-bias"]) == 2
    assert "Did you mean 'length-bias'?" in capsys.readouterr().err


def test_errors_stop_a_run_and_warnings_do_not() -> None:
    warning = Finding("mojibake", "warning", "broken characters: 3")
    refuse_errors(Findings([warning]))
    wrong = Finding("chosen-equals-rejected", "error", "all the same: 2", 2, (example(Source("a.jsonl", "3")),), "look")
    with pytest.raises(InputError) as caught:
        refuse_errors(Findings([warning, wrong]))
    assert caught.value.message == "all the same: 2 [chosen-equals-rejected] at a.jsonl:3"
    assert caught.value.fix == "look"
