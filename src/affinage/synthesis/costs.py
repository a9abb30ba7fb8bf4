"""What calls use and cost, and a budget that is never exceeded."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from affinage.data.records import Message

PER_TURN = 16  # tokens that a chat template may put around one turn
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """Money for a million tokens read and written."""

    read: float = 0.0
    written: float = 0.0

    def cost(self, read: int, written: int) -> float:
        return (read * self.read + written * self.written) / MILLION


def most_tokens(messages: Sequence[Message]) -> int:
    """An upper bound on the tokens of a prompt: no tokenizer makes more tokens than there are bytes."""
    return sum(len(turn.content.encode("utf-8", "surrogatepass")) + PER_TURN for turn in messages)


def about_tokens(messages: Sequence[Message]) -> int:
    """A guess at the tokens of a prompt: four bytes each."""
    return most_tokens(messages) // 4


class Meter:
    """Counts what was used. A call is reserved at the most it can cost before it is sent.

    Args:
        budget: the most that all calls may cost, those of earlier attempts included; None: no limit.
        earlier: tokens read and written by earlier attempts, and how many of their calls told no usage.
    """

    def __init__(self, prices: Prices, budget: float | None = None, earlier: tuple[int, int, int] = (0, 0, 0)) -> None:
        self.prices = prices
        self.budget = budget
        self.exhausted = False
        self.calls = self.replayed = self.failed = 0
        self.read, self.written, self.estimated = earlier
        self._reserved = 0.0
        self._running = 0
        self._changed = threading.Condition()

    @property
    def cost(self) -> float:
        """Of all calls, those of earlier attempts included."""
        return self.prices.cost(self.read, self.written)

    def reserve(self, read: int, written: int) -> float | None:
        """The most that a call may cost, set aside; None where the budget has no room for it.

        While other calls run, whose true cost may turn out smaller than what is set aside for them, this waits.
        """
        most = self.prices.cost(read, written)
        with self._changed:
            while self.budget is not None and self.cost + self._reserved + most > self.budget:
                if not self._running or self.exhausted:
                    self.exhausted = True
                    return None
                self._changed.wait(1.0)
            self._reserved += most
            self._running += 1
            return most

    def settle(self, reserved: float, used: tuple[int, int, bool] | None) -> None:
        """A call has ended: tokens read, written and whether they were told; None: it failed."""
        with self._changed:
            self._reserved -= reserved
            self._running -= 1
            if not self._running:
                self._reserved = 0.0  # sums of floats leave crumbs
            if used is None:
                self.failed += 1
            else:
                read, written, told = used
                self.calls += 1
                self.read += read
                self.written += written
                self.estimated += not told
            self._changed.notify_all()

    def replay(self) -> None:
        """A call that an earlier attempt has made, and paid for, was used again."""
        with self._changed:
            self.replayed += 1

    def to_json(self) -> dict[str, Any]:
        return {
            "made": self.calls, "replayed": self.replayed, "failed": self.failed, "prompt_tokens": self.read,
            "completion_tokens": self.written, "without_usage": self.estimated, "cost": round(self.cost, 6),
            "budget": self.budget, "budget_reached": self.exhausted,
        }  # fmt: skip
