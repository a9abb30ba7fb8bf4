"""What a job would ask for, before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from affinage.data.records import Message
from affinage.synthesis.costs import Prices, about_tokens
from affinage.synthesis.judge import SCORE, Judge, ask_score
from affinage.synthesis.method import Forecast, Method, user


@dataclass(frozen=True, slots=True)
class Estimate:
    """Calls, tokens and cost of a job in which every candidate is kept; what is dropped comes on top.

    Attributes:
        read: tokens of the prompts, guessed from examples at four bytes each.
        most_written: every answer as long as it may be.
    """

    rows: int
    calls: dict[str, int]
    read: int
    most_written: int
    cost: float
    example: str
    messages: tuple[Message, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows, "calls": self.calls, "prompt_tokens_about": self.read,
            "completion_tokens_at_most": self.most_written, "cost_about_at_most": round(self.cost, 4),
            "example": {"prompt": self.example, "messages": [[m.role, m.content] for m in self.messages]},
        }  # fmt: skip


def estimate(method: Method, wanted: int | None, prices: Prices, judge: Judge | None = None) -> Estimate:
    """The job as the method foresees it; `judge`: whole rows are scored as well."""
    most = method.forecast(1).most
    rows = min(number for number in (wanted, most) if number is not None)
    forecast: Forecast = method.forecast(rows)
    calls, examples, settings = dict(forecast.calls), dict(forecast.messages), dict(forecast.settings)
    first = next(iter(calls))
    if judge is not None:
        said = examples[first][-1].content
        name = f"{SCORE} (filter)"
        calls[name], examples[name], settings[name] = rows, user(ask_score(said, said)), judge.settings
    read = sum(count * about_tokens(examples[name]) for name, count in calls.items())
    written = sum(count * settings[name].max_tokens for name, count in calls.items())
    return Estimate(rows, calls, read, written, prices.cost(read, written), first, examples[first])
