"""`affinage inspect`: what it prints, what it gives to programs, and that data cannot steer the screen."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from affinage.cli.inspecting import bar, bracketed, coloured
from affinage.cli.main import main
from affinage.inspection.checks import find
from affinage.inspection.tokens import safe, shown_rows, statistics
from affinage.recipe import make_recipe
from affinage.tuning.survey import survey

Write = Callable[..., Path]


def chats(count: int = 12) -> list[Any]:
    return [
        {"prompt": f"What is the age of cheese number {n}?", "response": f"It is {n} weeks old."} for n in range(count)
    ]


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["inspect", *map(str, words)])
    return code, *capsys.readouterr()


def said(value: dict[str, Any]) -> str:
    """All shown rows, their tokens put together."""
    return "\n".join("".join(token["text"] for token in row["tokens"]) for row in value["rows"])


def test_json_has_the_shape_that_programs_read(write: Write, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, write(chats()), "--model", base, "--rows", 2, "--json")
    assert code == 0
    assert len(out.splitlines()) == 1
    assert "findings" in err
    value = json.loads(out)
    assert {"schema", "ledger", "findings", "tokens", "rows", "layouts"} <= set(value)
    ledger = value["ledger"]
    sides = sum(ledger[side] for side in ("trained", "not_reached", "validation", "held_out"))
    assert ledger["read"] == 12 == sides + sum(ledger["dropped"].values())
    assert {"min", "median", "p95", "max", "total", "learned", "above_context_share"} <= set(value["tokens"])
    assert [row["line"] for row in value["rows"]] == [1, 12]
    row = value["rows"][0]
    said = "".join(token["text"] for token in row["tokens"] if token["learned"])
    assert said == "It is 0 weeks old.</s>"
    assert row["learned"] == sum(token["learned"] for token in row["tokens"])
    assert row["length"] == len(row["tokens"])


def test_what_takes_long_is_computed_once(
    write: Write, base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The split and the finding ask for rows that say nearly the same; the check and the overview for languages."""
    from affinage.data.duplicates import near_duplicates
    from affinage.inspection import languages, material
    from affinage.tuning import sides

    asked = []

    def clusters(texts: list[str]) -> list[list[int]]:
        asked.append("near")
        return found_near(texts)

    def languages_of(records: list[Any]) -> languages.Languages | None:
        asked.append("languages")
        return found_languages(records)

    found_near, found_languages = near_duplicates.clusters, languages.languages_of
    for place in (near_duplicates, sides):
        monkeypatch.setattr(place, "clusters", clusters)
    monkeypatch.setattr(material, "languages_of", languages_of)
    rows = chats(30)
    rows[7] = {**rows[6], "prompt": rows[6]["prompt"].upper()}
    path = write(rows)
    for how in ("join", "keep"):
        asked.clear()
        code, out, _ = run(capsys, path, "--model", base, "--set", f"near_duplicates={how}", "--json")
        (near,) = (one for one in json.loads(out)["findings"] if one["code"] == "near-duplicate")
        assert (code, near["count"], sorted(asked)) == (0, 2, ["languages", "near"])


