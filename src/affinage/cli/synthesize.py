"""`affinage synthesize`: instruction data from another model, with a ledger, a budget and a journal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from affinage.cli.output import Json, Screen, print_json
from affinage.errors import RunError


def synthesize(
    data: Annotated[list[str], typer.Argument(help="Documents, or instructions: files, folders, `hub:owner/name`.")],
    teacher: Annotated[str, typer.Option(metavar="URL|RUN", help="An OpenAI-compatible endpoint, or a run or model.")],
    out: Annotated[Path, typer.Option(help="The rows, FILE.jsonl; ledger and journal are written beside it.")],
    teacher_model: Annotated[str | None, typer.Option(help="The endpoint's model. Unset: the only one it has.")] = None,
    key_env: Annotated[
        str | None,
        typer.Option(
            help="Environment variable that holds the key. Unset: OPENAI_API_KEY, sent by https to other machines only."
        ),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="qa, self-instruct, evolve, preferences or critique. Unset: by the data.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Rows wanted. Unset: all (self-instruct: 100).")] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="ROLE=NAME", help="Which column holds what, such as text=body.")
    ] = None,
    per_passage: Annotated[int, typer.Option(min=1, max=20, help="qa: questions about each passage.")] = 3,
    passage_size: Annotated[int, typer.Option(min=400, help="qa: most characters of a passage.")] = 2400,
    with_passage: Annotated[
        bool, typer.Option("--with-passage", help="qa: put the passage into the row's input.")
    ] = False,
    generations: Annotated[int, typer.Option(min=1, help="evolve: times that an instruction is evolved.")] = 3,
    answers: Annotated[int, typer.Option(min=2, max=16, help="preferences: answers to each prompt.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="critique: rounds of critique and revision.")] = 2,
    principles: Annotated[Path | None, typer.Option(help="critique: a file with one principle a line.")] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="critique: rows prefer the revision to the draft.")] = False,
    judge_model: Annotated[
        str | None, typer.Option(help="The endpoint's model that judges. Unset: the teacher.")
    ] = None,
    judge_threshold: Annotated[
        int | None, typer.Option(min=1, max=10, help="Drop rows that the judge gives less, of 10.")
    ] = None,
    near_duplicates: Annotated[
        str, typer.Option(help="How near duplicates are found: rouge (ROUGE-L), minhash (Jaccard) or off.")
    ] = "rouge",
    similarity: Annotated[float, typer.Option(min=0.1, max=1.0, help="From which similarity on texts are near.")] = 0.7,
    decontaminate: Annotated[
        list[Path] | None, typer.Option(help="Drop rows that overlap with this benchmark file; may be given again.")
    ] = None,
    redact: Annotated[
        bool, typer.Option("--redact", help="Put placeholders for secrets and personal data before anything is sent.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before data leave for another machine.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show plan, calls, cost and a prompt; send nothing.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.jsonl; its journal is used.")] = False,
    temperature: Annotated[
        float | None, typer.Option(min=0.0, max=2.0, help="Of writing. Unset: 0.7 (preferences: 1). Judges: 0.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of one answer.")] = 1024,
    seed: Annotated[int, typer.Option(min=0, help="Of every draw, and of every request's own seed.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Calls that run at once.")] = 8,
    retries: Annotated[int, typer.Option(min=0, help="Further tries of a call that fails.")] = 6,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for one answer.")] = 120.0,
    price_in: Annotated[
        float | None, typer.Option(min=0.0, help="Price of a million tokens read (the dearer model's, if two).")
    ] = None,
    price_out: Annotated[float | None, typer.Option(min=0.0, help="Price of a million tokens written.")] = None,
    budget: Annotated[
        float | None, typer.Option(min=0.0, help="Stop before all calls together cost more than this.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps, for a teacher on this machine.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads, likewise.")] = None,
    as_json: Json = False,
) -> None:
    """Make instruction data with another model. A job that was stopped goes on with the same command, nothing paid twice."""
    options = dict(locals())
    from affinage.cli.synthesis_job import Job

    job = Job(options)
    screen = Screen(as_json=as_json)
    job.describe(screen)
    if dry_run:
        job.show_example(screen)
        if as_json:
            print_json({"dry_run": True, **job.plan()})
        return
    job.confirm(yes=yes)
    report = job.run()
    screen.say()
    for line in report.lines:
        screen.say(line)
    if not report.rows:
        raise RunError(f"no row was kept of {report.generated:,} candidates", fix=report.advice)
    if as_json:
        print_json(report.to_json())
