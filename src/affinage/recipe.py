"""The recipe: every setting of one run, declared once. The command line, the docs and the checks derive from here.

Unset values (`None`) are derived by `affinage.planning` and printed in the plan, each with its reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from affinage.errors import InputError, nearest

OBJECTIVES = ("pretrain", "sft", "classify", "dpo", "reward")
ObjectiveName = Literal["pretrain", "sft", "classify", "dpo", "reward"]


class Settings(BaseModel):
    """Strict and immutable: an unknown key or a wrong type is refused with its path."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def setting(default: Any, text: str, *, public: bool = True, **limits: Any) -> Any:
    """A field with its help text. `public`: requests over HTTP may set it (no paths, nothing that runs code)."""
    return Field(default, description=text, json_schema_extra={"public": public}, **limits)


class HeadSettings(Settings):
    """The stack of dense layers that `classify` puts on the model's encodings."""

    depth: int = setting(1, "Dense layers in the head; 1 is a linear classifier.", ge=1, le=8)
    width: int = setting(256, "Units of each hidden layer (used when depth is 2 or more).", ge=1, le=16384)
    dropout: float = setting(0.0, "Dropout before each dense layer.", ge=0.0, lt=1.0)
    pooling: Literal["mean", "last", "first", "max"] | None = setting(
        None, "How a text's token encodings become one vector. Derived: mean."
    )
    layer: int | None = setting(
        None,
        "Which block's encodings feed the head: 0 the embeddings, -1 the last block. Derived: the best of a few on "
        "validation rows, while the model is frozen; else the last.",
    )
    task: Literal["single", "multi", "number"] | None = setting(
        None, "What a row's label is: one of the labels, any of them, or a number. Derived from the labels."
    )
    calibrate: bool = setting(
        True, "Fit temperature, thresholds and intervals on validation rows, so that answers mean what they say."
    )


class DPOSettings(Settings):
    """Settings of direct preference optimisation."""

    beta: float = setting(
        0.1, "How dearly the model pays for leaving what it was before: smaller values let it go further.", gt=0
    )
    label_smoothing: float = setting(
        0.0, "Share of the comparisons that are taken to stand the wrong way round.", ge=0, lt=0.5
    )


