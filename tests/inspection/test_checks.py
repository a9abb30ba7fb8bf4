"""Checks on material made by hand: comparisons, ratings, pairs, labels of every kind, endings, sides of the split."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from affinage.data.ledger import Drop, Ledger
from affinage.data.records import (
    Chat,
    Label,
    Labelled,
    Message,
    Pair,
    Preference,
    Prompt,
    Rated,
    Record,
    Source,
    Text,
    ToolCall,
)
from affinage.inspection import (
    answers,
    characters,
    comparing,
    contents,
    dropped,
    endings,
    labelling,
    overlapping,
    rendering,
)
from affinage.inspection import material as made
from affinage.inspection.checks import find
from affinage.inspection.endings import REFUSAL, is_cut
from affinage.inspection.findings import Finding
from affinage.inspection.material import Material
from affinage.inspection.overview import histogram, label_count, label_table
from affinage.recipe import make_recipe

LONG = "The cheese is turned and washed every week, which keeps the rind clean. It is then sold at the market. "


def material(records: Sequence[Record], sides: dict[str, list[int]] | None = None, **settings: Any) -> Material:
    placed: list[Any] = list(records)
    return Material(make_recipe(settings), Ledger(), records=placed, sides=sides or {}, objective="classify")


def chat(answer: str, prompt: str = "Tell me about cheese.", **turn: Any) -> Chat:
    return Chat(messages=(Message("user", prompt), Message("assistant", answer, **turn)))


def preference(chosen: str, rejected: str, ranks: tuple[int, int] = (1, 2)) -> Preference:
    completions = (Message("assistant", chosen), Message("assistant", rejected))
    return Preference(messages=(Message("user", "Which?"),), completions=completions, ranks=ranks)


def labelled(label: Label, text: str = "x") -> Labelled:
    return Labelled(text=text, label=label)


def told(check: Any, records: Sequence[Record], **settings: Any) -> dict[str, Finding]:
    return {finding.code: finding for finding in check(material(records, **settings))}


def test_equal_completions_are_an_error_where_all_are() -> None:
    same, other = preference("It is  Ripe.", "it is ripe."), preference("Ripe", "Raw")
    assert told(comparing.equal_completions, [same, other])["chosen-equals-rejected"].severity == "warning"
    assert told(comparing.equal_completions, [same])["chosen-equals-rejected"].severity == "error"
    assert told(comparing.equal_completions, [other]) == {}
    assert told(comparing.equal_completions, [preference("Ripe", "Ripe", (1, 1))]) == {}, "a tie is no mistake"
    assert "tied-completions" in told(comparing.tied_completions, [preference("Ripe", "Raw", (1, 1))])


@pytest.mark.parametrize(("longer", "found"), [(40, "longer"), (0, "shorter"), (20, None), (23, None)])
def test_length_bias_is_told_with_its_interval(longer: int, found: str | None) -> None:
    pairs = [preference("aa", "a") if n < longer else preference("a", "aa") for n in range(40)]
    codes = told(comparing.length_bias, pairs)
    assert ("length-bias" in codes) == (found is not None)
    if found:
        assert (
            f"the {found} one in 100.0 % of 40 comparisons (95 % interval 91.2 to 100.0)"
            in codes["length-bias"].message
        )


def test_few_comparisons_prove_no_bias() -> None:
    assert told(comparing.length_bias, [preference("aa", "a")] * 19) == {}


def test_wilson_is_the_known_interval() -> None:
    low, high = comparing.wilson(8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)


def test_ratings_and_pairs_with_nothing_to_tell_apart() -> None:
    turns = (Message("user", "Which?"),)
    rated = [Rated(messages=turns, completion=Message("assistant", f"{n}"), score=True) for n in range(3)]
    assert told(comparing.one_rating, rated)["one-rating"].count == 3
    assert told(comparing.one_rating, [*rated, Rated(messages=turns, completion=turns[0], score=False)]) == {}
    pairs = [
        Pair(query="a", passage="A "),
        Pair(query="a", passage="b", negatives=("c", "B")),
        Pair(query="a", passage="b"),
    ]
    assert told(comparing.equal_passages, pairs)["equal-passages"].count == 2


def test_labels_of_every_kind_are_counted_by_name() -> None:
    several = [labelled(("a", "b"), f"{n}") for n in range(12)] + [labelled(("b", "once"), "y"), labelled((), "z")]
    codes = told(labelling.few_labels, several)
    assert "'once'" in codes["label-once"].message
    assert codes["label-once"].severity == "warning", "refused or not is for the recipe to say"
    assert told(labelling.uneven_labels, several) == {}
    assert told(labelling.few_labels, [labelled(1.5, f"{n}") for n in range(3)])["one-label"].count == 1
    assert told(labelling.few_labels, [labelled(float(n), f"{n}") for n in range(30)]) == {}
    assert told(labelling.label_variants, [labelled(("Late", "late"))])["label-variants"].count == 2
    assert [entry["label"] for entry in label_table(material([labelled(float(n)) for n in (3, 1, 2)]))] == [
        "least 1", "median 2", "largest 3",
    ]  # fmt: skip
    assert label_table(material(several))[0] == {"label": "b", "rows": 13, "share": 13 / 14}


def test_a_label_that_the_text_names_is_told() -> None:
    leaking = [
        labelled(("late", "lost")[n % 2], f"Case {n}: status {('LATE', 'Lost')[n % 2]}, parcel") for n in range(40)
    ]
    assert told(labelling.labels_in_texts, leaking)["label-in-text"].count == 40
    mixed = [labelled(("late", "lost")[n % 2], f"Case {n}: was it late?") for n in range(40)]
    assert told(labelling.labels_in_texts, mixed) == {}, "a word that stands under both labels gives nothing away"
    apart = [labelled(("late", "lost")[n % 2], f"Case {n}: the latest loss") for n in range(40)]
    assert told(labelling.labels_in_texts, apart) == {}, "parts of words are no names"


def test_labels_that_training_never_sees() -> None:
    records = [labelled("a", "1"), labelled("a", "2"), labelled("b", "3"), labelled(("a", "c"), "4")]
    sides = {"train": [0], "validation": [1], "held_out": [2, 3]}
    (finding,) = labelling.unseen_labels(material(records, sides))
    assert (finding.code, finding.count) == ("unseen-label", 2)
    assert list(labelling.unseen_labels(material(records))) == [], "nothing is split yet"


@pytest.mark.parametrize(
    "text",
    [LONG + "After that it goes to the", LONG + "There are many kinds, among them goat,", LONG + "x\n```python\nprint(1)",

     LONG + "Il est ensuite porté au marché par les marchands de la ville et de la",
     LONG + "Then the maker carries all wheels to a new"],
)  # fmt: skip
def test_a_text_that_stops_in_the_middle(text: str) -> None:
    assert is_cut(text)


@pytest.mark.parametrize(
    "text",
    ["", "Yes", "the", LONG, LONG + "Is it ripe?", LONG + "“Yes.”", LONG + "It costs 5 €", LONG + "```\nx\n```",
     LONG + "\n- goat\n- sheep",
     LONG + "\nBest regards,\nAnn", "word " * 100,
     LONG + "\n1. Take the cheese out of the cellar and wash it", LONG + ":)",
     LONG + "\nA. The washing of the rind in the cellar\nB. The selling of whole wheels at the market",
     LONG + "More of it stands in the guide https://cheese.org/guides/practical-guidance/naming-conventions"],
)  # fmt: skip
def test_a_text_that_ends_as_it_should(text: str) -> None:
    assert not is_cut(text)


def test_cut_answers_are_counted_and_a_few_are_a_note() -> None:
    cut, whole = LONG + "After that it goes to the", LONG + "It is good."
    assert told(endings.cut_answers, [chat(cut), chat(whole)])["cut-answer"].severity == "warning"
    many = [chat(f"{n} {whole}") for n in range(99)]
    finding = told(endings.cut_answers, [chat(cut), *many])["cut-answer"]
    assert (finding.severity, finding.count) == ("note", 1)
    assert finding.examples[0]["found"].endswith("goes to the")


def test_texts_cut_at_one_length() -> None:
    texts: list[Record] = [Text(text=(f"{n} " + LONG * 3)[:200]) for n in range(8)]
    texts += [Text(text=LONG[: 50 + n]) for n in range(8)]
    assert told(endings.cut_lengths, texts)["cut-at-length"].count == 8
    assert told(endings.cut_lengths, texts[8:]) == {}
    assert told(endings.cut_lengths, [chat((f"{n} " + LONG * 3)[:180]) for n in range(6)])["cut-at-length"].count == 6


@pytest.mark.parametrize(
    "text",
    ["As an AI language model, I have no taste.", "I'm sorry, but I can't help with that.", "I cannot assist with this.",
     "I am unable to provide that.", "En tant qu'IA, je n'ai pas de goût.", "En tant que modèle de langage, je",
     "Je ne peux pas vous aider.", "Je suis désolée, mais je ne peux pas."],
)  # fmt: skip
def test_a_refusal_is_recognised(text: str) -> None:
    assert REFUSAL.search(text)


@pytest.mark.parametrize(
    "text",
    ["I cannot wait to see you.", "As an air hostess, I fly.", "I'm sorry to hear that.", "Je ne peux pas attendre.",
     "She said she could not help laughing.", "En tant que médecin, je soigne.", "The AI model learns."],
)  # fmt: skip
def test_an_answer_is_no_refusal(text: str) -> None:
    assert not REFUSAL.search(text)


@pytest.mark.parametrize("word", ["NaN", "None", "null", " N/A ", "undefined"])
def test_missing_values_as_text(word: str) -> None:
    assert told(contents.nulls, [Text(text=word)])["null-as-text"].examples[0]["found"] == word
    assert "null-as-text" in told(contents.nulls, [chat(word)])
    assert told(contents.nulls, [Text(text=f"{word} of them came")]) == {}


def test_one_missing_value_among_many_rows_may_be_meant() -> None:
    assert told(contents.nulls, [chat("ripe", prompt="none")]) == {}, "people write none, programs None"
    rows = [chat("None"), *(chat(f"{n} of them") for n in range(150))]
    assert told(contents.nulls, rows)["null-as-text"].severity == "note"


def test_a_choice_among_those_offered_gives_nothing_away() -> None:
    asked = "Which are soft?\n\nA. Brie from the Marne\nB. Comté from the Jura\nC. Munster from the Vosges"
    chosen = chat("A. Brie from the Marne\nC. Munster from the Vosges", prompt=asked)
    assert told(answers.echoed_answers, [chosen]) == {}
    assert "answer-in-prompt" in told(answers.echoed_answers, [chat("Brie from the Marne", prompt=asked)])


def test_files_of_a_split_are_told() -> None:
    def of(name: str, count: int) -> list[Record]:
        return [Text(text=f"{name} {n}", source=Source(f"data/{name}", str(n))) for n in range(count)]

    both = of("train.jsonl.gz", 40) + of("test_part.jsonl", 2)
    finding = told(overlapping.split_files, both)["split-files"]
    assert (finding.count, finding.severity) == (2, "warning")
    assert [place["file"] for place in finding.examples] == ["data/test_part.jsonl"]
    assert told(answers.dominant_source, both) == {}, "what a split is, is no finding of its own"
    assert told(overlapping.split_files, of("test.jsonl", 2)) == {}, "a test file alone may be meant"
    others = of("attested.jsonl", 40) + of("training.jsonl", 2)
    assert told(overlapping.split_files, others) == {}, "parts of words are no names"
    assert "dominant-source" in told(answers.dominant_source, others)


def test_a_few_broken_rows_are_a_note() -> None:
    broken: list[Record] = [Text(text="lost \ufffd here"), Text(text="dÃ©jÃ  vu")]
    many = [Text(text=f"row {n}") for n in range(300)]
    assert told(characters.replaced, broken)["replacement-character"].severity == "warning"
    assert told(characters.replaced, [*broken, *many])["replacement-character"].severity == "note"
    assert told(characters.mojibake, [*broken, *many])["mojibake"].severity == "note"


def test_labels_are_counted_beyond_the_table() -> None:
    many = [labelled(f"label {n}", f"{n}") for n in range(33)]
    assert (len(label_table(material(many))), label_count(material(many))) == (20, 33)
    assert label_count(material([labelled(("a", "b")), labelled(("b", "c"))])) == 3
    assert label_count(material([labelled(0.5)])) == 0


def test_a_label_may_be_none_but_not_nan() -> None:
    assert told(contents.nulls, [labelled("none")]) == {}
    assert "null-as-text" in told(contents.nulls, [labelled("nan")])


def test_examples_of_personal_data_are_redacted() -> None:
    texts = [Text(text=f"mail ann{n}@cheese.org, card 4111 1111 1111 1111") for n in range(3)]
    finding = told(contents.sensitive, texts)["personal-data"]
    assert finding.message == "rows with personal data by their shape: 3 (EMAIL 3, CARD 3)"
    assert finding.severity == "warning"
    assert [place["found"] for place in finding.examples] == ["mail [EMAIL]"] * 3
    few = [Text(text="mail ann@cheese.org"), *(Text(text=f"number {n}") for n in range(9))]
    assert told(contents.sensitive, few)["personal-data"].severity == "note"
    assert told(contents.sensitive, [Text(text="password=hunter22")])["secret"].severity == "warning"


def test_several_languages_are_told_with_their_shares() -> None:
    english = [Text(text=f"{n}: the cheese is turned every week and sold at the market in the town") for n in range(6)]
    french = [
        Text(text=f"{n} : le fromage est retourné chaque semaine et vendu au marché de la ville") for n in range(4)
    ]
    finding = told(contents.mixed_languages, [*english, *french])["mixed-languages"]
    assert "en 60 %, fr 40 % (of 10 rows looked at)" in finding.message
    assert told(contents.mixed_languages, english) == {}


def test_prompts_that_are_learned_from() -> None:
    weighed = Chat(messages=(Message("user", "Which?", learn=True), Message("assistant", "This.")))
    finding = told(rendering.learned_prompts, [weighed, chat("Yes")])["prompt-learned"]
    assert (finding.severity, finding.count) == ("warning", 1)
    assert told(rendering.learned_prompts, [chat("Yes")]) == {}
    assert told(rendering.learned_prompts, [chat("Yes")], learn_from="all")["prompt-learned"].severity == "note"
    assert told(rendering.learned_prompts, [chat("Yes")], learn_from="assistant") == {}


def test_held_out_rows_that_training_holds_too() -> None:
    text = "The parcel with the washed cheese left the cellar on Monday and came to the market on Tuesday at noon"
    records = [Text(text=text), Text(text=text + " or so"), Text(text="Something else stands here, of other things.")]
    apart = material(records, {"train": [0], "held_out": [1, 2], "validation": []})
    (finding,) = overlapping.split_overlap(apart)
    assert (finding.code, finding.count) == ("split-overlap", 1)
    together = material(records, {"train": [0, 1], "held_out": [2], "validation": []})
    assert list(overlapping.split_overlap(together)) == []


def test_rows_that_say_nearly_the_same() -> None:
    text = "The parcel with the washed cheese left the cellar on Monday and came to the market on Tuesday at noon"
    records = [Text(text=text), Text(text=text + " or so"), Text(text="Something else stands here, of other things.")]
    finding = told(overlapping.near_duplicates, records)["near-duplicate"]
    assert (finding.severity, finding.count) == ("note", 2)
    known = material([chat("Yes", prompt=f"Is it {n}?") for n in range(4)])
    known.near_known = [[1, 3]]
    (finding,) = overlapping.near_duplicates(known)
    assert finding.message == "rows that say nearly the same as another: 2 in 1 group"
    known.near_known = []
    del known.near
    assert list(overlapping.near_duplicates(known)) == []


def test_a_system_prompt_that_all_rows_share_makes_them_no_copies() -> None:
    system = Message("system", " ".join(["You are a kind seller of cheese who knows the ripening of every one."] * 20))
    asked = ["How old is a young tomme?", "Where does the market stand?", "Who washes the rinds on Monday?"]
    records = [Chat(messages=(system, Message("user", text), Message("assistant", "I do not know."))) for text in asked]
    assert told(overlapping.near_duplicates, records) == {}


def test_what_was_changed_and_taken_out_is_told() -> None:
    changed = material([Text(text="x")])
    changed.redactions = {"EMAIL": 3, "CARD": 1}
    changed.removed = {"page numbers": 4, "pages without text": 2}
    codes = {finding.code: finding for finding in dropped.changed(changed)}
    assert codes["redacted"].message.endswith("CARD 1, EMAIL 3")
    assert (codes["removed-text"].count, codes["scanned-page"].count) == (4, 2)


def test_a_reason_without_an_entry_is_told_by_its_name() -> None:
    gone = material([])
    gone.drops = [Drop("moon-phase", Source("a", "1")), Drop("no-text", Source("b.pdf"))]
    codes = {finding.code: finding.message for finding in dropped.left_out(gone)}
    assert "moon-phase" in codes["left-out"]
    assert "scanned" in codes["scanned-page"]


def test_every_kind_goes_through_every_check() -> None:
    turns = (Message("user", "Which cheese?"),)
    call = Message("assistant", "", reasoning="hm", calls=(ToolCall("look", '{"a": 1}'),))
    kinds: list[Record] = [
        Text(text="Some text"), labelled(("a", "b")), labelled(2.5), preference("a", "b"), Prompt(messages=turns, reference="x"),
        Rated(messages=turns, completion=turns[0], score=0.5), Pair(query="q", passage="p", negatives=("n",)),
        Chat(messages=(*turns, call, Message("tool", "7", name="look"), Message("assistant", "Seven."))),
    ]  # fmt: skip
    for record in kinds:
        find(material([record]))


def test_large_data_are_looked_at_by_a_seeded_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "SAMPLED_CHARACTERS", 200)
    texts = [Text(text=f"number {n:04d}") for n in range(1000)]
    one, two = material(texts), material(texts)
    assert one.sample == two.sample
    assert 10 < len(one.sample) < 30
    assert one.sampled == f" (in a sample of {len(one.sample)} of 1,000 rows)"
    assert len(one.texts) == len(one.sample)


def test_a_histogram_counts_every_row_once() -> None:
    lengths = [3, 4, 5, 17, 18, 250]
    parts = histogram(lengths)
    assert sum(part["rows"] for part in parts) == 6
    assert len(parts) <= 13
    assert parts[0] == {"from": 0, "to": 49, "rows": 5}
    assert all(two["from"] == one["to"] + 1 for one, two in itertools.pairwise(parts))
    assert histogram([]) == []
    assert histogram([7, 7]) == [{"from": 7, "to": 7, "rows": 2}]