def test_an_error_finding_leaves_with_2(write: Write, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write([*chats(), "{"])
    code, out, _ = run(capsys, path, "--model", base)
    assert code == 2
    assert f"{path}:13" in out
    assert "error rows that cannot be parsed: 1" in out
    code, out, _ = run(capsys, path, "--model", base, "--json")
    assert code == 2
    findings = json.loads(out)["findings"]
    assert set(findings[0]) == {"code", "severity", "message", "count", "examples", "fix"}
    code, _, _ = run(capsys, path, "--model", base, "--set", "bad_rows=drop")
    assert code == 0


def test_a_wrong_setting_is_refused_as_by_tune(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, write(chats()), "--set", "rnak=3")
    assert code == 2
    assert "Did you mean 'rank'?" in err


def test_markup_and_control_codes_in_data_stay_letters(
    write: Write, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "[bold]x[/bold] [link=http://a]y[/link] \x1b[31mred\x1b]0;title\x07 \u202eback :smile:"
    rows = [{"text": f"{evil} number {n}", "label": f"[red]{n % 2}"} for n in range(24)]
    path = write([*rows, {"text": "[/nothing] once", "label": "[blink]\x1b[2J"}])
    code, out, _ = run(capsys, path, "--model", base, "--rows", 3)
    assert code == 2
    assert "\x1b" not in out
    assert "\u202e" not in out
    shown = out.replace("|", "")
    assert "[bold]x[/bold] [link=http://a]y[/link]" in shown
    assert "\\x1b[31mred\\x1b]0;title\\x07 \\u202eback :smile:" in shown
    assert "[red]" in out
    assert "[blink]" in out


def test_colours_mark_learned_tokens_and_nothing_else() -> None:
    tokens = [
        {"text": "[bold]", "learned": False},
        {"text": "yes\n", "learned": True},
        {"text": "</s>", "learned": True},
    ]
    screen = io.StringIO()
    Console(file=screen, force_terminal=True, color_system="standard", markup=False).print(coloured(tokens))
    assert "[bold]" in screen.getvalue()
    green = [part for part in screen.getvalue().split("\x1b[") if part.startswith(("30;42m", "30;102m"))]
    assert [part.partition("m")[2] for part in green] == ["yes↵", "</s>"]
    assert bracketed(tokens) == "[bold]|[yes↵]\n[</s>]"


def test_safe_spells_out_what_steers_a_terminal() -> None:
    assert safe("a\x1b[0m\x9b\x00\r\t\u200b\u2066b") == "a\\x1b[0m\\x9b\\x00\\r\\t\\u200b\\u2066b"
    assert safe("é 中 😀\n") == "é 中 😀\n"


def test_long_rows_are_shown_in_part_and_given_whole(
    write: Write, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [{"text": f"Shelf {n}: " + "the cheese is turned and washed again. " * 60} for n in range(24)]
    code, out, _ = run(capsys, write(texts), "--model", base, "--rows", 1)
    assert code == 0
    assert "more tokens" in out
    material = survey(make_recipe({"data": str(write(texts)), "model": str(base)}))
    row = shown_rows(material, 1)[0]
    assert "".join(token["text"] for token in row["tokens"]).startswith("<s>Shelf 0: the cheese")
    assert len(row["tokens"]) == row["length"] <= 512
    assert row["rows"] == 2


def test_statistics_count_what_the_renderer_made(write: Write, base: Path) -> None:
    material = survey(make_recipe({"data": str(write(chats())), "model": str(base)}))
    rows = [row for some in material.rows_of.values() for row in some]
    counted = statistics(material)
    assert counted is not None
    lengths = sorted(map(len, rows))
    assert (counted.rows, counted.min, counted.max, counted.total) == (12, lengths[0], lengths[-1], sum(lengths))
    assert counted.learned == sum(row.learned for row in rows)
    assert counted.end_of_turn_learned_share == 1.0
    assert counted.above_context == 0


def test_rows_above_the_context_count_with_their_whole_length(write: Write, base: Path) -> None:
    path = write([*chats(), {"prompt": "Go on", "response": "so " * 600}])
    refused = statistics(survey(make_recipe({"data": str(path), "model": str(base)})))
    cut = statistics(survey(make_recipe({"data": str(path), "model": str(base), "too_long": "truncate"})))
    assert refused is not None
    assert cut is not None
    assert refused.max == cut.max > 600
    assert refused.above_context == cut.above_context == 1
    assert cut.truncated == cut.max - 512


REAL = {
    "alpaca_en_sample": ("chat", {"too_long": "drop"}, {"duplicate", "too-long"}),
    "sst2": ("labelled", {}, set()),
    "tinystories_sample": ("text", {}, {"mojibake"}),
    "vigogne_fr": ("chat", {"too_long": "drop"}, {"too-long", "spelt-out"}),
}


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_data(name: str, shared: Path) -> None:
    kind, settings, codes = REAL[name]
    model = str(shared / "models/stories260K")
    material = survey(make_recipe({"data": str(shared / "data" / name), "model": model, **settings}))
    findings = find(material)
    assert material.kind == kind
    assert findings.of("error") == []
    assert codes <= {finding.code for finding in findings}
    if "mojibake" in codes:
        broken = sum("â€" in text for text in material.texts)
        assert [finding.count for finding in findings if finding.code == "mojibake"] == [broken]
        assert broken > 50
    else:
        assert "mojibake" not in {finding.code for finding in findings}
    assert statistics(material) is not None


def test_a_row_is_shown_by_number_and_by_place(write: Write, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write([*chats(3), {"prompt": "And?", "response": ""}, *chats(8)[3:]])
    code, out, _ = run(capsys, path, "--model", base, "--row", 5, "--row", f"{path.name}:2", "--json")
    assert code == 0
    assert [row["line"] for row in json.loads(out)["rows"]] == [6, 2]
    code, _, err = run(capsys, path, "--model", base, "--row", f"{path}:4")
    assert code == 2
    assert "the row was left out: empty-response" in err
    for wrong in (0, 99, "elsewhere.jsonl:1"):
        code, _, err = run(capsys, path, "--model", base, "--row", wrong)
        assert (code, "Traceback" in err) == (2, False)


def test_a_row_that_is_too_long_can_be_looked_at(write: Write, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write([*chats(), {"prompt": "Go on", "response": "so " * 600}])
    code, out, _ = run(capsys, path, "--model", base, "--row", f"{path}:13")
    assert code == 2, "the error finding stays"
    assert "more tokens" not in out
    assert out.count("so") >= 600


def test_lengths_languages_and_labels_are_shown(write: Write, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {
            "text": f"The parcel number {n} with the washed cheeses came {'very ' * n}late",
            "label": ("late", "lost")[n % 3 > 1],
        }
        for n in range(30)
    ]
    code, out, _ = run(capsys, write(rows), "--model", base)
    assert code == 0
    assert "lengths in tokens" in out
    assert "█" in out
    assert "languages: en 100.0 % (of 30 rows looked at)" in out
    assert "late  20 (66.7 %)" in out
    code, out, _ = run(capsys, write(rows), "--model", base, "--json")
    value = json.loads(out)
    assert sum(part["rows"] for part in value["tokens"]["histogram"]) == 30
    assert value["languages"] == {"en": 1.0}
    assert value["labels"][0] == {"label": "late", "rows": 20, "share": 20 / 30}


def test_redacting_shows_placeholders_and_counts(write: Write, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write([*chats(), {"prompt": "Who?", "response": "Ask ann.lee@cheese.org about it."}])
    before = path.read_bytes()
    code, out, _ = run(capsys, path, "--model", base, "--json")
    assert code == 0
    assert "Ask ann.lee@cheese.org" in said(json.loads(out)), "the row as it is"
    assert not [finding for finding in json.loads(out)["findings"] if "ann.lee" in json.dumps(finding)]
    code, out, err = run(capsys, path, "--model", base, "--redact", "--json")
    assert code == 0
    assert "Ask [EMAIL] about it." in said(json.loads(out))
    assert "ann.lee" not in said(json.loads(out)) + err
    assert {"redacted"} <= {finding["code"] for finding in json.loads(out)["findings"]}
    assert path.read_bytes() == before


@pytest.mark.parametrize(("share", "eighths"), [(0, 0), (1e-9, 1), (0.5, 160), (1, 320)])
def test_bars_are_as_long_as_their_share(share: float, eighths: int) -> None:
    shown = bar(share)
    assert 8 * shown.count("█") + sum(" ▏▎▍▌▋▊▉".index(char) for char in shown if char != "█") == eighths


def test_nothing_calls_home(write: Write, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`inspect` and a whole run with every way out of the machine barred."""
    import socket

    called: list[object] = []

    def barred(*words: object, **_: object) -> None:
        called.append(words)
        raise OSError("no network here")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, barred)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, barred)
    path = write(chats())
    assert main(["inspect", str(path), "--model", str(base)]) == 0
    words = ["--set", "steps=2", "--set", "samples=1", "--set", "folds=1", "--set", "threads=1"]
    assert main(["tune", str(path), "--model", str(base), "--out", str(tmp_path / "run"), *words]) == 0
    assert (tmp_path / "run" / "evaluation.json").exists()
    assert called == []
