"""The methods by name, and which of them fits what a person gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from affinage.errors import InputError, nearest
from affinage.generation.chats import ChatSettings
from affinage.synthesis.critique import PRINCIPLES, Critique, read_principles
from affinage.synthesis.evolve import Evolve
from affinage.synthesis.judge import Judge
from affinage.synthesis.method import Method
from affinage.synthesis.passages import Passage
from affinage.synthesis.preferences import Preferences
from affinage.synthesis.qa import QuestionsAndAnswers
from affinage.synthesis.seeds import Seed
from affinage.synthesis.self_instruct import SelfInstruct

# name: (what it takes, what its rows are)
METHODS = {
    "qa": ("documents", "question, answer, quoted words"),
    "self-instruct": ("instructions", "new instructions with answers"),
    "evolve": ("instructions", "harder instructions with answers"),
    "preferences": ("instructions", "best and worst of several answers"),
    "critique": ("instructions", "answers revised by principles"),
}
UNBOUNDED = ("self-instruct",)  # goes on for as long as rows are wanted


@dataclass(frozen=True, slots=True)
class MethodSettings:
    """What a person may choose about a method; each method looks at its own."""

    seed: int = 0
    settings: ChatSettings = field(default_factory=ChatSettings)
    per_passage: int = 3
    with_passage: bool = False
    generations: int = 3
    answers: int = 4
    rounds: int = 2
    principles: Path | None = None
    pairs: bool = False


def choose_method(name: str | None, *, seeds: bool) -> str:
    """The method by its name, or the usual one for the material.

    Raises:
        InputError: no such method, or it takes other material.
    """
    if name is None:
        return "self-instruct" if seeds else "qa"
    if name not in METHODS:
        raise InputError(f"no method {name!r}.{nearest(name, METHODS)}", fix=f"methods: {', '.join(METHODS)}")
    given, taken = "instructions" if seeds else "documents", METHODS[name][0]
    if given != taken:
        fits = ", ".join(method for method, (wanted, _) in METHODS.items() if wanted == given)
        raise InputError(f"{name} takes {taken}; the data hold {given}", fix=f"for {given}: {fits}")
    return name


def make_method(
    name: str, options: MethodSettings, judge: Judge, *, seeds: Sequence[Seed] = (), passages: Sequence[Passage] = ()
) -> Method:
    """The method with its material."""
    seed, settings = options.seed, options.settings
    if name == "qa":
        each, beside = options.per_passage, options.with_passage
        return QuestionsAndAnswers(passages, each=each, with_passage=beside, seed=seed, settings=settings)
    if name == "evolve":
        return Evolve(seeds, generations=options.generations, seed=seed, settings=settings)
    if name == "preferences":
        return Preferences(seeds, judge, answers=options.answers, seed=seed, settings=settings)
    if name == "critique":
        principles = read_principles(options.principles) if options.principles else PRINCIPLES
        return Critique(
            seeds, principles=principles, rounds=options.rounds, pairs=options.pairs, seed=seed, settings=settings
        )
    return SelfInstruct(seeds, seed=seed, settings=settings)
