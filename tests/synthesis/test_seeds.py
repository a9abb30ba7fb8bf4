"""What people give: seed tasks, instructions, chats, documents, redacted where they ask for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from affinage.errors import InputError
from affinage.synthesis.passages import cut
from affinage.synthesis.seeds import cleaned, read_material


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_seed_tasks_keep_instruction_input_and_kind_apart(tmp_path: Path) -> None:
    task = {
        "instruction": " Is it good? ", "is_classification": True,
        "instances": [{"input": "A film.", "output": "yes"}, {"input": "B", "output": "no"}],
    }  # fmt: skip
    (seed,) = read_material([lines(tmp_path / "s.jsonl", task)]).seeds
    assert (seed.instruction, seed.input, seed.output, seed.classification) == ("Is it good?", "A film.", "yes", True)
    assert [turn.content for turn in seed.turns] == ["Is it good?\n\nA film."]
    assert seed.source.locator == "1"


def test_words_for_no_input_are_no_input(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"Say {n}.", "input": said, "output": "1"}
        for n, said in enumerate(("No Input", "<noinput>", "7"))
    ]
    seeds = read_material([lines(tmp_path / "s.jsonl", *rows)]).seeds
    assert [seed.input for seed in seeds] == ["", "", "7"]


def test_equal_prompts_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = [{"instruction": "Say it.", "output": str(number)} for number in range(3)]
    material = read_material([lines(tmp_path / "s.jsonl", *rows)])
    assert (len(material.seeds), material.drops) == (1, (("duplicate", 2),))


def test_chats_give_their_prompt(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    row = {"messages": [*turns, {"role": "assistant", "content": "So."}]}
    (seed,) = read_material([lines(tmp_path / "c.jsonl", row)]).seeds
    assert [turn.role for turn in seed.turns] == ["system", "user"]
    assert (seed.instruction, seed.output) == ("Why?", "So.")


def test_labelled_rows_are_refused_with_a_way_out(tmp_path: Path) -> None:
    path = lines(tmp_path / "l.jsonl", {"text": "a b", "label": "x"}, {"text": "c d", "label": "y"})
    with pytest.raises(InputError, match="holds neither an instruction nor a document") as caught:
        read_material([path])
    assert "--column" in caught.value.fix
    assert len(read_material([path], {"text": "text"}).readings) == 2


def test_documents_keep_their_place(tmp_path: Path) -> None:
    path = tmp_path / "d.md"
    path.write_text("# House\n\nIntro words.\n\n## Roof\n\n" + "Tiles of red clay. " * 20)
    (reading,) = read_material([path]).readings
    at = reading.text.index("red clay")
    place = reading.place(at, at + 8)
    assert place.uri.endswith("d.md")
    assert place.locator == f"House > Roof, characters {at}-{at + 8}"


def test_a_table_beside_a_document_is_told(tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text("Some words of a text.")
    table = lines(tmp_path / "t.jsonl", {"instruction": "Say it.", "output": "1"})
    with pytest.raises(InputError, match=r"t\.jsonl is a table, .*d\.txt a document"):
        read_material([tmp_path / "d.txt", table])
    assert read_material([tmp_path]).notes[-1] == f"tables left aside: {table}"


def test_redaction_reaches_every_text_and_counts_each_find_once(tmp_path: Path) -> None:
    row = {
        "instruction": "Write to a.b@example.org.",
        "input": "or c.d@example.org",
        "output": "Sent to e.f@example.org",
    }
    material, counts = cleaned(read_material([lines(tmp_path / "s.jsonl", row)]))
    assert "example.org" not in str(material.seeds[0])
    assert counts == {"EMAIL": 3}


@pytest.mark.real
def test_the_published_seed_tasks(shared: Path) -> None:
    seeds = read_material([shared / "data" / "self_instruct_seed"]).seeds
    assert len(seeds) == 175
    assert sum(seed.classification is True for seed in seeds) == 26  # as the file itself says
    assert all(seed.instruction and seed.output for seed in seeds)


@pytest.mark.real
def test_real_documents_give_passages_with_places(shared: Path) -> None:
    folder = shared / "data" / "documents"
    readings = read_material([folder / "movie-theater-booking-2024.pdf", folder / "test_notebook.ipynb"]).readings
    found, _ = cut(readings)
    assert found
    assert found[0].at(0, 10).locator.startswith("p. 1")
