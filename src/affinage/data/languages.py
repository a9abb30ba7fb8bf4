"""Which language a text is written in."""

from __future__ import annotations

import functools
import itertools
from typing import Any

_FEWEST = 20  # letters; shorter texts are guesses
_NO_LANGUAGE = ("zxx", "und", "mul")  # codes for what is no one language
_LOOKED_AT = 4000  # letters from each of three places


def language_of(text: str) -> tuple[str, float] | None:
    """ISO 639-1 code of the main language and its probability, or None for under 20 letters or no language."""
    letters = sum(map(str.isalpha, itertools.islice(text, 100_000)))
    if letters < _FEWEST:
        return None
    code, probability = _identifier().classify(_sample(text))
    return None if code in _NO_LANGUAGE else (str(code), float(probability))


@functools.cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _sample(text: str) -> str:
    """The text, or pieces of its beginning, middle and end: the language of a long text shows in a small part."""
    if len(text) <= 3 * _LOOKED_AT:
        return text
    middle = (len(text) - _LOOKED_AT) // 2
    return "\n".join((text[:_LOOKED_AT], text[middle : middle + _LOOKED_AT], text[-_LOOKED_AT:]))
