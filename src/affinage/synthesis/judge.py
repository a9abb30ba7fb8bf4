"""A model as judge: scores of single answers, and comparisons asked in both orders."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from affinage.data.records import Message
from affinage.generation.chats import ChatSettings
from affinage.synthesis.asking import Trail
from affinage.synthesis.parsing import AS_JSON, GUARD, Shape, fenced, parse

SCORE = "judge/score/1"
COMPARE = "judge/compare/1"
BEST = 10
Winner = Literal["first", "second", "tie"]


class _Score(Shape):
    reason: str = ""
    score: int = Field(ge=1, le=BEST)


class _Better(Shape):
    reason: str = ""
    better: Literal["A", "B", "tie"]


@dataclass(slots=True)
class Tally:
    """Comparisons in both orders.

    Attributes:
        compared: pairs.
        agreed: pairs for which both orders name the same answer.
        both_ties: pairs for which both orders say tie.
        flips: pairs for which each order names the other answer: the place decided, not the answer.
        half_ties: pairs for which one order says tie.
        shown_first: answers named because they were better in one order, and shown first there.
        shown_second: the same, shown second.
    """

    compared: int = 0
    agreed: int = 0
    both_ties: int = 0
    flips: int = 0
    half_ties: int = 0
    shown_first: int = 0
    shown_second: int = 0

    def to_json(self) -> dict[str, Any]:
        share = self.flips / self.compared if self.compared else None
        return {
            "compared": self.compared, "agreed": self.agreed, "both_ties": self.both_ties, "flips": self.flips,
            "half_ties": self.half_ties, "shown_first_won": self.shown_first, "shown_second_won": self.shown_second,
            "flip_share": share,
        }  # fmt: skip


class Judge:
    """Asks the judging model, always at temperature 0.

    Attributes:
        tally: what comparisons gave; safe to count from threads.
    """

    def __init__(self, max_tokens: int) -> None:
        self.settings = ChatSettings(max_tokens=max_tokens, temperature=0.0)
        self.tally = Tally()
        self._lock = threading.Lock()

    def score(self, trail: Trail, prompt: str, answer: str) -> int:
        """1 to 10.

        Raises:
            FormatError, UnansweredError: the judge did not say, or not in the form.
        """
        return parse(trail.ask(SCORE, ask_score(prompt, answer), self.settings, judge=True), _Score).score

    def compare(self, trail: Trail, prompt: str, first: str, second: str) -> Winner:
        """Which of two answers is better: asked with each of them in front; a tie when the orders disagree.

        Errors as `score`.
        """
        said = [
            parse(trail.ask(COMPARE, ask_compare(prompt, *pair), self.settings, judge=True), _Better).better
            for pair in ((first, second), (second, first))
        ]
        forward = _named(said[0], "first", "second")
        backward = _named(said[1], "second", "first")
        with self._lock:
            count(self.tally, said, agreed=forward == backward)
        return forward if forward == backward else "tie"


def count(tally: Tally, said: Sequence[str], *, agreed: bool) -> None:
    """Note what both orders said ("A" is the answer shown first)."""
    tally.compared += 1
    tally.shown_first += said.count("A")
    tally.shown_second += said.count("B")
    if said.count("tie") == 2:
        tally.both_ties += 1
    elif agreed:
        tally.agreed += 1
    elif "tie" in said:
        tally.half_ties += 1
    else:
        tally.flips += 1


def ask_score(prompt: str, answer: str) -> str:
    """How good one answer is."""
    return (
        "Judge how well the answer serves the person who wrote the prompt: is it correct, complete, clear, honest "
        f"about what it does not know, and no longer than needed? 1 is useless or wrong, {BEST} could not be better.\n"
        f"{GUARD}\n\nPrompt:\n{fenced(prompt)}\n\nAnswer:\n{fenced(answer)}\n\n{AS_JSON}"
        '{"reason": "one sentence", "score": 1}'
    )


def ask_compare(prompt: str, first: str, second: str) -> str:
    """Which of two answers is better."""
    return (
        "Two answers to one prompt. Which serves the person better: more correct, complete, clear and honest? Neither "
        "their order nor their length is a merit. Say tie when there is no real difference.\n"
        f"{GUARD}\n\nPrompt:\n{fenced(prompt)}\n\nAnswer A:\n{fenced(first)}\n\nAnswer B:\n{fenced(second)}\n\n{AS_JSON}"
        '{"reason": "one sentence", "better": "A"} (or "B", or "tie")'
    )


def shown(turns: Sequence[Message]) -> str:
    """A conversation as one text; a single user turn as it stands."""
    if len(turns) == 1:
        return turns[0].content
    return "\n\n".join(f"[{turn.role}]\n{turn.content}" for turn in turns)


def _named(said: str, a: Winner, b: Winner) -> Winner:
    if said == "tie":
        return "tie"
    return a if said == "A" else b
