"""Whole jobs over a scripted endpoint, without the command line."""

from __future__ import annotations

from collections.abc import Sequence

from affinage.data.records import Message, Source
from affinage.generation.chats import ChatSettings
from affinage.synthesis.asking import Asker
from affinage.synthesis.filters import Duplicates
from affinage.synthesis.judge import Judge
from affinage.synthesis.methods import MethodSettings, make_method
from affinage.synthesis.passages import Reading, cut
from affinage.synthesis.rouge import RougeIndex
from affinage.synthesis.run import Result, Synthesis
from affinage.synthesis.seeds import Seed
from tests.synthesis.server import WORDS

SETTINGS = ChatSettings(max_tokens=200)


def seeds(count: int = 10) -> list[Seed]:
    """Instructions by people, half of them classifications."""
    made = []
    for number in range(count):
        instruction = f"Tell about {WORDS[number]} and {WORDS[-1 - number]} in case {number} of many"
        turns = (Message("user", instruction),)
        made.append(
            Seed(instruction, "", f"Answer {number}.", number % 2 == 0, turns, Source("seeds.jsonl", str(number)))
        )
    return made


def reading(paragraphs: int = 12) -> Reading:
    """A document, in which each paragraph is a passage of its own."""
    text = "\n\n".join(
        " ".join(f"{WORDS[(number * 7 + place * 3) % len(WORDS)]}{number}" for place in range(40))
        for number in range(paragraphs)
    )
    return Reading(text, Source("house.txt"))


def job(
    name: str, asker: Asker, *, wanted: int | None = None, given: Sequence[Seed] | None = None,
    threshold: int | None = None, similarity: float = 0.7, workers: int = 4, **options: object,
) -> Synthesis:  # fmt: skip
    """A job of one method with its usual filters."""
    judge = Judge(100)
    passages, _ = cut([reading()], 400, 100)
    settings = MethodSettings(settings=SETTINGS, **options)  # type: ignore[arg-type]
    method = make_method(name, settings, judge, seeds=seeds() if given is None else given, passages=passages)
    duplicates = Duplicates(RougeIndex(similarity) if method.heuristics else None, method.known)
    return Synthesis(
        method,
        asker,
        duplicates,
        wanted=wanted,
        workers=workers,
        judge=judge if threshold else None,
        threshold=threshold,
    )


def run(name: str, asker: Asker, **options: object) -> Result:
    return job(name, asker, **options).run()  # type: ignore[arg-type]
