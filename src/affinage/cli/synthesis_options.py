"""The options of `affinage synthesize`, in the order of its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[list[str], typer.Argument(help="Documents, or instructions: files, folders, `hub:owner/name`.")]
Teacher = Annotated[str, typer.Option(metavar="URL|RUN", help="An OpenAI-compatible endpoint, or a run or model.")]
Out = Annotated[Path, typer.Option(help="The rows, FILE.jsonl; ledger and journal are written beside it.")]
TeacherModel = Annotated[str | None, typer.Option(help="The endpoint's model. Unset: the only one it has.")]
KeyEnv = Annotated[
    str | None,
    typer.Option(
        help="Environment variable that holds the key. Unset: OPENAI_API_KEY, sent by https to other machines only."
    ),
]
Method = Annotated[
    str | None, typer.Option(help="qa, self-instruct, evolve, preferences or critique. Unset: by the data.")
]
Count = Annotated[int | None, typer.Option(min=1, help="Rows wanted. Unset: all (self-instruct: 100).")]
PerPassage = Annotated[int, typer.Option(min=1, max=20, help="qa: questions about each passage.")]
PassageSize = Annotated[int, typer.Option(min=400, help="qa: most characters of a passage.")]
WithPassage = Annotated[bool, typer.Option("--with-passage", help="qa: put the passage into the row's input.")]
Generations = Annotated[int, typer.Option(min=1, help="evolve: times that an instruction is evolved.")]
Answers = Annotated[int, typer.Option(min=2, max=16, help="preferences: answers to each prompt.")]
Rounds = Annotated[int, typer.Option(min=1, help="critique: rounds of critique and revision.")]
Principles = Annotated[Path | None, typer.Option(help="critique: a file with one principle a line.")]
Pairs = Annotated[bool, typer.Option("--pairs", help="critique: rows prefer the revision to the draft.")]
JudgeModel = Annotated[str | None, typer.Option(help="The endpoint's model that judges. Unset: the teacher.")]
JudgeThreshold = Annotated[int | None, typer.Option(min=1, max=10, help="Drop rows that the judge gives less, of 10.")]
NearDuplicates = Annotated[
    str, typer.Option(help="How near duplicates are found: rouge (ROUGE-L), minhash (Jaccard) or off.")
]
Similarity = Annotated[float, typer.Option(min=0.1, max=1.0, help="From which similarity on texts are near.")]
Decontaminate = Annotated[
    list[Path] | None, typer.Option(help="Drop rows that overlap with this benchmark file; may be given again.")
]
Redact = Annotated[
    bool, typer.Option("--redact", help="Put placeholders for secrets and personal data before anything is sent.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before data leave for another machine.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show plan, calls, cost and a prompt; send nothing.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace FILE.jsonl; its journal is used.")]
Temperature = Annotated[
    float | None, typer.Option(min=0.0, max=2.0, help="Of writing. Unset: 0.7 (preferences: 1). Judges: 0.")
]
MaxTokens = Annotated[int, typer.Option(min=1, help="Most tokens of one answer.")]
Seed = Annotated[int, typer.Option(min=0, help="Of every draw, and of every request's own seed.")]
Concurrency = Annotated[int, typer.Option(min=1, max=256, help="Calls that run at once.")]
Retries = Annotated[int, typer.Option(min=0, help="Further tries of a call that fails.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for one answer.")]
PriceIn = Annotated[
    float | None, typer.Option(min=0.0, help="Price of a million tokens read (the dearer model's, if two).")
]
PriceOut = Annotated[float | None, typer.Option(min=0.0, help="Price of a million tokens written.")]
Budget = Annotated[float | None, typer.Option(min=0.0, help="Stop before all calls together cost more than this.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps, for a teacher on this machine.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads, likewise.")]
