"""`affinage synthesize` as a person meets it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from affinage.data.load import load_records
from affinage.generation import pauses
from tests.cli.calling import Call, write_lines
from tests.synthesis.server import ChatServer, Said, good_teacher, prompt_of

AFAR = "https://api.example.com/v1"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with ChatServer(good_teacher) as running:
        yield running


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    rows = [
        {"instruction": f"Tell about the old river number {n} in short words", "output": "It is."} for n in range(9)
    ]
    return write_lines(tmp_path / "seeds.jsonl", rows)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "house.md"
    paragraphs = [f"# Part {n}\n\n" + " ".join(f"word{n}x{place}" for place in range(60)) for n in range(4)]
    path.write_text("\n\n".join(paragraphs) + "\n\nWrite to jeanne.martin@example.org.\n")
    return path


@pytest.mark.parametrize(
    ("method", "kind"),
    [("self-instruct", "chat"), ("evolve", "chat"), ("preferences", "preference"), ("critique", "chat")],
)
def test_rows_are_of_layouts_that_tune_knows(
    call: Call, server: ChatServer, seeds: Path, tmp_path: Path, method: str, kind: str
) -> None:
    result = call(
        "synthesize", seeds, "--teacher", server.url, "--out", "rows.jsonl", "--method", method, "--count", 3, "--json"
    )
    assert result.code == 0, result.err
    assert (result.json["kept"], result.json["ended"]) == (3, "wanted")
    loaded = load_records([tmp_path / "rows.jsonl"])
    assert (loaded.kind, len(loaded.records)) == (kind, 3)
    ledger = json.loads((tmp_path / "rows.ledger.json").read_text())
    assert {name: ledger[name] for name in ("kept", "dropped")} == {
        name: result.json[name] for name in ("kept", "dropped")
    }
    assert ledger["generated"] == ledger["kept"] + sum(ledger["dropped"].values())


def test_documents_give_questions(call: Call, server: ChatServer, document: Path, tmp_path: Path) -> None:
    result = call(
        "synthesize", document, "--teacher", server.url, "--out", "rows.jsonl", "--redact", "--passage-size", 400
    )
    assert result.code == 0, result.err
    assert "redacted  EMAIL 1" in result.out
    assert result.out.splitlines()[-1].startswith("kept ")
    assert all("jeanne" not in prompt_of(body) for body in server.requests)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert rows[0]["lineage"]["sources"][0]["uri"].endswith("house.md")
    assert load_records([tmp_path / "rows.jsonl"]).kind == "chat"


def test_a_dry_run_sends_and_writes_nothing(call: Call, server: ChatServer, seeds: Path, tmp_path: Path) -> None:
    words = ("--count", 16, "--price-in", 1, "--price-out", 2, "--judge-threshold", 5)
    result = call("synthesize", seeds, "--teacher", server.url, "--out", "rows.jsonl", "--dry-run", "--json", *words)
    assert result.code == 0, result.err
    plan = result.json["estimate"]
    assert plan["calls"] == {
        "self-instruct/instructions/1": 2, "self-instruct/kind/1": 16, "self-instruct/instance/1": 16,
        "judge/score/1 (filter)": 16,
    }  # fmt: skip
    assert plan["completion_tokens_at_most"] == 50 * 1024
    assert "Nothing was sent." in result.err
    assert "Write 8 new ones." in result.err
    assert (server.requests, list(tmp_path.iterdir())) == ([], [seeds])


def test_nothing_leaves_unasked(call: Call, seeds: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    result = call("synthesize", seeds, "--teacher", AFAR, "--teacher-model", "m", "--out", "rows.jsonl")
    assert result.code == 2
    assert "this would send up to 9 rows (486 characters) to api.example.com, and there is no terminal" in result.err
    assert "sk-secret" not in result.out + result.err
    assert list(tmp_path.iterdir()) == [seeds]


@pytest.mark.parametrize(("said", "code", "words"), [("n", 1, "nothing was done"), ("y", 1, "no connection")])
def test_on_a_terminal_it_asks(
    call: Call, seeds: Path, monkeypatch: pytest.MonkeyPatch, said: str, code: int, words: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setattr("affinage.cli.synthesis_preview.on_terminal", lambda: True)
    monkeypatch.setattr("typer.confirm", _confirm(said))
    teacher = "https://affinage.invalid/v1"
    result = call("synthesize", seeds, "--teacher", teacher, "--teacher-model", "m", "--out", "r.jsonl", "--retries", 0)
    assert result.code == code
    assert words in result.err


def _confirm(said: str) -> object:
    import typer

    def confirm(question: str, *, abort: bool, err: bool) -> bool:
        assert "up to 9 rows" in question
        if said == "n":
            raise typer.Abort
        return True

    return confirm


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--teacher", AFAR), "the environment variable OPENAI_API_KEY is not set"),
        (("--teacher", "http://127.0.0.1:9/v1", "--key-env", "NO_SUCH"), "the environment variable NO_SUCH is not set"),
        (("--teacher", "localhost:8000/v1"), "a URL begins with http://"),
        (("--teacher", "https://me:word@host/v1"), "holds a password"),
        (("--teacher", "tiny", "--teacher-model", "m"), "--teacher-model is for endpoints"),
        (("--teacher", "URL", "--method", "evolv"), "no method 'evolv'. Did you mean 'evolve'?"),
        (("--teacher", "URL", "--method", "qa"), "qa takes documents; the data hold instructions"),
        (("--teacher", "URL", "--budget", "1"), "--budget needs prices"),
        (("--teacher", "URL", "--price-in", "1"), "a price needs both"),
        (("--teacher", "URL", "--near-duplicates", "no"), "--near-duplicates no"),
        (("--teacher", "URL", "--principles", "none.txt", "--method", "critique"), "none.txt: cannot read"),
        (("--teacher", "URL", "--out", "rows.csv"), "rows are written as JSON lines"),
        (("--teacher", "URL", "--out", "no/rows.jsonl"), "no: no such folder"),
        (("--teacher", "URL", "--count", "0"), "Invalid value for '--count'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_before_anything_is_sent(
    call: Call, server: ChatServer, seeds: Path, words: tuple[str, ...], message: str
) -> None:
    words = tuple(server.url if word == "URL" else word for word in words)
    out = () if "--out" in words else ("--out", "rows.jsonl")
    result = call("synthesize", seeds, *out, *words)
    assert result.code == 2, result.err
    assert message in result.err
    assert server.requests == []


def test_a_choice_of_models_is_not_made_for_you(call: Call, server: ChatServer, seeds: Path) -> None:
    server.models = ("one", "two")
    result = call("synthesize", seeds, "--teacher", server.url, "--out", "rows.jsonl")
    assert result.code == 2
    assert "serves one, two" in result.err
    result = call(
        "synthesize", seeds, "--teacher", server.url, "--teacher-model", "two", "--out", "rows.jsonl", "--count", 1
    )
    assert result.code == 0
    assert {body["model"] for body in server.requests} == {"two"}


def test_rows_are_not_overwritten_unasked_and_then_cost_nothing_again(
    call: Call, server: ChatServer, seeds: Path, tmp_path: Path
) -> None:
    words = ("synthesize", seeds, "--teacher", server.url, "--out", "rows.jsonl", "--method", "evolve", "--count", 4)
    assert call(*words).code == 0
    asked, rows = len(server.requests), (tmp_path / "rows.jsonl").read_bytes()
    result = call(*words)
    assert (result.code, "rows.jsonl exists" in result.err) == (2, True)
    result = call(*words, "--overwrite", "--json")
    assert result.code == 0
    assert (result.json["calls"]["made"], result.json["calls"]["replayed"]) == (0, asked)
    assert (tmp_path / "rows.jsonl").read_bytes() == rows


def test_the_budget_stops_it_and_more_of_it_goes_on(call: Call, server: ChatServer, seeds: Path) -> None:
    words = (
        "synthesize", seeds, "--teacher", server.url, "--out", "rows.jsonl", "--method", "evolve", "--max-tokens", 100,
        "--price-in", 1, "--price-out", 100, "--json",
    )  # fmt: skip
    result = call(*words, "--budget", 0.04)
    assert result.code == 0, result.err
    assert (result.json["ended"], result.json["calls"]["budget_reached"]) == ("budget", True)
    assert 0 < result.json["calls"]["cost"] <= 0.04
    assert 0 < result.json["kept"] < 27
    assert "the budget is reached" in result.err
    more = call(*words, "--budget", 4, "--overwrite")
    assert more.json["calls"]["replayed"] == result.json["calls"]["made"]
    assert more.json["kept"] > result.json["kept"]


def test_a_budget_without_room_for_one_row(call: Call, server: ChatServer, seeds: Path, tmp_path: Path) -> None:
    words = ("--price-in", 1, "--price-out", 1, "--budget", 0.0001)
    result = call("synthesize", seeds, "--teacher", server.url, "--out", "rows.jsonl", *words)
    assert result.code == 1
    assert "the budget is too small for one row" in result.err
    assert (server.requests, (tmp_path / "rows.jsonl").exists()) == ([], False)


def test_a_run_on_this_machine_can_be_the_teacher(call: Call, document: Path, tmp_path: Path) -> None:
    """A very small model keeps to no form, and the counts say so."""
    result = call(
        "synthesize", document, "--teacher", "tiny", "--out", "rows.jsonl", "--max-tokens", 8, "--passage-size", 400
    )
    assert result.code == 1
    ledger = json.loads((tmp_path / "rows.ledger.json").read_text())
    assert ledger["generated"] > 0
    assert ledger["kept"] == 0
    assert ledger["dropped"]["format"] + ledger["dropped"]["answer"] == ledger["generated"]
    assert "no row was kept" in result.err
    assert "nothing: the teacher is on this machine" in result.out
    assert not (tmp_path / "rows.jsonl").exists()


def test_rows_that_hold_a_benchmark_are_dropped(call: Call, server: ChatServer, seeds: Path, tmp_path: Path) -> None:
    leaked = json.loads(seeds.read_text().splitlines()[4])["instruction"]
    exam = write_lines(tmp_path / "exam.jsonl", [{"question": leaked, "answer": "A secret."}])
    words = ("--method", "critique", "--decontaminate", exam, "--json")
    result = call("synthesize", seeds, "--teacher", server.url, "--out", "rows.jsonl", *words)
    assert result.code == 0, result.err
    assert (result.json["kept"], result.json["dropped"]["decontamination"]) == (8, 1)
    assert str(exam) in result.json["examples"]["decontamination"][0]["detail"]
    assert leaked not in (tmp_path / "rows.jsonl").read_text()


def test_a_key_goes_where_it_was_named_for_and_nowhere_else(
    call: Call, server: ChatServer, seeds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-usual")
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    words = ("synthesize", seeds, "--teacher", server.url, "--count", 1)
    assert call(*words, "--out", "a.jsonl").code == 0
    assert all("sk-" not in str(headers) for headers in server.headers)
    result = call(*words, "--out", "b.jsonl", "--key-env", "OTHER_KEY", "--debug")
    assert result.code == 0
    assert server.headers[-1]["authorization"] == "Bearer sk-other"
    said = result.out + result.err + Path("b.ledger.json").read_text() + Path("b.journal").read_text()
    assert "sk-other" not in said


def test_the_lines_at_the_end_say_what_became_of_all(call: Call, server: ChatServer, seeds: Path) -> None:
    server.script = lambda body, number: Said("No.") if '{"equal"' in prompt_of(body) else good_teacher(body)
    result = call(
        "synthesize", seeds, "--teacher", server.url, "--out", "rows.jsonl", "--method", "evolve", "--count", 2
    )
    assert result.code == 1
    assert "9 generated = 0 kept + 9 dropped" in result.out
    assert "  format               9  not-json 9" in result.out
    assert result.err.startswith("error: no row was kept of 9 candidates\n  -> most were dropped at the stage 'format'")
