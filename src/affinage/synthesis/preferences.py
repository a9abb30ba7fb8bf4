"""Preference pairs: the best and the worst of n answers, by the judge's scores and confirmed in both orders."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from affinage.data.records import Message
from affinage.generation.remote import ChatSettings
from affinage.synthesis.asking import Trail, UnansweredError
from affinage.synthesis.candidates import Dropped, Made, Proposal
from affinage.synthesis.filters import Heuristics
from affinage.synthesis.judge import COMPARE, SCORE, Judge, ask_compare, ask_score, shown
from affinage.synthesis.method import Forecast, Propose, user
from affinage.synthesis.parsing import FormatError, plain
from affinage.synthesis.seeds import Seed

ANSWER = "preferences/answer/1"


class Preferences:
    """Every prompt is answered `answers` times; answers that are cut off or empty do not take part."""

    name = "preferences"
    heuristics: Heuristics | None = None

    def __init__(
        self, seeds: Sequence[Seed], judge: Judge, *, answers: int = 4, seed: int = 0,
        settings: ChatSettings,
    ) -> None:  # fmt: skip
        self.seeds = list(seeds)
        random.Random(seed).shuffle(self.seeds)
        self.judge = judge
        self.answers = answers
        self.settings = settings
        self._next = 0

    @property
    def known(self) -> Iterable[tuple[str, str]]:
        return ()

    def proposals(self, room: int) -> list[Propose]:
        chosen = self.seeds[self._next : self._next + room]
        self._next += len(chosen)
        return [propose_seed(seed) for seed in chosen]

    def complete(self, proposal: Proposal) -> Made | Dropped:
        trail, turns = proposal.trail, proposal.values["turns"]
        answers = self._answers(trail, turns)
        if len(answers) < 2:
            return Dropped("format", "fewer-than-two-answers")
        scores = [self.judge.score(trail, proposal.text, answer) for answer in answers]
        best, worst = scores.index(max(scores)), scores.index(min(scores))
        if scores[best] == scores[worst]:
            return Dropped("judge", "equal-scores")
        chosen, rejected = answers[best], answers[worst]
        winner = self.judge.compare(trail, proposal.text, chosen, rejected)
        if winner == "tie":
            return Dropped("judge", "tie")
        if winner == "second":
            return Dropped("judge", "scores-and-comparison-disagree")
        row = {
            "prompt": as_prompt(turns), "chosen": chosen, "rejected": rejected, "score_chosen": scores[best],
            "score_rejected": scores[worst], "answers": len(answers),
        }  # fmt: skip
        return Made(row, proposal.text, chosen)

    def _answers(self, trail: Trail, turns: Sequence[Message]) -> list[str]:
        """The distinct whole answers."""
        found: list[str] = []
        missing: UnansweredError | None = None
        for number in range(self.answers):
            try:
                found.append(plain(trail.converse(ANSWER, turns, self.settings, ordinal=number)))
            except FormatError:
                continue
            except UnansweredError as error:
                if error.reason == "not-finished":
                    raise
                missing = error
        if not found and missing is not None:
            raise missing
        return list(dict.fromkeys(found))

    def accept(self, proposal: Proposal, made: Made) -> None:
        """Nothing builds on earlier rows here."""

    def forecast(self, wanted: int) -> Forecast:
        rows = min(wanted, len(self.seeds))
        turns = self.seeds[0].turns
        text = shown(turns)
        examples = {ANSWER: turns, SCORE: user(ask_score(text, text)), COMPARE: user(ask_compare(text, text, text))}
        calls = {ANSWER: rows * self.answers, SCORE: rows * self.answers, COMPARE: rows * 2}
        judging = self.judge.settings
        return Forecast(calls, examples, {ANSWER: self.settings, SCORE: judging, COMPARE: judging}, len(self.seeds))


def propose_seed(seed: Seed) -> Propose:
    """A person's own prompt as a candidate: nothing needs to be asked for it."""

    def work(trail: Trail) -> list[Proposal | Dropped]:
        if not any(turn.role == "user" and turn.content.strip() for turn in seed.turns):
            return [Dropped("format", "empty-prompt")]
        return [Proposal(shown(seed.turns), (seed.source,), trail, {"turns": seed.turns, "seed": seed})]

    return work


def as_prompt(turns: Sequence[Message]) -> str | list[dict[str, Any]]:
    """One user turn as its text, else the turns."""
    if len(turns) == 1 and turns[0].role == "user":
        return turns[0].content
    return [{"role": turn.role, "content": turn.content} for turn in turns]
