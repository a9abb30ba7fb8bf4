"""A synthesis that was agreed to: the work, its files and the closing words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from affinage.cli.synthesis_plan import SynthesisPlan
from affinage.cli.synthesis_words import Report, advice, judged, last_line, progress
from affinage.generation.chats import Generator
from affinage.synthesis.asking import Asker
from affinage.synthesis.costs import Meter
from affinage.synthesis.filters import Duplicates
from affinage.synthesis.journal import Journal
from affinage.synthesis.run import Result, Synthesis


def carry_out(plan: SynthesisPlan) -> Report:
    """Do the work and write the files; errors as `Synthesis.run`."""
    journal = Journal(plan.outputs.journal)
    try:
        return _worked(plan, journal)
    finally:
        journal.close()


def _worked(plan: SynthesisPlan, journal: Journal) -> Report:
    chosen = plan.options
    generator = plan.teacher.open(
        retries=chosen.retries, timeout=chosen.timeout, device=chosen.device, threads=chosen.threads
    )
    meter = Meter(plan.prices, chosen.budget, journal.used())
    asker = Asker(generator, journal, meter, judge=chosen.judge_model, seed=chosen.seed, stop=plan.teacher.stop)
    if journal.found:
        _note(f"going on: {journal.found:,} calls are answered already, in {journal.path}")
    synthesis = Synthesis(
        plan.method, asker, Duplicates(plan.index, plan.method.known), wanted=plan.wanted, workers=chosen.concurrency,
        contamination=plan.contamination, judge=plan.scorer, threshold=chosen.judge_threshold,
    )  # fmt: skip
    with progress(meter, plan.estimate.rows) as synthesis.progress:
        result = _finished(synthesis, journal.path)
    return _report(plan, result, meter, generator)


def _report(plan: SynthesisPlan, result: Result, meter: Meter, generator: Generator) -> Report:
    ledger = _ledger(plan, result, meter, generator)
    plan.outputs.write(result.rows, ledger)
    where = plan.outputs.rows if result.rows else plan.outputs.ledger
    left_out = ", ".join(ledger["settings_left_out"])
    lines = [
        *result.ledger.lines(),
        *judged(plan.judge.tally),
        *([f"the model does not take {left_out}: not sent"] if left_out else []),
        last_line(result, meter, plan.wanted, where, priced=plan.options.price_in is not None),
    ]
    hint = advice(result, plan.outputs.ledger)
    return Report(plan.outputs.rows, len(result.rows), result.ledger.generated, lines, hint, ledger)


def _ledger(plan: SynthesisPlan, result: Result, meter: Meter, generator: Generator) -> dict[str, Any]:
    given, tally = plan.given, plan.judge.tally
    return {
        "method": plan.method.name, "teacher": plan.teacher.name, "model": generator.model,
        "judge_model": plan.options.judge_model or (generator.model if plan.judged else None),
        "seed": plan.options.seed, "wanted": plan.wanted, "ended": result.ended, **result.ledger.to_json(),
        "calls": meter.to_json(), "retries": generator.retried, "settings_left_out": sorted(generator.left_out),
        "judge": tally.to_json() if tally.compared else None, "redacted": dict(given.redacted),
        "material": {**given.counts(), "short_pieces": given.short, "dropped": dict(given.material.drops)},
    }  # fmt: skip


def _finished(synthesis: Synthesis, journal: Path) -> Result:
    try:
        return synthesis.run()
    except KeyboardInterrupt:
        _note(f"stopped; what was answered is in {journal}: the same command goes on there")
        raise


def _note(text: str) -> None:
    print(text, file=sys.stderr)
