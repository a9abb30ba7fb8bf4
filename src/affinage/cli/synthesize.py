"""`affinage synthesize`: instruction data from another model, with a ledger, a budget and a journal."""

from __future__ import annotations

from typing import Any

from affinage.cli import synthesis_options as opt
from affinage.cli.options import Column
from affinage.cli.output import Json, Screen, print_json
from affinage.errors import RunError


def synthesize(
    data: opt.Data,
    teacher: opt.Teacher,
    out: opt.Out,
    teacher_model: opt.TeacherModel = None,
    key_env: opt.KeyEnv = None,
    method: opt.Method = None,
    count: opt.Count = None,
    column: Column = None,
    per_passage: opt.PerPassage = 3,
    passage_size: opt.PassageSize = 2400,
    with_passage: opt.WithPassage = False,
    generations: opt.Generations = 3,
    answers: opt.Answers = 4,
    rounds: opt.Rounds = 2,
    principles: opt.Principles = None,
    pairs: opt.Pairs = False,
    judge_model: opt.JudgeModel = None,
    judge_threshold: opt.JudgeThreshold = None,
    near_duplicates: opt.NearDuplicates = "rouge",
    similarity: opt.Similarity = 0.7,
    decontaminate: opt.Decontaminate = None,
    redact: opt.Redact = False,
    yes: opt.Yes = False,
    dry_run: opt.DryRun = False,
    overwrite: opt.Overwrite = False,
    temperature: opt.Temperature = None,
    max_tokens: opt.MaxTokens = 1024,
    seed: opt.Seed = 0,
    concurrency: opt.Concurrency = 8,
    retries: opt.Retries = 6,
    timeout: opt.Timeout = 120.0,
    price_in: opt.PriceIn = None,
    price_out: opt.PriceOut = None,
    budget: opt.Budget = None,
    device: opt.Device = None,
    threads: opt.Threads = None,
    as_json: Json = False,
) -> None:
    """Make instruction data with another model. A job that was stopped goes on with the same command, nothing paid twice."""
    _synthesize(dict(locals()))


def _synthesize(options: dict[str, Any]) -> None:
    from affinage.cli.synthesis_plan import SynthesisPlan
    from affinage.cli.synthesis_preview import confirm, describe, show_example

    plan = SynthesisPlan(options)
    screen = Screen(as_json=options["as_json"])
    describe(plan, screen)
    if options["dry_run"]:
        show_example(plan, screen)
        if options["as_json"]:
            print_json({"dry_run": True, **plan.to_json()})
        return
    confirm(plan, yes=options["yes"])
    from affinage.cli.synthesis_job import carry_out

    report = carry_out(plan)
    screen.say()
    for line in report.lines:
        screen.say(line)
    if not report.rows:
        raise RunError(f"no row was kept of {report.generated:,} candidates", fix=report.advice)
    if options["as_json"]:
        print_json(report.to_json())
