"""Evol-Instruct: instructions made harder in five ways or turned into new ones, and answered (arXiv 2304.12244)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from affinage.data.records import Source
from affinage.generation.chats import ChatSettings
from affinage.synthesis.asking import Trail
from affinage.synthesis.candidates import Dropped, Made, Proposal
from affinage.synthesis.filters import Heuristics, check_answer, count_words
from affinage.synthesis.method import Forecast, Propose, user
from affinage.synthesis.parsing import AS_JSON, GUARD, Shape, fenced, parse, plain
from affinage.synthesis.seeds import Seed
from affinage.synthesis.supply import Supplied

EVOLVED = "evolve/{}/1"
GAIN = "evolve/gain/1"
ANSWER = "evolve/answer/1"
IN_DEPTH = {
    "constraint": "Add one more constraint or requirement to it.",
    "deepen": "Ask about the same thing more deeply and more broadly.",
    "concrete": "Replace its general notions by more specific ones.",
    "reasoning": "If a few simple steps of thought settle it, change it so that several steps are explicitly needed.",
    "input": "Give it concrete material to work on: a table, a list of facts, a formula or a piece of code, as fits.",
}
IN_BREADTH = {
    "breadth": (
        "Write an entirely new instruction of the same domain that is rarer than this one, of about the same length "
        "and difficulty."
    )
}
OPERATORS = IN_DEPTH | IN_BREADTH
# Words of the prompts themselves, which a rewritten instruction must not speak of.
_COPIED = re.compile(
    r"\b(?:(?:given|original|rewritten|new|above) (?:instruction|prompt)|DATA-[0-9a-f]{16})\b", re.IGNORECASE
)
_SORRY = 80  # words: a shorter answer that holds "sorry" is a refusal
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an the and or but if of to in on at by for with from as is are was were be been it its this that these those i "
        "you he she we they not no yes so do does did have has had there here",
    )
)


class _Evolved(Shape):
    instruction: str


class _Gain(Shape):
    equal: bool


Stage = tuple[str, Source, int]
"""An instruction, the seed that it goes back to, and how often it was evolved."""


class Evolve(Supplied[Stage]):
    """Evolves every seed, and what came of it, up to `generations` times; the way is drawn by the seed."""

    name = "evolve"
    heuristics = Heuristics(longest=400)

    def __init__(self, seeds: Sequence[Seed], *, generations: int = 3, seed: int = 0, settings: ChatSettings) -> None:
        super().__init__([(one.asked, one.source, 0) for one in seeds], seed=seed, settings=settings)
        self.seeds = list(seeds)
        self.generations = generations

    @property
    def known(self) -> Iterable[tuple[str, str]]:
        return [(seed.asked, str(seed.source)) for seed in self.seeds]

    def propose(self, item: Stage) -> Propose:
        text, source, generation = item
        operator = self.draws.choice(list(OPERATORS))

        def work(trail: Trail) -> list[Proposal | Dropped]:
            answer = trail.ask(EVOLVED.format(operator), ask_evolved(text, operator), self.settings)
            made = parse(answer, _Evolved).instruction.strip()
            if not made:
                return [Dropped("format", "empty")]
            if _COPIED.search(made) and not _COPIED.search(text):
                return [Dropped("heuristics", "copies-the-prompt", made[:200])]
            values = {"parent": text, "operator": operator, "generation": generation + 1, "family": str(source)}
            return [Proposal(made, (source,), trail, values)]

        return work

    def complete(self, proposal: Proposal) -> Made | Dropped:
        trail, text, values = proposal.trail, proposal.text, proposal.values
        if parse(trail.ask(GAIN, ask_gain(str(values["parent"]), text), self.sure, judge=True), _Gain).equal:
            return Dropped("judge", "nothing-gained")
        answer = plain(trail.ask(ANSWER, text, self.settings))
        reason = check_answer(text, answer) or _eliminated(answer)
        if reason:
            return Dropped("heuristics", reason)
        kept = {name: values[name] for name in ("operator", "generation")}
        return Made({"instruction": text, "input": "", "output": answer, **kept}, text, answer)

    def accept(self, proposal: Proposal, made: Made) -> None:
        if proposal.values["generation"] < self.generations:
            self.waiting.append((proposal.text, proposal.sources[0], proposal.values["generation"]))

    def forecast(self, wanted: int) -> Forecast:
        most = len(self.seeds) * self.generations
        calls = min(wanted, most)
        text = self.seeds[0].asked
        name = EVOLVED.format("<way>")
        examples = {name: user(ask_evolved(text, "constraint")), GAIN: user(ask_gain(text, text)), ANSWER: user(text)}
        return Forecast(dict.fromkeys(examples, calls), examples, dict.fromkeys(examples, self.settings), most)


def ask_evolved(text: str, operator: str) -> str:
    """One way of evolving an instruction."""
    depth = (
        "Rewrite the instruction below so that it is somewhat harder to follow, yet reasonable, and can be understood "
        f"and answered by people with text alone. {OPERATORS[operator]} Add no more than 20 words, keep any material "
        "that it holds, and do not answer it."
    )
    task = f"{OPERATORS[operator]} Do not answer it." if operator in IN_BREADTH else depth
    return f'{task} Write in its language.\n{GUARD}\n\n{fenced(text)}\n\n{AS_JSON}{{"instruction": "..."}}'


def ask_gain(before: str, after: str) -> str:
    """Whether two instructions come to the same."""
    return (
        "Do these two instructions come to the same: equal constraints and requirements, equal depth and breadth of "
        f"what is asked?\n{GUARD}\n\n{fenced(before)}\n\n{fenced(after)}\n\n{AS_JSON}"
        '{"equal": true} or {"equal": false}'
    )


def _eliminated(answer: str) -> str:
    words = re.findall(r"\w+", answer.lower())
    if "sorry" in words and count_words(answer) < _SORRY:
        return "refusal"
    return "only-stop-words" if all(word in _STOP_WORDS for word in words) else ""
