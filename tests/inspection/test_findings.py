"""Seeded faults are found with their lines; clean data give no warning; errors are what `tune` refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affinage.data.records import Source
from affinage.errors import InputError
from affinage.inspection.characters import MOJIBAKE
from affinage.inspection.checks import find
from affinage.inspection.findings import Finding, Findings, example, places
from affinage.recipe import make_recipe
from affinage.tuning.prepare import prepare
from affinage.tuning.survey import survey

Rows = list[Any]
Write = Callable[..., Path]


def chats(count: int = 12) -> Rows:
    return [
        {"prompt": f"What is the age of cheese number {n}?", "response": f"It is {n} weeks old."} for n in range(count)
    ]


def labelled(count: int = 24) -> Rows:
    return [{"text": f"The parcel number {n} came late.", "label": ("late", "lost")[n % 2]} for n in range(count)]


def texts(count: int = 24) -> Rows:
    return [
        {"text": f"In the cellar, shelf {n} holds the cheeses of week {n} and their washed rinds."}
        for n in range(count)
    ]


def found(path: Path | str, base: Path, **settings: Any) -> Findings:
    recipe = make_recipe({"data": str(path), "model": str(base), **settings})
    findings = find(survey(recipe))
    try:
        prepare(recipe)
        refused = False
    except InputError:
        refused = True
    assert refused == bool(findings.of("error")), "an error finding is what tune refuses"
    return findings


def one(findings: Findings, code: str) -> Finding:
    same = [finding for finding in findings if finding.code == code]
    assert len(same) == 1, [finding.code for finding in findings]
    return same[0]


SAME = {"prompt": "Whose cheese is it?", "response": "It is Ann's cheese."}
# rows, settings, code, severity, count, lines of the examples
FAULTS = {
    "malformed": ([*chats(), '{"prompt": '], {}, "malformed", "error", 1, [13]),
    "malformed, left out": ([*chats(), '{"prompt": '], {"bad_rows": "drop"}, "malformed", "warning", 1, [13]),
    "wrong type": ([*texts(), {"text": 7}], {}, "wrong-type", "error", 1, [25]),
    "no column": ([*texts(), {"words": "x"}], {}, "missing-column", "error", 1, [25]),
    "empty answer": ([*chats(), {"prompt": "And?", "response": " "}], {}, "empty-response", "warning", 1, [13]),
    "duplicate": ([SAME, *chats(), SAME], {}, "duplicate", "note", 1, [14]),
    "too long": ([*chats(), SAME | {"response": "so " * 600}], {}, "too-long", "error", 1, [13]),
    "too long, cut": (
        [*chats(), SAME | {"response": "so " * 600}],
        {"too_long": "truncate"},
        "too-long",
        "warning",
        1,
        [13],
    ),
    "cut answers have no end": (
        [*chats(), SAME | {"response": "so " * 600}],
        {"too_long": "truncate"},
        "end-not-learned",
        "warning",
        1,
        [13],
    ),
    "too long, left out": (
        [*chats(), SAME | {"response": "so " * 600}],
        {"too_long": "drop"},
        "too-long",
        "warning",
        1,
        [13],
    ),
    "too long to answer": (
        [*chats(), SAME | {"prompt": "so " * 600}],
        {"too_long": "truncate"},
        "no-learned-token",
        "warning",
        1,
        [13],
    ),
    "several answers": ([*chats(), SAME, SAME | {"response": "Bo's."}], {}, "differing-answers", "note", 2, [13, 14]),
    "one word": ([*chats(), SAME | {"response": "Ann"}], {}, "one-word-answer", "note", 1, [13]),
    "answer is prompt": ([*chats(), SAME | {"response": SAME["prompt"]}], {}, "answer-is-prompt", "warning", 1, [13]),
    "answer in prompt": (
        [*chats(), {"prompt": "Say: Ann ate the cheese.", "response": "Ann ate the cheese."}],
        {},
        "answer-in-prompt",
        "note",
        1,
        [13],
    ),
    "one label": ([row | {"label": "late"} for row in labelled()], {}, "one-label", "error", 1, [1]),
    "label once": ([*labelled(), {"text": "It is red.", "label": "paint"}], {}, "label-once", "error", 1, [25]),
    "rare label": (
        [*labelled(), *({"text": f"It is red {n}.", "label": "paint"} for n in range(4))],
        {},
        "rare-label",
        "warning",
        1,
        [25],
    ),
    "label variants": (
        [*labelled(), *({"text": f"Where is it, {n}?", "label": "Lost "} for n in range(10))],
        {},
        "label-variants",
        "warning",
        2,
        [25],
    ),
    "uneven labels": (
        [*labelled(), *({"text": f"Too late, {n}!", "label": "late"} for n in range(60))],
        {},
        "uneven-labels",
        "warning",
        72,
        [1],
    ),
    "contradiction": (
        [*labelled(), {"text": "the parcel number 3 came late.", "label": "late"}],
        {},
        "contradictory-labels",
        "warning",
        2,
        [4, 25],
    ),
    "mojibake": (
        [*texts(), {"text": "Then she said â€œthe cheese is oldâ€ and left."}],
        {},
        "mojibake",
        "warning",
        1,
        [25],
    ),
    "lost character": (
        [*texts(), {"text": "The caf\ufffd on the hill sells cheese."}],
        {},
        "replacement-character",
        "warning",
        1,
        [25],
    ),
    "foreign template": (
        [*chats(), SAME | {"prompt": "<|im_start|>user\nWhose?<|im_end|>"}],
        {},
        "control-token",
        "warning",
        1,
        [13],
    ),
    "own control token": (
        [*texts(), {"text": "The end of the cheese text is here.</s>"}],
        {},
        "control-token",
        "warning",
        1,
        [25],
    ),
    "unknown script": (
        [*texts(), *({"text": f"奶酪在地窖里成熟需要很多个星期的时间 {n} 然后才能出售给客人"} for n in range(9))],
        {},
        "spelt-out",
        "warning",
        9,
        [25, 26, 27, 28, 29],
    ),
    "short text": ([*texts(), {"text": "Rind."}], {}, "short-text", "note", 1, [25]),
    "shared text": ([*chats(), SAME, SAME | {"prompt": "whose CHEESE is it?"}], {}, "shared-text", "note", 2, [13, 14]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_with_its_file_and_lines(name: str, write: Write, base: Path) -> None:
    rows, settings, code, severity, count, lines = FAULTS[name]
    path = write(rows)
    finding = one(found(path, base, **settings), code)
    assert (finding.severity, finding.count) == (severity, count)
    assert [place["line"] for place in finding.examples] == lines
    assert all(place["file"] == str(path) for place in finding.examples)


REFUSED = {
    "no model": (chats(), {"model": "nowhere/at/all"}, "there is no model"),
    "context": (chats(), {"context": 4096}, "the model takes at most 512"),
    "objective": (chats(), {"objective": "classify"}, "learns from labelled rows"),
    "train": (chats(), {"train": "head"}, "head"),
    "prompts alone": (
        [{"prompt": f"What is {n}?"} for n in range(9)],
        {},
        "nothing can be learned from prompt rows alone",
    ),
    "unknown layout": ([{"a": n} for n in range(9)], {}, "column"),
    "few rows": (chats(2), {}, "too few to hold any out"),
    "missing file": (None, {}, "no such file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_tune_refuses_is_an_error_in_its_words(name: str, write: Write, base: Path) -> None:
    rows, settings, words = REFUSED[name]
    path = write(rows) if rows is not None else "nowhere.jsonl"
    findings = found(path, base, **settings)
    assert any(words in finding.message for finding in findings.of("error")), findings.to_json()


def test_all_faults_are_told_at_once(write: Write, base: Path) -> None:
    rows = [*labelled(), "{", {"text": "so " * 600, "label": "late"}, {"text": "It is red.", "label": "paint"}]
    findings = found(write(rows), base)
    assert {finding.code for finding in findings.of("error")} == {"malformed", "too-long", "label-once"}
    material = survey(make_recipe({"data": str(write(rows)), "model": str(base)}))
    assert material.ledger.adds_up()
    assert (material.ledger.read, material.ledger.dropped) == (27, {"malformed": 1, "too-long": 1})


@pytest.mark.parametrize("wish", ["error", "truncate", "drop"])
def test_too_long_rows_are_counted_of_all_rows(wish: str, write: Write, base: Path) -> None:
    rows = [*chats(), SAME | {"response": "so " * 600}]
    assert "1 of 13" in one(found(write(rows), base, too_long=wish), "too-long").message


def test_a_longer_context_is_offered_only_where_the_model_has_one(write: Write, base: Path) -> None:
    path = write([*chats(), SAME | {"response": "so " * 600}])
    assert "this one takes 512 tokens" in one(found(path, base), "too-long").fix
    path = write([*chats(), SAME | {"response": "so " * 300}])
    assert one(found(path, base, context=200), "too-long").fix.startswith("--set context=3")


def test_figures_and_signs_are_not_spelt_out(write: Write, base: Path) -> None:
    sums = [{"text": f"The sum: {' '.join(f'{n}{m}+3={n}{m + 3};' for m in range(30))}"} for n in range(20)]
    assert "spelt-out" not in {finding.code for finding in found(write(sums), base)}


def test_unreadable_files_are_told_together_and_the_others_read(write: Write, base: Path, tmp_path: Path) -> None:
    write(texts(), "good.jsonl")
    (tmp_path / "latin.csv").write_bytes("text\nCr\xe8me de la cr\xe8me\n".encode("latin-1"))
    write([{"query-id": 1, "score": 2}], "scores.jsonl")
    findings = found(tmp_path, base)
    messages = [finding.message for finding in findings.of("error")]
    assert [finding.code for finding in findings.of("error")] == ["refused", "refused"]
    assert "latin.csv" in messages[0]
    assert "scores.jsonl" in messages[1]
    material = survey(make_recipe({"data": str(tmp_path), "model": str(base)}))
    assert (len(material.records), material.ledger.read, material.objective) == (24, 24, "pretrain")


def test_files_that_are_all_unreadable_leave_no_rows(write: Write, base: Path, tmp_path: Path) -> None:
    write([{"query-id": 1, "score": 2}], "scores.jsonl")
    findings = found(tmp_path, base)
    assert [finding.code for finding in findings] == ["refused"]


def test_rows_that_the_template_refuses_are_named(write: Write, base: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    picky = tmp_path / "picky"
    picky.mkdir()
    for file in base.iterdir():
        (picky / file.name).write_bytes(file.read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
        "[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
    )
    tokenizer.save_pretrained(picky)
    turns = [{"role": "user", "content": "And now?"}, {"role": "assistant", "content": "Now we wait."}]
    rows = [
        {"messages": [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["response"]}]}
        for row in chats()
    ]
    path = write([*rows, {"messages": [{"role": "system", "content": "Be kind."}, *turns]}])
    finding = one(found(path, picky), "not-rendered")
    assert (finding.severity, finding.count, finding.examples[0]["line"]) == ("error", 1, 13)


@pytest.mark.parametrize("name", ["instructions.jsonl", "tickets.jsonl", "documents"])
def test_clean_data_give_no_warning(name: str, examples: Path, base: Path) -> None:
    findings = found(examples / name, base)
    assert [finding.to_json() for finding in findings if finding.severity != "note"] == []


@pytest.mark.parametrize(
    "text",
    [
        "â€œHiâ€",
        "SÃƒO PAULO",
        "DÃ‰JÃ€",
        "donâ€™t",
        "cafÃ©",
        "dÃ©jÃ  vu",
        "Â£5",
        "5 â‚¬",
        "ðŸ˜€",
        "ÐŸÑ€Ð¸Ð²ÐµÑ‚",
        "ï»¿id",
    ],
)
def test_broken_characters_are_recognised(text: str) -> None:
    assert MOJIBAKE.search(text)


@pytest.mark.parametrize(
    "text",
    [
        "« Café »",
        "été\u00a0», dit-il",
        "voilà\u00a0«\u00a0là",
        "IRMÃ»",
        "SÃO PAULO",
        "“quoted”",
        "5 €",
        "Привет",
        "ÂNGELA",
        "pâte",
        "ÇA VA",
    ],
)
def test_right_characters_are_left_alone(text: str) -> None:
    assert not MOJIBAKE.search(text)


def test_the_worst_stands_first_and_html_is_escaped() -> None:
    findings = Findings(
        [
            Finding("short-text", "note", "fine"),
            Finding("refused", "error", "<script>", 1, (example(Source("f<", "2")),)),
        ]
    )
    assert [finding.code for finding in findings] == ["refused", "short-text"]
    assert findings.summary() == "1 error, 1 note"
    assert "<script>" not in findings._repr_html_()
    assert "&lt;script&gt;" in findings._repr_html_()


def test_places_name_each_file_once() -> None:
    sources = [Source("a", "3"), Source("a", "row 4"), Source("b", "1#2"), Source("c.txt")]
    found = [example(source) for source in sources]
    assert places(found) == "a:3, row 4, b:1#2, c.txt"
    assert [where["line"] for where in found] == [3, None, 1, None]
