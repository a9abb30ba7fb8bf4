"""Labels to class numbers, and what is refused."""

from __future__ import annotations

import pytest

from affinage.data.labels import class_numbers, label_map, label_matrix, task_of
from affinage.data.records import Label, Labelled
from affinage.errors import InputError


def records(*labels: Label) -> list[Labelled]:
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


def test_labels_that_look_like_several_name_the_setting() -> None:
    with pytest.raises(InputError, match="label_separator=';'"):
        label_map(records("late", "late", "late;warm", "cold;late", "warm", "warm"))


def test_one_text_twice_is_still_one_text() -> None:
    twice = [Labelled(text="So late!", label="late"), Labelled(text="so  LATE!", label="late")]
    with pytest.raises(InputError, match="'late'"):
        label_map([*twice, *records("warm", "warm")])


def test_unseen_labels_are_refused_with_their_count_and_the_nearest() -> None:
    with pytest.raises(InputError, match=r"2 rows .* 'lates' \(2 rows, first memory\)\. Did you mean 'late'"):
        class_numbers(records("late", "lates", "lates"), ["late", "warm"])


def test_the_task_is_what_the_labels_are() -> None:
    assert task_of(records("a", "b")) == "single"
    assert task_of(records(("a",), ())) == "multi"
    assert task_of(records(0.5, 2.0)) == "number"
    with pytest.raises(InputError, match="two sorts: memory has one label, memory has a number"):
        task_of(records("a", 0.5))
    with pytest.raises(InputError, match="no labelled rows"):
        task_of([])


def test_several_labels_are_a_matrix_of_ones() -> None:
    rows = records(("late",), (), ("late", "warm"))
    labels = label_map(rows)
    assert labels == ["late", "warm"]
    matrix = label_matrix(rows, labels)
    assert (matrix.dtype.name, matrix.tolist()) == ("float32", [[1, 0], [0, 0], [1, 1]])
    with pytest.raises(InputError, match=r"1 rows .* 'lates'.*Did you mean 'late'"):
        label_matrix(records(("lates",)), labels)
    with pytest.raises(InputError, match="must have one label"):
        class_numbers(rows, labels)
    with pytest.raises(InputError, match="names, not numbers"):
        label_matrix(records(0.5), labels)


def test_labels_that_say_nothing_are_refused() -> None:
    with pytest.raises(InputError, match=r"all 2 rows have the same labels \('late'\)"):
        label_map(records(("late",), ("late",)))
    with pytest.raises(InputError, match=r"all 2 rows have the same labels \(none\)"):
        label_map(records((), ()))
    with pytest.raises(InputError, match=r"all 2 rows have the same number, 0\.5"):
        label_map(records(0.5, 0.5))
    assert label_map(records(0.5, 1.5)) == []
