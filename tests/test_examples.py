"""The bundled example data keep what their README promises: honest rows, closed facts, stated licences."""

from __future__ import annotations

import itertools
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import orjson
import pytest

from affinage.data.load import load_records
from affinage.data.records import Labelled
from affinage.data.splits.split import split

EXAMPLES = Path(str(resources.files("affinage"))) / "examples"
SHINGLE = 5
ROWS = {
    "questions.jsonl": ("question", "answer"),
    "tickets.jsonl": ("text",),
    "instructions.jsonl": ("prompt", "response"),
}
INSTRUCTION = "Fill in the card for this message.\n\n"  # the task's own words, the same in each row


def rows(name: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (EXAMPLES / name).read_bytes().splitlines()]


def shingles(text: str) -> frozenset[str]:
    text = " ".join(text.casefold().split())
    return frozenset(text[start : start + SHINGLE] for start in range(max(1, len(text) - SHINGLE + 1)))


def most_alike(texts: list[str]) -> tuple[float, str, str]:
    """The two most similar texts and their exact Jaccard similarity over runs of five characters.

    Above 0.6 two sets share more than 0.6 of the larger one, so that many sizes cannot meet, and each set's rarest 0.4
    must share a member: other pairs need no counting (their similarity is then at most 0.6).
    """
    sets = [shingles(text) for text in texts]
    common = Counter(shingle for some in sets for shingle in some)
    seen: dict[str, list[int]] = {}
    best = (0.0, "", "")
    for number, some in enumerate(sets):
        rarest = sorted(some, key=lambda shingle: (common[shingle], shingle))[: int(0.4 * len(some)) + 1]
        for other in {other for shingle in rarest for other in seen.get(shingle, [])}:
            alike = len(some & sets[other]) / len(some | sets[other])
            if alike > best[0]:
                best = (alike, texts[other], texts[number])
        for shingle in rarest:
            seen.setdefault(shingle, []).append(number)
    return best


def test_the_search_for_similar_texts_finds_them() -> None:
    one = "The cheese of the North Vault is turned every second morning by hand."
    other = "The cheese of the North Vault is turned every third morning by hand."
    exact = len(shingles(one) & shingles(other)) / len(shingles(one) | shingles(other))
    assert exact > 0.6
    assert most_alike(["Quite another thing, with nothing in common.", one, "And one more.", other])[0] == exact


@pytest.mark.parametrize("name", ROWS)
def test_no_two_rows_are_near_duplicates(name: str) -> None:
    texts = [row[ROWS[name][0]].removeprefix(INSTRUCTION) for row in rows(name)]
    alike, one, other = most_alike(texts)
    assert alike <= 0.6, (one, other)


def test_no_two_documents_share_a_paragraph() -> None:
    parts = [part for path in documents() for part in path.read_text().split("\n\n") if len(part) > 80]
    assert most_alike(parts)[0] <= 0.6


def documents() -> list[Path]:
    return sorted((EXAMPLES / "documents").glob("*.md"))


def test_there_are_enough_documents_and_every_one_is_asked_about() -> None:
    names = {path.name for path in documents()}
    assert len(names) >= 24
    asked = Counter(row["document"] for row in rows("questions.jsonl"))
    assert asked.keys() == names
    assert min(asked.values()) >= 18


def test_each_answer_stands_word_for_word_in_its_document() -> None:
    texts = {path.name: path.read_text() for path in documents()}
    flat = {name: " ".join(text.split()) for name, text in texts.items()}
    lost = [row for row in rows("questions.jsonl") if row["answer"] not in flat[row["document"]]]
    assert lost == []


def test_the_forms_say_what_the_tickets_say() -> None:
    tickets = {row["text"]: row for row in rows("tickets.jsonl")}
    forms = rows("instructions.jsonl")
    assert len(forms) == len(tickets)
    for form in forms:
        row = tickets[form["prompt"].removeprefix(INSTRUCTION)]
        said = f"Topic: {row['label']}\nCheese: {row['cheese']}\nOrder: {row['order']}\nWish: {row['wish']}"
        assert form["response"] == said
        assert row["cheese"] == "none" or row["cheese"].casefold() in row["text"].casefold()
        assert row["order"] == "none" or row["order"] in row["text"]


