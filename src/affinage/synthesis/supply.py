"""Methods that go through a person's material once, in an order drawn by the seed."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from affinage.data.records import Message
from affinage.generation.chats import ChatSettings
from affinage.synthesis.asking import Trail
from affinage.synthesis.candidates import Dropped, Proposal
from affinage.synthesis.filters import Heuristics
from affinage.synthesis.judge import shown
from affinage.synthesis.method import Method, Propose
from affinage.synthesis.seeds import Seed

Item = TypeVar("Item")


class Supplied(Method, Generic[Item]):
    """A method that makes candidates of each piece of its material.

    Attributes:
        material: all of it, in the order in which it is taken.
        waiting: what is not yet taken; a method may put more there.
        draws: the source of everything that is left to chance.
        each: candidates that one piece gives.
    """

    each: int = 1

    def __init__(self, material: Sequence[Item], *, seed: int, settings: ChatSettings) -> None:
        super().__init__(settings)
        self.draws = random.Random(seed)
        self.material = list(material)
        self.draws.shuffle(self.material)
        self.waiting = deque(self.material)

    def proposals(self, room: int) -> list[Propose]:
        count = min(-(-room // self.each), len(self.waiting))
        return [self.propose(self.waiting.popleft()) for _ in range(count)]

    @abstractmethod
    def propose(self, item: Item) -> Propose:
        """The work that makes candidates of one piece."""


class Prompted(Supplied[Seed]):
    """A method that completes people's own prompts: they are candidates as they stand, and nothing is asked for them."""

    heuristics: ClassVar[Heuristics | None] = None

    def propose(self, item: Seed) -> Propose:
        def work(trail: Trail) -> list[Proposal | Dropped]:
            if not any(turn.role == "user" and turn.content.strip() for turn in item.turns):
                return [Dropped("format", "empty-prompt")]
            return [Proposal(shown(item.turns), (item.source,), trail, {"turns": item.turns, "seed": item})]

        return work


def as_turns(turns: Sequence[Message]) -> list[dict[str, Any]]:
    """Turns as rows hold them."""
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def as_prompt(turns: Sequence[Message]) -> str | list[dict[str, Any]]:
    """One user turn as its text, else the turns."""
    return turns[0].content if len(turns) == 1 and turns[0].role == "user" else as_turns(turns)
