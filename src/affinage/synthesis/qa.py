"""Questions about a person's own documents, each with an answer and the words of the passage that prove it."""

from __future__ import annotations

from collections.abc import Sequence

from affinage.data.records import Source
from affinage.generation.chats import ChatSettings
from affinage.synthesis.asking import Trail
from affinage.synthesis.candidates import Dropped, Made, Proposal
from affinage.synthesis.filters import Heuristics, check_answer
from affinage.synthesis.method import Forecast, Propose, user
from affinage.synthesis.parsing import AS_JSON, GUARD, Shape, fenced, parse
from affinage.synthesis.passages import Passage, find_quote
from affinage.synthesis.seeds import paragraphs
from affinage.synthesis.supply import Supplied

PROMPT = "qa/pairs/1"
SHORTEST_QUOTE = 8  # letters and digits


class _Pair(Shape):
    question: str
    answer: str
    quote: str


class _Pairs(Shape):
    pairs: list[_Pair]


class QuestionsAndAnswers(Supplied[Passage]):
    """Asks for `each` pairs about every passage, in an order drawn by the seed.

    Args:
        with_passage: put the passage into the row as its `input`, for answering with documents at hand.
    """

    name = "qa"
    heuristics = Heuristics(shortest=3, longest=80, unfit=False)

    def __init__(
        self, passages: Sequence[Passage], *, each: int = 3, with_passage: bool = False, seed: int = 0,
        settings: ChatSettings,
    ) -> None:  # fmt: skip
        super().__init__(passages, seed=seed, settings=settings)
        self.each = each
        self.with_passage = with_passage

    def propose(self, item: Passage) -> Propose:
        def work(trail: Trail) -> list[Proposal | Dropped]:
            answer = trail.ask(PROMPT, prompt(item.text, self.each), self.settings)
            return [_proposal(item, pair, trail) for pair in parse(answer, _Pairs).pairs[: self.each]] or [
                Dropped("format", "no-pairs")
            ]

        return work

    def complete(self, proposal: Proposal) -> Made | Dropped:
        answer, quote = (str(proposal.values[name]) for name in ("answer", "quote"))
        reason = check_answer(proposal.text, answer)
        if reason:
            return Dropped("heuristics", reason)
        passage = str(proposal.values["passage"]) if self.with_passage else ""
        row = {"instruction": proposal.text, "input": passage, "output": answer, "quote": quote}
        return Made(row, paragraphs(passage, proposal.text), answer)

    def forecast(self, wanted: int) -> Forecast:
        calls = min(len(self.material), -(-wanted // self.each))
        example = user(prompt(self.material[0].text, self.each))
        most = len(self.material) * self.each
        return Forecast({PROMPT: calls}, {PROMPT: example}, {PROMPT: self.settings}, most)


def prompt(passage: str, count: int) -> str:
    """What the model is asked about one passage."""
    pairs = "one question" if count == 1 else f"{count} different questions"
    return (
        f"Write {pairs} that the passage below answers, as someone would ask who has not seen it: each must make sense "
        "on its own, without words such as 'the passage', 'the text' or 'the author', and name what it is about. "
        "Answer each from the passage alone, in full sentences. Quote the words that prove the answer exactly as they "
        "stand in the passage, from one place, as few as suffice. Use the passage's language. If it holds nothing that "
        "is worth asking, give an empty list.\n"
        f"{GUARD}\n\n{fenced(passage)}\n\n{AS_JSON}"
        '{"pairs": [{"question": "...", "answer": "...", "quote": "..."}]}'
    )


def _proposal(passage: Passage, pair: _Pair, trail: Trail) -> Proposal | Dropped:
    if not pair.question.strip():
        return Dropped("format", "empty-question")
    if sum(char.isalnum() for char in pair.quote) < SHORTEST_QUOTE:
        return Dropped("quote", "too-short", pair.quote[:80])
    span = find_quote(pair.quote, passage.text)
    if span is None:
        return Dropped("quote", "not-in-the-passage", pair.quote[:200])
    values = {"answer": pair.answer.strip(), "quote": passage.text[slice(*span)], "passage": passage.text}
    sources: tuple[Source, ...] = (passage.at(*span),)
    return Proposal(pair.question.strip(), sources, trail.branch(), values)