KEYWORDS = {
    "delivery": "deliver courier driver parcel arrived van doorstep box tracking late",
    "billing": "invoice charged paid card payment statement receipt vat refund money bank",
    "quality": "mould smell taste bitter soft dry ammonia sour broken cracked leak rind",
    "subscription": "subscription subscribe monthly month pause skip folio quarto renew club",
    "trade": "restaurant wholesale chef trade account kilo order shop deli hotel menu staff",
    "advice": "how store keep serve pair wine recipe recommend suggest freeze which advice",
}


def test_keywords_do_not_solve_the_tickets() -> None:
    """Neither words a person would list nor the one most telling word of each row settle the label."""
    tickets = rows("tickets.jsonl")
    listed = {label: words.split() for label, words in KEYWORDS.items()}
    assert {row["label"] for row in tickets} == listed.keys()
    right = 0
    for row in tickets:
        text = row["text"].casefold()
        right += row["label"] == max(listed, key=lambda label: sum(word in text for word in listed[label]))
    assert right / len(tickets) < 0.85
    assert _telling_words(tickets) < 0.85


def _telling_words(tickets: list[dict[str, Any]]) -> float:
    """Accuracy of a rule learned on half of the rows: the label of the word that points to one label most clearly."""
    learn, check = tickets[::2], tickets[1::2]
    counts: dict[str, Counter[str]] = {}
    for row in learn:
        for word in set(row["text"].casefold().split()):
            counts.setdefault(word, Counter())[row["label"]] += 1
    points = {
        word: (some.most_common(1)[0][1] + 1) / (some.total() + 6) for word, some in counts.items() if some.total() > 2
    }
    most = Counter(row["label"] for row in learn).most_common(1)[0][0]
    right = 0
    for row in check:
        known = [word for word in row["text"].casefold().split() if word in points]
        best = max(known, key=lambda word: points[word], default="")
        right += row["label"] == (counts[best].most_common(1)[0][0] if best else most)
    return right / len(check)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("questions.jsonl", {"prompt": "question", "response": "answer"}),
        ("tickets.jsonl", {"text": "text", "label": "label"}),
        ("instructions.jsonl", {"prompt": "prompt", "response": "response"}),
    ],
)
def test_a_hundred_rows_of_each_kind_can_be_held_out(name: str, columns: dict[str, str]) -> None:
    loaded = load_records([EXAMPLES / name], columns=columns)
    assert len(loaded.records) >= 500
    assert loaded.drops == []
    found = split(loaded.records, held_out=100, validation=50, seed=0)
    assert len(found.held_out) >= 100
    assert len(found.train) >= 300
    sides = [{loaded.records[n].split_key for n in side} for side in (found.train, found.validation, found.held_out)]
    assert all(not one & other for one, other in itertools.combinations(sides, 2))
    if isinstance(loaded.records[0], Labelled):
        assert not found.rare_labels


def test_sources_and_licences_are_stated() -> None:
    text = (EXAMPLES / "README.md").read_text()
    assert "invented" in text
    assert "Apache-2.0" in text
    licence = (EXAMPLES / "general.LICENSE.md").read_text()
    general = rows("general.jsonl")
    assert {row["licence"] for row in general} <= {"public domain", "CC BY 4.0"}
    for row in general:
        assert row["text"].strip()
        assert row["source"].split(", ")[0] in licence, row["source"]


def test_the_readme_counts_what_there_is() -> None:
    text = (EXAMPLES / "README.md").read_text()
    for name in ROWS:
        assert f"| `{name}` | {len(rows(name))} |" in text
    assert f"| {len(documents())} documents" in text
