"""What a synthesis would do: the options of the command line, checked, with everything that they name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from affinage.cli.synthesis_filters import Filters
from affinage.cli.synthesis_material import Given, read_given
from affinage.cli.teachers import Teacher, find_teacher
from affinage.errors import InputError
from affinage.generation.chats import ChatSettings
from affinage.synthesis.costs import Prices
from affinage.synthesis.estimate import estimate
from affinage.synthesis.judge import Judge
from affinage.synthesis.methods import UNBOUNDED, MethodSettings, choose_method, make_method
from affinage.synthesis.outputs import Outputs

USUAL = 100  # rows of a method that knows no end


class SynthesisPlan:
    """Options, checked and with their material read; nothing is sent here.

    Raises:
        InputError: an option or the data are wrong.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = chosen = SimpleNamespace(**options)
        self.outputs = Outputs(chosen.out, overwrite=chosen.overwrite or chosen.dry_run)
        self.prices = _prices(chosen)
        self.teacher: Teacher = find_teacher(chosen.teacher, chosen.teacher_model, chosen.key_env)
        if chosen.judge_model and self.teacher.endpoint is None:
            raise InputError("--judge-model is for endpoints", fix="leave it out: the teacher judges")
        self.given: Given = read_given(
            chosen.data, chosen.column, passage_size=chosen.passage_size, redact=chosen.redact
        )
        name = choose_method(chosen.method, seeds=bool(self.given.material.seeds))
        self.judge = Judge(chosen.max_tokens)
        self.method = make_method(
            name, _settings(chosen), self.judge, seeds=self.given.material.seeds, passages=self.given.passages
        )
        self.wanted: int | None = chosen.count or (USUAL if name in UNBOUNDED else None)
        self.filters = Filters(
            chosen.near_duplicates, chosen.similarity, chosen.decontaminate or (), chosen.judge_threshold
        )
        self.index = self.filters.index(self.method)
        self.contamination = self.filters.contamination()
        self.scorer = self.judge if chosen.judge_threshold else None  # looks at whole rows
        self.estimate = estimate(self.method, self.wanted, self.prices, self.scorer)

    @property
    def judged(self) -> bool:
        """Whether a judge is asked anything."""
        return self.scorer is not None or self.method.name in ("preferences", "evolve")

    @property
    def leaving(self) -> str:
        """What would leave this machine, and where to."""
        assert self.teacher.endpoint is not None
        safe = "" if self.teacher.endpoint.encrypted else ", not encrypted"
        return f"up to {self.given.words} to {self.teacher.endpoint.host}{safe}"

    def to_json(self) -> dict[str, Any]:
        endpoint = self.teacher.endpoint
        return {
            "method": self.method.name, "teacher": self.teacher.name, "model": self.teacher.model,
            "host": None if endpoint is None else endpoint.host, "leaves_this_machine": not self.teacher.here,
            **self.given.counts(), "estimate": self.estimate.to_json(), "redacted": dict(self.given.redacted),
        }  # fmt: skip


def _prices(chosen: SimpleNamespace) -> Prices:
    if (chosen.price_in is None) != (chosen.price_out is None):
        raise InputError("a price needs both --price-in and --price-out", fix="0 is a price too")
    if chosen.budget is not None and chosen.price_in is None:
        raise InputError("--budget needs prices", fix="give --price-in and --price-out, per million tokens")
    return Prices(chosen.price_in or 0.0, chosen.price_out or 0.0)


def _settings(chosen: SimpleNamespace) -> MethodSettings:
    usual = 1.0 if chosen.method == "preferences" else 0.7
    warmth = usual if chosen.temperature is None else chosen.temperature
    return MethodSettings(
        seed=chosen.seed, settings=ChatSettings(max_tokens=chosen.max_tokens, temperature=warmth),
        per_passage=chosen.per_passage, with_passage=chosen.with_passage, generations=chosen.generations,
        answers=chosen.answers, rounds=chosen.rounds, principles=chosen.principles, pairs=chosen.pairs,
    )  # fmt: skip
