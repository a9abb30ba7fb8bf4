"""Preference pairs: the best and the worst of n answers, by the judge's scores and confirmed in both orders."""

from __future__ import annotations

from collections.abc import Sequence

from affinage.data.records import Message
from affinage.generation.chats import ChatSettings
from affinage.synthesis.asking import Trail, UnansweredError
from affinage.synthesis.candidates import Dropped, Made, Proposal
from affinage.synthesis.judge import COMPARE, SCORE, Judge, ask_compare, ask_score, shown
from affinage.synthesis.method import Forecast, user
from affinage.synthesis.parsing import FormatError, plain
from affinage.synthesis.seeds import Seed
from affinage.synthesis.supply import Prompted, as_prompt

ANSWER = "preferences/answer/1"


class Preferences(Prompted):
    """Every prompt is answered `answers` times; answers that are cut off or empty do not take part."""

    name = "preferences"

    def __init__(
        self, seeds: Sequence[Seed], judge: Judge, *, answers: int = 4, seed: int = 0, settings: ChatSettings
    ) -> None:
        super().__init__(seeds, seed=seed, settings=settings)
        self.judge = judge
        self.answers = answers

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

    def forecast(self, wanted: int) -> Forecast:
        rows = min(wanted, len(self.material))
        turns = self.material[0].turns
        text = shown(turns)
        examples = {ANSWER: turns, SCORE: user(ask_score(text, text)), COMPARE: user(ask_compare(text, text, text))}
        calls = {ANSWER: rows * self.answers, SCORE: rows * self.answers, COMPARE: rows * 2}
        judging = self.judge.settings
        return Forecast(calls, examples, {ANSWER: self.settings, SCORE: judging, COMPARE: judging}, len(self.material))
