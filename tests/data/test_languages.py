"""Languages of texts."""

from __future__ import annotations

import pytest

from affinage.data.languages import language_of


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The wheels are turned every day in the upper cellar.", "en"),
        ("Les meules sont retournées chaque jour dans la cave.", "fr"),
        ("Die Laibe werden jeden Tag im oberen Keller gewendet.", "de"),
    ],
)
def test_languages(text: str, code: str) -> None:
    found = language_of(text)
    assert found is not None
    assert found[0] == code
    assert 0.5 < found[1] <= 1


def test_a_long_text_is_told_by_its_parts() -> None:
    found = language_of("Les meules sont retournées chaque jour dans la cave. " * 20_000)
    assert found is not None
    assert found[0] == "fr"


@pytest.mark.parametrize("text", ["", "Hello", "123 456 " * 50, "... --- ..."])
def test_what_holds_too_few_letters_is_not_guessed(text: str) -> None:
    assert language_of(text) is None
