"""What a method is: prompts, a parser and the row; the loop around it is the same for all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from affinage.data.records import Message
from affinage.generation.chats import ChatSettings
from affinage.synthesis.asking import Trail
from affinage.synthesis.candidates import Dropped, Made, Proposal
from affinage.synthesis.filters import Heuristics

Propose = Callable[[Trail], Sequence[Proposal | Dropped]]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a method will ask for if all goes well.

    Attributes:
        calls: how many of each prompt.
        messages: an example of each prompt, for the size of it.
        settings: of each prompt.
        most: rows that the material can give; None: no limit.
    """

    calls: dict[str, int] = field(default_factory=dict)
    messages: dict[str, tuple[Message, ...]] = field(default_factory=dict)
    settings: dict[str, ChatSettings] = field(default_factory=dict)
    most: int | None = None


class Method(ABC):
    """One way to make rows.

    Attributes:
        name: as on the command line.
        heuristics: rules for the instructions that the model makes; None where people made them (then near duplicates
            stay as well: people meant them).
        settings: of everything that the model writes.
    """

    name: ClassVar[str]
    heuristics: ClassVar[Heuristics | None]

    def __init__(self, settings: ChatSettings) -> None:
        self.settings = settings

    @property
    def sure(self) -> ChatSettings:
        """Of a question that has one right answer."""
        return ChatSettings(max_tokens=self.settings.max_tokens, temperature=0.0)

    @property
    def known(self) -> Iterable[tuple[str, str]]:
        """Texts that a new instruction must differ from, each with its family (empty: none), see `Duplicates`."""
        return ()

    @abstractmethod
    def proposals(self, room: int) -> list[Propose]:
        """Work that gives at most about `room` candidates; nothing when the material is used up."""

    @abstractmethod
    def complete(self, proposal: Proposal) -> Made | Dropped:
        """The whole row of a candidate that passed the filters.

        Raises:
            FormatError, UnansweredError: an answer is not of the form, or missing.
        """

    def accept(self, proposal: Proposal, made: Made) -> None:
        """A row was kept: what comes next may build on it."""
        return

    @abstractmethod
    def forecast(self, wanted: int) -> Forecast:
        """What this many rows ask for."""


def user(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)
