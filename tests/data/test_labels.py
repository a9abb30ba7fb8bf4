"""Labels to class numbers, and what is refused."""

from __future__ import annotations

import pytest

from affinage.data.labels import class_numbers, label_map
from affinage.data.records import Labelled
from affinage.errors import InputError


def records(*labels: str) -> list[Labelled]:
    return [Labelled(text=f"text {number}", label=label) for number, label in enumerate(labels)]


def test_labels_are_sorted_and_numbered() -> None:
    labels = label_map(records("warm", "late", "warm", "late"))
    assert labels == ["late", "warm"]
    assert class_numbers(records("warm", "late"), labels) == [1, 0]


@pytest.mark.parametrize(("given", "message"), [((), "have 0"), (("late", "late"), r"have 1: 'late' \(2 texts\)")])
def test_fewer_than_two_labels_are_refused(given: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        label_map(records(*given))


def test_a_label_seen_once_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="1 of 3 labels have one text only: 'lost'"):
        label_map(records("late", "late", "warm", "warm", "lost"))


def test_one_text_twice_is_still_one_text() -> None:
    twice = [Labelled(text="So late!", label="late"), Labelled(text="so  LATE!", label="late")]
    with pytest.raises(InputError, match="'late'"):
        label_map([*twice, *records("warm", "warm")])


def test_unseen_labels_are_refused_with_their_count_and_the_nearest() -> None:
    with pytest.raises(InputError, match=r"2 rows .* 'lates' \(2 rows, first memory\)\. Did you mean 'late'"):
        class_numbers(records("late", "lates", "lates"), ["late", "warm"])
