"""One synthesis from options to files: what would be sent and where to, the work, and the closing words."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import typer

from affinage.cli.output import Screen
from affinage.cli.synthesis_words import Report, advice, judged, last_line, progress
from affinage.cli.teachers import Teacher, find_teacher
from affinage.errors import InputError
from affinage.generation.remote import ChatSettings
from affinage.synthesis.costs import Meter, Prices
from affinage.synthesis.estimate import estimate
from affinage.synthesis.filters import Contamination, Duplicates, Index
from affinage.synthesis.judge import Judge
from affinage.synthesis.methods import METHODS, UNBOUNDED, MethodSettings, choose_method, make_method
from affinage.synthesis.outputs import Outputs
from affinage.synthesis.passages import Passage, cut
from affinage.synthesis.seeds import Material, cleaned, read_material

if TYPE_CHECKING:
    from affinage.generation.remote import Generator
    from affinage.synthesis.asking import Asker
    from affinage.synthesis.run import Result, Synthesis

USUAL = 100  # rows of a method that knows no end


class Job:
    """Options, checked and with their material read; nothing is sent before `run`.

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
        self.redacted: Counter[str] = Counter()
        self.material = self._read()
        self.passages, self.short = self._cut()
        self.name = choose_method(chosen.method, seeds=bool(self.material.seeds))
        self.judge = Judge(chosen.max_tokens)
        self.method = make_method(
            self.name, self._settings(), self.judge, seeds=self.material.seeds, passages=self.passages
        )
        self.wanted = chosen.count or (USUAL if self.name in UNBOUNDED else None)
        index = _index(chosen.near_duplicates, chosen.similarity)
        self.index = index if self.method.heuristics else None
        self.contamination = _contamination(chosen.decontaminate)
        filtering = self.judge if chosen.judge_threshold else None
        self.estimate = estimate(self.method, self.wanted, self.prices, filtering)

    def _read(self) -> Material:
        from affinage.recipe import parse_overrides

        columns = parse_overrides(self.options.column) if self.options.column else {}
        material = read_material(self.options.data, {role: str(name) for role, name in columns.items()})
        if self.options.redact:
            material, self.redacted = cleaned(material)
        return material

    def _cut(self) -> tuple[list[Passage], int]:
        if self.material.seeds:
            return [], 0
        found, short = cut(self.material.readings, self.options.passage_size)
        if not found:
            raise InputError(
                f"{self.options.data[0]}: no passage of 200 characters or more to ask about",
                fix="name longer documents",
            )
        return found, short

    def _settings(self) -> MethodSettings:
        chosen = self.options
        usual = 1.0 if chosen.method == "preferences" else 0.7
        warmth = usual if chosen.temperature is None else chosen.temperature
        return MethodSettings(
            seed=chosen.seed, settings=ChatSettings(max_tokens=chosen.max_tokens, temperature=warmth),
            per_passage=chosen.per_passage, with_passage=chosen.with_passage, generations=chosen.generations,
            answers=chosen.answers, rounds=chosen.rounds, principles=chosen.principles, pairs=chosen.pairs,
        )  # fmt: skip

    @property
    def leaving(self) -> str:
        """`12 documents in 34 passages (81,000 characters)`: all that could be sent."""
        seeds, texts = self.material.seeds, len(self.material.readings)
        if seeds:
            size = sum(len(turn.content) for seed in seeds for turn in seed.turns) + sum(len(s.output) for s in seeds)
            return f"{len(seeds):,} rows ({size:,} characters)"
        size = sum(len(passage.text) for passage in self.passages)
        return f"{texts:,} document{'s' * (texts != 1)} in {len(self.passages):,} passages ({size:,} characters)"

    def describe(self, screen: Screen) -> None:
        """The plan."""
        guess = self.estimate
        calls = " + ".join(f"{count:,} {_short(name)}" for name, count in guess.calls.items())
        left = ", ".join(f"{reason} {count:,}" for reason, count in self.material.drops)
        rows = [
            ("material", self.leaving + (f"; left out: {left}" if left else "")),
            ("method", f"{self.name}: {METHODS[self.name][1]}"),
            ("teacher", self.teacher.words),
            ("judge", self.options.judge_model or ("the teacher" if self._judges else "none")),
            ("rows", f"{guess.rows:,} at most" if self.wanted is None else f"{guess.rows:,} wanted"),
            ("calls", f"{sum(guess.calls.values()):,} if every candidate is kept: {calls}"),
            ("tokens", f"about {guess.read:,} read, at most {guess.most_written:,} written"),
        ]
        if self.options.price_in is not None:
            limit = f"; budget {self.options.budget:,.2f}" if self.options.budget is not None else ""
            rows.append(("cost", f"about {guess.cost:,.2f} at most{limit}"))
        if self.short:
            rows.append(("left out", f"{self.short:,} pieces of text shorter than 200 characters"))
        if self.options.redact:
            found = ", ".join(f"{kind} {count:,}" for kind, count in self.redacted.most_common())
            rows.append(("redacted", found or "nothing found"))
        rows.append(("filters", self._filters()))
        rows.append(("leaves", "nothing: the teacher is on this machine" if self.teacher.here else self._leaves()))
        screen.pairs(rows)
        for note in self.material.notes:
            screen.say(f"  note: {note}")

    @property
    def _judges(self) -> bool:
        return bool(self.options.judge_threshold) or self.name in ("preferences", "evolve")

    def _leaves(self) -> str:
        assert self.teacher.endpoint is not None
        safe = "" if self.teacher.endpoint.encrypted else ", not encrypted"
        return f"up to {self.leaving} to {self.teacher.endpoint.host}{safe}"

    def _filters(self) -> str:
        chosen = self.options
        names = ["format", *(["quote"] if self.name == "qa" else [])]
        names += ["heuristics"] if self.method.heuristics else []
        near = {"rouge": "ROUGE-L", "minhash": "Jaccard"}[chosen.near_duplicates] if self.index else ""
        names += ["duplicates", *([f"near duplicates ({near} above {chosen.similarity:g})"] if near else [])]
        names += [f"overlap with {', '.join(map(str, chosen.decontaminate))}"] if chosen.decontaminate else []
        names += [f"judge (at least {chosen.judge_threshold} of 10)"] if chosen.judge_threshold else []
        return ", ".join(names)

    def plan(self) -> dict[str, Any]:
        """The plan for programs."""
        endpoint = self.teacher.endpoint
        return {
            "method": self.name, "teacher": self.teacher.name, "model": self.teacher.model,
            "host": None if endpoint is None else endpoint.host, "leaves_this_machine": not self.teacher.here,
            "rows": len(self.material.seeds), "documents": len(self.material.readings), "passages": len(self.passages),
            **{"estimate": self.estimate.to_json(), "redacted": dict(self.redacted)},
        }  # fmt: skip

    def show_example(self, screen: Screen) -> None:
        """One prompt as it would be sent."""
        screen.say(f"\nThe first prompt ({self.estimate.example}):\n")
        for turn in self.estimate.messages:
            screen.say(f"[{turn.role}]\n{turn.content}\n")
        screen.say("Nothing was sent.")

    def confirm(self, *, yes: bool) -> None:
        """Ask before anything leaves this machine.

        Raises:
            InputError: nobody can be asked and `--yes` was not given.
        """
        if yes or self.teacher.here:
            return
        if not on_terminal():
            raise InputError(
                f"this would send {self._leaves()}, and there is no terminal to ask on",
                fix="agree with --yes, look first with --dry-run, or take secrets out with --redact",
            )
        typer.confirm(f"Send {self._leaves()}?", abort=True, err=True)

    def run(self) -> Report:
        """Do the work and write the files."""
        from affinage.synthesis.asking import Asker
        from affinage.synthesis.journal import Journal
        from affinage.synthesis.run import Synthesis

        chosen = self.options
        journal = Journal(self.outputs.journal)
        try:
            generator = self.teacher.open(
                retries=chosen.retries, timeout=chosen.timeout, device=chosen.device, threads=chosen.threads
            )
            meter = Meter(self.prices, chosen.budget, journal.used())
            asker = Asker(generator, journal, meter, judge=chosen.judge_model, seed=chosen.seed, stop=self.teacher.stop)
            if journal.found:
                _note(f"going on: {journal.found:,} calls are answered already, in {journal.path}")
            synthesis = Synthesis(
                self.method, asker, Duplicates(self.index, self.method.known), wanted=self.wanted,
                workers=chosen.concurrency, contamination=self.contamination,
                judge=self.judge if chosen.judge_threshold else None, threshold=chosen.judge_threshold,
            )  # fmt: skip
            with progress(meter, self.estimate.rows) as synthesis.progress:
                result = _finished(synthesis, journal.path)
            return self._report(result, asker, generator)
        finally:
            journal.close()

    def _report(self, result: Result, asker: Asker, generator: Generator) -> Report:
        ledger = {
            "method": self.name, "teacher": self.teacher.name, "model": generator.model,
            "judge_model": self.options.judge_model or (generator.model if self._judges else None),
            "seed": self.options.seed, "wanted": self.wanted, "ended": result.ended, **result.ledger.to_json(),
            "calls": asker.meter.to_json(), "retries": getattr(generator, "retried", 0),
            "settings_left_out": sorted(getattr(generator, "left_out", ())),
            "judge": self.judge.tally.to_json() if self.judge.tally.compared else None,
            "redacted": dict(self.redacted), "material": {
                "rows": len(self.material.seeds), "documents": len(self.material.readings),
                "passages": len(self.passages), "short_pieces": self.short, "dropped": dict(self.material.drops),
            },
        }  # fmt: skip
        self.outputs.write(result.rows, ledger)
        priced = self.options.price_in is not None
        where = self.outputs.rows if result.rows else self.outputs.ledger
        last = last_line(result, asker.meter, self.wanted, where, priced=priced)
        lines = [*result.ledger.lines(), *judged(self.judge.tally), *self._left_out(ledger), last]
        return Report(
            self.outputs.rows,
            len(result.rows),
            result.ledger.generated,
            lines,
            advice(result, self.outputs.ledger),
            ledger,
        )

    def _left_out(self, ledger: dict[str, Any]) -> list[str]:
        names = ledger["settings_left_out"]
        return [f"the model does not take {', '.join(names)}: not sent"] if names else []


