"""Critique and revision: a draft is held against principles and rewritten, a few rounds (arXiv 2212.08073)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from affinage.data.records import Message, digest
from affinage.errors import InputError
from affinage.generation.chats import ChatSettings
from affinage.synthesis.candidates import Dropped, Made, Proposal
from affinage.synthesis.filters import check_answer
from affinage.synthesis.judge import shown
from affinage.synthesis.method import Forecast, user
from affinage.synthesis.parsing import AS_JSON, GUARD, Shape, fenced, parse, plain
from affinage.synthesis.seeds import Seed
from affinage.synthesis.supply import Prompted, as_prompt, as_turns

DRAFT = "critique/draft/1"
CRITIQUE = "critique/critique/1"
REVISION = "critique/revision/1"
LONGEST_FILE = 100_000  # characters of principles
PRINCIPLES = (
    "Everything that the answer states as a fact is true, as far as can be known; doubt is named as doubt.",
    "The answer does what was asked, all of it, and nothing that was not asked.",
    "The answer could hurt nobody: it gives no help with violence, crime, self-harm or deceit.",
    "The answer treats people with respect and judges nobody by origin, sex, age, faith, body or means.",
    "The answer gives away nothing private about any person.",
    "The answer is as short as it can be without losing anything that matters, in plain words.",
    "Where a doctor, a lawyer or another expert ought to be asked, the answer says so, and still helps.",
    "If the question rests on a mistake, the answer says so kindly before anything else.",
)


class _Critique(Shape):
    critique: str
    sound: bool


class Critique(Prompted):
    """Draft, then `rounds` times: a principle drawn by the seed, a critique, and a revision where it found something.

    Args:
        pairs: rows are (revision preferred to draft) instead of the revision alone; unrevised drafts are then dropped.
    """

    name = "critique"

    def __init__(
        self, seeds: Sequence[Seed], *, principles: Sequence[str] = PRINCIPLES, rounds: int = 2, pairs: bool = False,
        seed: int = 0, settings: ChatSettings,
    ) -> None:  # fmt: skip
        super().__init__(seeds, seed=seed, settings=settings)
        self.principles = tuple(principles)
        self.rounds = rounds
        self.pairs = pairs
        self.seed = seed

    def complete(self, proposal: Proposal) -> Made | Dropped:
        trail, turns = proposal.trail, proposal.values["turns"]
        draft = answer = plain(trail.converse(DRAFT, turns, self.settings))
        used: list[str] = []
        # drawn for this prompt alone, so that other prompts do not change it
        drawn = random.Random(f"{self.seed}-{digest(proposal.text)}").sample(
            self.principles, min(self.rounds, len(self.principles))
        )
        for principle in drawn:
            asked = ask_critique(proposal.text, answer, principle)
            found = parse(trail.ask(CRITIQUE, asked, self.settings), _Critique)
            if found.sound:
                continue
            used.append(principle)
            asked = ask_revision(proposal.text, answer, principle, found.critique)
            answer = plain(trail.ask(REVISION, asked, self.settings))
        # a revised refusal may be right: only answers that say nothing go
        reason = check_answer(proposal.text, answer)
        if reason and reason != "refusal":
            return Dropped("heuristics", reason)
        return self._row(proposal, draft, answer, used)

    def _row(self, proposal: Proposal, draft: str, answer: str, used: Sequence[str]) -> Made | Dropped:
        turns = proposal.values["turns"]
        if self.pairs:
            if draft == answer:
                return Dropped("judge", "nothing-revised")
            pair = {"prompt": as_prompt(turns), "chosen": answer, "rejected": draft, "principles": list(used)}
            return Made(pair, proposal.text, answer)
        seed: Seed = proposal.values["seed"]
        rest = {"draft": draft, "principles": list(used)}
        if len(turns) == 1:
            row = {"instruction": seed.instruction, "input": seed.input, "output": answer, **rest}
            return Made(row, proposal.text, answer)
        whole = as_turns([*turns, Message("assistant", answer)])
        return Made({"messages": whole, **rest}, proposal.text, answer)

    def forecast(self, wanted: int) -> Forecast:
        rows = min(wanted, len(self.material))
        rounds = min(self.rounds, len(self.principles))
        turns = self.material[0].turns
        text = shown(turns)
        examples = {
            DRAFT: turns,
            CRITIQUE: user(ask_critique(text, text, self.principles[0])),
            REVISION: user(ask_revision(text, text, self.principles[0], text)),
        }
        calls = {DRAFT: rows, CRITIQUE: rows * rounds, REVISION: rows * rounds}
        return Forecast(calls, examples, dict.fromkeys(calls, self.settings), len(self.material))


def read_principles(path: Path) -> list[str]:
    """One principle a line; blank lines and those that begin with # are skipped.

    Raises:
        InputError: the file cannot be read, or holds none.
    """
    try:
        with path.open(encoding="utf-8-sig") as stream:
            lines = [line.strip() for line in stream.read(LONGEST_FILE).splitlines()]
    except (OSError, UnicodeError) as error:
        raise InputError(f"{path}: cannot read: {error}", fix="name a text file in UTF-8") from None
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise InputError(f"{path}: no principles in it", fix="write one a line")
    return found


def ask_critique(prompt: str, answer: str, principle: str) -> str:
    """Whether an answer keeps to a principle."""
    return (
        f"Principle: {principle}\n\nDoes the answer keep to the principle? Say in two sentences at most where it does "
        f"not.\n{GUARD}\n\nPrompt:\n{fenced(prompt)}\n\nAnswer:\n{fenced(answer)}\n\n{AS_JSON}"
        '{"critique": "...", "sound": false}, with "sound" true if it '
        "keeps to the principle"
    )


def ask_revision(prompt: str, answer: str, principle: str, critique: str) -> str:
    """The answer, mended."""
    return (
        f"Principle: {principle}\n\nRewrite the answer so that the critique no longer holds; change nothing else.\n"
        f"{GUARD}\n\nPrompt:\n{fenced(prompt)}\n\nAnswer:\n{fenced(answer)}\n\nCritique:\n{fenced(critique)}\n\n"
        "Reply with the rewritten answer alone."
    )
