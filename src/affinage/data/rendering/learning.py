"""Which turns of a chat are learned from."""

from __future__ import annotations

from collections.abc import Sequence

from affinage.data.records import Message
from affinage.errors import InputError

ROLES = ("system", "user", "assistant", "tool")
WAYS = ("completions", "last", "all")
_ALIKE = {"developer": "system", "function": "tool"}
_KEPT = 1024  # orders of roles


class LearnFrom:
    """A choice of turns: `completions` (all answers), `last` (the last answer), `all`, or roles such as `assistant,tool`.

    Raises:
        InputError: it is none of these.
    """

    def __init__(self, choice: str) -> None:
        self.choice = choice
        self._roles = frozenset(choice.split(",")) if choice not in WAYS else frozenset({"assistant"})
        self._known: dict[tuple[str, ...], frozenset[int]] = {}
        if not self._roles <= set(ROLES):
            raise InputError(
                f"learn_from: {choice!r} is unknown",
                fix=f"one of {', '.join(WAYS)}, or roles out of {', '.join(ROLES)}",
            )

    def numbers(self, turns: Sequence[Message]) -> frozenset[int]:
        """Numbers of the turns that are learned from. A turn's own `learn` goes first; one that says nothing is not."""
        wanted = self._wanted(tuple([turn.role for turn in turns]))
        numbers = [n for n, turn in enumerate(turns) if (n in wanted if turn.learn is None else turn.learn)]
        return frozenset([n for n in numbers if _says(turns[n])])

    def _wanted(self, roles: tuple[str, ...]) -> frozenset[int]:
        if roles not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            chosen = [
                n for n, role in enumerate(roles) if self.choice == "all" or _ALIKE.get(role, role) in self._roles
            ]
            self._known[roles] = frozenset(chosen[-1:] if self.choice == "last" else chosen)
        return self._known[roles]


def _says(turn: Message) -> bool:
    return bool(turn.content.strip() or turn.calls or turn.reasoning.strip())
