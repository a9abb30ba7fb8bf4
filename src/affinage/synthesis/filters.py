"""The filters that need no model, in their order; each drops with a reason."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from affinage.data.records import normalised
from affinage.synthesis.candidates import Dropped

# What a model that reads and writes text alone cannot do; as Self-Instruct and Alpaca filter it.
UNFIT = (
    "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot",
    "go to", "video", "audio", "music", "flowchart", "diagram",
)  # fmt: skip
_UNFIT = re.compile(r"\b(?:" + "|".join(UNFIT) + r")\b", re.IGNORECASE)
_PROGRAM = re.compile(r"\s*write a program\b", re.IGNORECASE)
_SCRIPT = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")  # written without spaces
_REFUSAL = re.compile(
    r"\s*(?:(?:i['’]?m|i am) (?:very |so |really )?sorry|sorry[,.]|i (?:can ?not|can['’]t|won['’]t|am unable to|"
    r"am not able to) |i apologi[sz]e|as an ai\b|as a (?:large )?language model\b|"
    r"(?:je suis |nous sommes )?désolée?s?[,. ]|je ne (?:peux|suis) pas |en tant qu['’]ia\b)",
    re.IGNORECASE,
)
_OPENING = frozenset(string.punctuation + "…–—·•") - frozenset("\"'([{<«“‘¿¡$#")
MOST_SYMBOLS = 0.5  # share of characters that are neither letters nor marks of them


class Index(Protocol):
    """Texts, and the nearest of them to another."""

    def nearest(self, text: str) -> tuple[int, float] | None: ...
    def add(self, text: str) -> object: ...


@dataclass(frozen=True, slots=True)
class Heuristics:
    """Rules for an instruction or question.

    Attributes:
        shortest, longest: words.
        unfit: whether the words of `UNFIT` and "write a program" drop it.
    """

    shortest: int = 4
    longest: int = 150
    unfit: bool = True

    def check(self, text: str) -> str:
        """Why the text is dropped; empty if it is not."""
        size = count_words(text)
        if size < self.shortest:
            return "too-short"
        if size > self.longest:
            return "too-long"
        if text.lstrip()[:1] in _OPENING:
            return "starts-with-punctuation"
        if not_language(text):
            return "not-language"
        if self.unfit and _PROGRAM.match(text):
            return "write-a-program"
        if self.unfit and _UNFIT.search(text):
            return "unfit-word"
        return ""


def check_answer(prompt: str, answer: str) -> str:
    """Why an answer is dropped; empty if it is not."""
    if not answer.strip():
        return "empty-answer"
    if _REFUSAL.match(answer):
        return "refusal"
    if all(char in string.punctuation or char.isspace() for char in answer):
        return "only-punctuation"
    if normalised(answer) == normalised(prompt):
        return "repeats-prompt"
    return ""


def count_words(text: str) -> int:
    """Words between spaces; in scripts without spaces every character counts as one."""
    without = _SCRIPT.sub(" ", text)
    return len(without.split()) + len(_SCRIPT.findall(text))


def not_language(text: str) -> bool:
    """Whether more than half of what is not a space is neither a letter nor a digit."""
    seen = [char for char in text if not char.isspace()]
    letters = sum(char.isalnum() for char in seen)
    return not any(char.isalpha() for char in seen) or letters < (1 - MOST_SYMBOLS) * len(seen)


class Duplicates:
    """Exact (case and white space aside) and near duplicates, of known texts and of each other.

    Args:
        index: for near duplicates; None: only exact ones are found.
        known: texts that a new one must differ from, each with its family: a text may be similar to its own family
            (what it was made from), if it has one.
    """

    def __init__(self, index: Index | None, known: Iterable[tuple[str, str]] = ()) -> None:
        self.index = index
        self._seen: set[str] = set()
        self._families: list[str] = []
        for text, family in known:
            self.add(text, family)

    def add(self, text: str, family: str = "") -> None:
        self._seen.add(normalised(text))
        if self.index is not None:
            self.index.add(text)
            self._families.append(family)

    def check(self, text: str, family: str = "") -> Dropped | None:
        """Why the text is dropped; one that is not dropped is from now on known."""
        if normalised(text) in self._seen:
            return Dropped("duplicate", "same-text")
        found = self.index.nearest(text) if self.index is not None else None
        if found is not None and not (family and self._families[found[0]] == family):
            return Dropped("near-duplicate", "similar-text", f"similarity {found[1]:.2f}")
        self.add(text, family)
        return None


Contamination = Callable[[str, str], str]
"""From a row's prompt and answer to what they overlap with; empty for a clean one."""
