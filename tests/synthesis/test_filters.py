"""Each filter, by literal examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affinage.data.duplicates.near_duplicates import NearIndex
from affinage.synthesis.filters import Duplicates, Heuristics, check_answer, count_words
from affinage.synthesis.rouge import RougeIndex, longest_common, rouge_l, words_of


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Name three rivers of France.", ""),
        ("Écris une phrase sur la mer.", ""),
        ("¿Cuál es la capital de Chile?", ""),
        ('"Carpe diem": explain the phrase.', ""),
        ("请写一首关于春天的短诗。", ""),
        ("12 plus 30 makes what number?", ""),
        ("Explain the photographic process.", ""),
        ("Name rivers.", "too-short"),
        ("请写。", "too-short"),
        (" ".join(["word"] * 151), "too-long"),
        ("- Name three rivers of France.", "starts-with-punctuation"),
        ("... and then what happened next?", "starts-with-punctuation"),
        ("12 + 30 = ? 4 * 7 = ? 9 / 3 = ?", "not-language"),
        ("a ==> %% ## ;; @@ || && !! ^^", "not-language"),
        ("Write a program that sorts names.", "write-a-program"),
        ("Describe the image given below here.", "unfit-word"),
        ("Draw a house with a garden.", "unfit-word"),
        ("Please GO TO this web page now.", "unfit-word"),
        ("Find the city on the map.", "unfit-word"),
        ("Sketch a flowchart of the process.", "unfit-word"),
    ],
)
def test_heuristics(text: str, reason: str) -> None:
    assert Heuristics().check(text) == reason


def test_questions_about_documents_may_name_files_and_be_short() -> None:
    rules = Heuristics(shortest=3, longest=80, unfit=False)
    assert rules.check("Where are files kept?") == rules.check("Who wrote it?") == ""
    assert rules.check("Who wrote?") == "too-short"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("It is Lyon.", ""),
        ("The band Sorry, the Hamster split in 1999.", ""),
        ("  \n", "empty-answer"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("I\u2019m so sorry, I cannot.", "refusal"),
        ("As an AI language model, I have no opinion.", "refusal"),
        ("I cannot provide that.", "refusal"),
        ("Je suis désolé, mais c'est impossible.", "refusal"),
        ("...!?", "only-punctuation"),
        ("which  CITY is it?", "repeats-prompt"),
    ],
)
def test_answers(answer: str, reason: str) -> None:
    assert check_answer("Which city is it?", answer) == reason


def test_words_of_scripts_without_spaces() -> None:
    assert (count_words("two words"), count_words("春天的诗"), count_words("春天 poem")) == (2, 4, 3)


def test_exact_duplicates_are_found_without_an_index() -> None:
    duplicates = Duplicates(None, [("Name three rivers.", "")])
    found = duplicates.check("name  three RIVERS.")
    assert found is not None
    assert (found.stage, found.reason) == ("duplicate", "same-text")
    assert duplicates.check("Name four rivers.") is None
    assert duplicates.check("Name four rivers.") is not None


@pytest.mark.parametrize("index", [RougeIndex(0.7), NearIndex(0.7)])
def test_near_duplicates_of_what_is_known_and_of_each_other(index: RougeIndex | NearIndex) -> None:
    known = "Write a short poem about the first snow of winter in a village by the northern sea, please"
    duplicates = Duplicates(index, [(known, "")])
    found = duplicates.check(known.replace(", please", ""))
    assert found is not None
    assert found.stage == "near-duplicate"
    other = "Explain to a child of ten how a steam engine turns heat into motion with simple words only"
    assert duplicates.check(other) is None
    assert duplicates.check(f"{other} now") is not None


def test_a_text_may_be_similar_to_what_it_was_made_from() -> None:
    duplicates = Duplicates(RougeIndex(0.7), [("a b c d e f g h i j", "one"), ("k l m n o p q r s t", "other")])
    assert duplicates.check("a b c d e f g h i j k", "one") is None
    assert duplicates.check("a b c d e f g h i j l", "one") is None
    assert duplicates.check("k l m n o p q r s t u", "one") is not None
    assert duplicates.check("a b c d e f g h i j", "one") is not None  # exactly the same is too similar
    assert duplicates.check("a b c d e f g h i j m") is not None


def test_what_was_dropped_is_not_known() -> None:
    duplicates = Duplicates(RougeIndex(0.7), [("a b c d e f g h i j", "")])
    assert duplicates.check("a b c d e f g h x y") is not None  # ROUGE-L 0.8 to the first
    assert duplicates.check("a b c d e q r h x y") is None  # 0.6 to the first, 0.8 to the one that was dropped


def test_rouge_l_of_the_textbook_example() -> None:
    """Lin (2004): `police kill the gunman` and `the gunman kill police` against `police killed the gunman`."""
    reference = words_of("Police killed the gunman")
    assert rouge_l(words_of("police kill the gunman"), reference) == 0.75
    assert rouge_l(words_of("the gunman kill police"), reference) == 0.5
    assert rouge_l([], reference) == 0


def test_seventy_percent_is_the_border() -> None:
    index = RougeIndex(0.7)
    index.add("a b c d e f g h i j")
    assert index.nearest("a b c d e f g x y z") is None  # 7 of 10: not above
    assert index.nearest("a b c d e f g h y z") == (0, 0.8)
    assert index.nearest("A, b; c. D e f g h y z!") == (0, 0.8)
    assert index.nearest("j i h g f e d c b a") is None


words = st.lists(st.sampled_from("abcd"), max_size=12)


@given(words, words)
def test_the_longest_common_subsequence_is_that_of_the_table(first: list[str], second: list[str]) -> None:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])
    assert longest_common(first, second) == table[-1][-1]


@given(st.lists(words, max_size=8), words)
def test_the_index_finds_what_a_search_through_all_finds(texts: list[list[str]], text: list[str]) -> None:
    index = RougeIndex(0.5)
    for one in texts:
        index.add(" ".join(one))
    found = index.nearest(" ".join(text))
    best = max((rouge_l(text, one) for one in texts), default=0.0)
    assert (found[1] if found else None) == (best if best > 0.5 else None)