class Recipe(Settings):
    """One run. Keys that people meet first stand first."""

    model: str = setting(
        "tiny", "Model folder, hub name, a previous run's folder, or the bundled `tiny`.", public=False
    )
    data: tuple[str, ...] = setting((), "Files, folders or `hub:owner/name` to learn from.", public=False)
    objective: ObjectiveName | None = setting(
        None, "What is asked of the data: pretrain, sft, classify, dpo or reward. Derived from the data's kind."
    )
    train: str | None = setting(
        None, "Which weights may move: head, last:N, full, lora, or any adapter method by name. Derived."
    )
    out: Path | None = setting(None, "The run's folder. Derived: runs/<objective>-<data>-<number>.", public=False)
    epochs: float | None = setting(
        None, "Passes over the training rows, a ceiling: the best pass is kept. Derived.", gt=0
    )
    steps: int | None = setting(None, "Optimizer steps, instead of epochs.", gt=0)
    learning_rate: float | None = setting(
        None, "Peak learning rate. Derived from the trainable, width and steps.", gt=0
    )
    batch_tokens: int | None = setting(None, "Tokens (padding counted) in one optimizer step. Derived.", gt=0)
    micro_tokens: int | None = setting(
        None, "Tokens (padding counted) in one forward pass; a step is split to fit. Derived.", gt=0
    )
    context: int | None = setting(None, "Longest row in tokens. Derived: the model's own limit.", gt=1)
    too_long: Literal["error", "truncate", "drop"] = setting(
        "error", "A row longer than the context: error, truncate (counted) or drop (counted). Raw text is always split."
    )
    rank: int | None = setting(None, "Rank of a low-rank adapter. Derived: 16 (or the method's own default).", gt=0)
    alpha: float | None = setting(None, "Scale of a low-rank adapter. Derived: twice the rank.", gt=0)
    targets: tuple[str, ...] | None = setting(
        None, "Names (or endings) of the modules that an adapter changes. Derived: every linear layer of the blocks."
    )
    adapter: dict[str, Any] = setting({}, "Further options of the adapter library's method, passed on by name.")
    layers: str | None = setting(None, "Narrow any trainable to some blocks, such as `0-3` or `2,5`.")
    held_out: float | None = setting(
        None, "Rows kept for the reported figure: a share below 1, or a number of rows. Derived.", ge=0
    )
    validation: float | None = setting(
        None, "Rows kept for choosing the best checkpoint: a share below 1, or a number of rows. Derived.", ge=0
    )
    folds: int | None = setting(
        None,
        "Cross-validate the reported figure over this many folds (1: no). Derived: 5 when rows are few.",
        ge=1,
        le=20,
    )
    seed: int = setting(0, "Seed of every random choice.", ge=0)
    system_prompt: str | None = setting(None, "A system turn put before each chat that has none.")
    learn_from: str = setting(
        "completions",
        "Which turns of a chat are learned from: completions (every assistant turn), last (the last of them), all, or "
        "roles such as `assistant,tool`. A turn's own `weight` goes first.",
        pattern=r"^(completions|last|all|(system|user|assistant|tool)(,(system|user|assistant|tool))*)$",
    )
    columns: dict[str, str] = setting(
        {},
        "Which column holds what, when the layout is not recognised: text, label(s), prompt, response, reference, "
        "messages, system, tools, chosen, rejected, completions, ranks, score, winner, margin, confidence, query, "
        "passage, negatives. `group` (rows of one group stay on one side of the split) and `time` (the latest rows are "
        "held out) are added to what is recognised.",
    )
    label_separator: str | None = setting(
        None, "What stands between several labels in one cell, such as `;`. Lists need none.", min_length=1
    )
    mix: tuple[float, ...] = setting(
        (), "Weights of the sources, in `data`'s order: each one's share of the training tokens. Derived: as they come."
    )
    stream: bool | None = setting(
        None, "Read the data while training, without holding them in memory. Derived: yes for very large files."
    )
    near_duplicates: Literal["join", "drop", "keep"] = setting(
        "join",
        "Rows that say nearly the same: join them on one side of the split, drop all but the first (counted), or keep.",
    )
    decontaminate: tuple[str, ...] = setting(
        (), "Benchmark files: rows that hold their texts are dropped and counted.", public=False
    )
    redact: bool = setting(
        False, "Put typed placeholders such as [EMAIL] in the place of personal data and secrets found by pattern."
    )
    bad_rows: Literal["error", "drop"] = setting("error", "A row that cannot be read: error, or drop and count it.")
    forgetting_budget: float | None = setting(
        None,
        "Bits per byte that the model may lose on general text: general text is replayed, and only checkpoints "
        "within the budget are kept.",
        ge=0,
    )
    replay: float | None = setting(
        None,
        "Share of the training tokens taken from general text, against forgetting. Derived: 0, or what the budget asks.",
        ge=0,
        lt=1,
    )
    replay_from: tuple[str, ...] = setting(
        (), "Files of general text to replay. Derived: a part of the bundled text that is never scored.", public=False
    )
    initialise: Literal["pretrained", "random"] = setting(
        "pretrained", "Start from the model's weights, or from random ones of the same shape."
    )
    optimizer: Literal["adamw", "muon"] = setting(
        "adamw", "adamw, or muon: orthogonalised momentum on the blocks' matrices, AdamW on the rest."
    )
    weight_decay: float = setting(0.0, "Weight decay on matrices.", ge=0)
    warmup: float = setting(0.05, "Share of the steps over which the learning rate rises.", ge=0, lt=1)
    schedule: Literal["cosine", "linear", "constant"] = setting("cosine", "How the learning rate falls afterwards.")
    final_rate: float = setting(0.1, "The last learning rate as a share of the peak.", ge=0, le=1)
    clip: float = setting(1.0, "Largest gradient norm; larger ones are scaled down. 0 switches it off.", ge=0)
    patience: int = setting(
        3, "Evaluations without a better validation score before stopping. 0 switches it off.", ge=0
    )
    evaluate_every: int | None = setting(
        None, "Steps between validation scores. Derived: each pass, at least 5 a run.", gt=0
    )
    checkpoint_every: int | None = setting(None, "Steps between checkpoints. Derived from the run's length.", gt=0)
    samples: int = setting(5, "Sample outputs before and after in the report.", ge=0, le=100)
    device: str | None = setting(None, "cpu, cuda or mps. Derived: the fastest here.", public=False)
    dtype: Literal["float32", "bfloat16", "float16"] | None = setting(
        None, "Numbers of the forward pass. Derived: float32 on a CPU, bfloat16 on a GPU."
    )
    threads: int | None = setting(None, "CPU threads. Derived: all.", gt=0, public=False)
    trust_remote_code: bool = setting(
        False, "Run code that comes with the model. Off unless you trust it.", public=False
    )
    head: HeadSettings = setting(HeadSettings(), "Settings of the classification head.")
    dpo: DPOSettings = setting(DPOSettings(), "Settings of direct preference optimisation.")

    @field_validator("data", "replay_from", "decontaminate", "mix", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | Path | float | int) else value


GROUPS: dict[str, type[Settings]] = {"head": HeadSettings, "dpo": DPOSettings}


def make_recipe(values: dict[str, Any], *, where: str = "recipe") -> Recipe:
    """Check `values` and build a recipe.

    Raises:
        InputError: an unknown key (with the nearest known one) or a wrong value, with its path.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise InputError(_explain(error, where), fix="`affinage recipe explain KEY` tells what a key does") from None


def load_recipe(path: Path) -> dict[str, Any]:
    """The keys that a YAML recipe sets.

    Raises:
        InputError: the file is missing, is not YAML or is not a mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the recipe {path}: {error.strerror}", fix="check the path") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: a recipe is a mapping of keys to values", fix="see `affinage recipe init DATA`")
    return values


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """`["rank=8", "head.depth=2"]` as nested values; the right-hand sides are read as YAML.

    Raises:
        InputError: a pair without `=`.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, raw = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--set {pair}: expected key=value", fix="for example --set rank=8")
        *groups, last = key.strip().split(".")
        inner = values
        for group in groups:
            inner = inner.setdefault(group, {})
            if not isinstance(inner, dict):
                raise InputError(f"--set {pair}: {group} is already set to {inner!r}", fix="set it once")
        inner[last] = _scalar(raw)
    return values


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, groups merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def dump_recipe(recipe: Recipe) -> str:
    """YAML of every key, in the order of declaration."""
    return str(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def _scalar(raw: str) -> Any:
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError:
        return raw
    if isinstance(value, str):
        try:  # YAML 1.1 reads 1e-4 as a string
            return float(value)
        except ValueError:
            return value
    return value


def _explain(error: ValidationError, where: str) -> str:
    lines = []
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            *group, key = map(str, problem["loc"])
            fields = (GROUPS[group[0]] if group else Recipe).model_fields
            lines.append(f"{where}: unknown key {path!r}.{nearest(key, fields)}")
        else:
            lines.append(f"{where}: {path} = {problem['input']!r}: {problem['msg'].lower()}")
    return "\n".join(lines)