def on_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _finished(synthesis: Synthesis, journal: Path) -> Result:
    try:
        return synthesis.run()
    except KeyboardInterrupt:
        _note(f"stopped; what was answered is in {journal}: the same command goes on there")
        raise


def _prices(chosen: SimpleNamespace) -> Prices:
    if (chosen.price_in is None) != (chosen.price_out is None):
        raise InputError("a price needs both --price-in and --price-out", fix="0 is a price too")
    if chosen.budget is not None and chosen.price_in is None:
        raise InputError("--budget needs prices", fix="give --price-in and --price-out, per million tokens")
    return Prices(chosen.price_in or 0.0, chosen.price_out or 0.0)


def _index(kind: str, similarity: float) -> Index | None:
    if kind == "off":
        return None
    if kind == "minhash":
        from affinage.data.duplicates.near_duplicates import NearIndex

        return NearIndex(similarity)
    if kind != "rouge":
        raise InputError(f"--near-duplicates {kind}", fix="one of rouge, minhash, off")
    from affinage.synthesis.rouge import RougeIndex

    return RougeIndex(similarity)


def _contamination(files: list[Path] | None) -> Contamination | None:
    if not files:
        return None
    from affinage.synthesis.contamination import Benchmarks

    return Benchmarks(files)


def _short(prompt: str) -> str:
    """`pairs` of `qa/pairs/1`, `judge score` of what a judge is asked."""
    method, name, *_ = prompt.split("/")
    return f"judge {name}" if method == "judge" else name


def _note(text: str) -> None:
    print(text, file=sys.stderr)
