"""One run from end to end: prepare, score the untouched base, train, score again, save, explain."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

from affinage.data.ledger import write_dropped
from affinage.data.streams.stream import RowStream
from affinage.device import peak_memory, seed_everything
from affinage.errors import GateError, InputError, RunError
from affinage.evaluation.comparison import Evaluation
from affinage.files import clear_sides, is_empty, remove_folder, write_json
from affinage.inspection.findings import Findings
from affinage.models.adapted import AdaptedModel
from affinage.models.fingerprints import fingerprint
from affinage.models.loading import load_network
from affinage.models.saving import save_model
from affinage.models.trainables import mark
from affinage.planning.plan import duration
from affinage.products import use
from affinage.recipe import Recipe
from affinage.reports.words import savings, took_words
from affinage.runs import INTERRUPTED, Run, create_run, free_name, open_run
from affinage.training.reporting import Reporter, Silent
from affinage.tuning.bottom import bottom_kept
from affinage.tuning.environment import environment
from affinage.tuning.fit import Fit, Fitted
from affinage.tuning.footprint import footprint, watched
from affinage.tuning.handling import handling_lines
from affinage.tuning.prepare import prepare
from affinage.tuning.prepared import Prepared
from affinage.tuning.survey import checked
from affinage.tuning.work import Work, make_work


def tune(recipe: Recipe, *, reporter: Reporter | None = None) -> Run:
    """Do what the recipe says and return the finished run.

    Raises:
        InputError: the recipe, the data or the model is wrong (before anything is written).
        RunError: the work failed; the last good checkpoint is kept in the run folder.
    """
    reporter = reporter or Silent()
    if recipe.out is not None:
        _refuse_used(recipe.out)
    prepared = prepare(recipe)
    findings = checked(prepared)
    folder = recipe.out or free_name(run_stem(prepared))
    _show_plan(prepared, findings, str(folder), reporter)
    return _work(create_run(recipe, folder), prepared, findings, reporter)


def resume(folder: Path | str, *, reporter: Reporter | None = None) -> Run:
    """Go on with a run that was stopped; it ends with the weights of one that never stopped.

    Raises:
        InputError: there is no such run, it is finished, or its data have changed.
    """
    reporter = reporter or Silent()
    run = open_run(folder)
    clear_sides(run.folder)
    if run.finished:
        raise InputError(f"{run.folder} is finished", fix=f"start another run from it with --model {run.folder}")
    prepared = prepare(run.recipe)
    _refuse_changed_data(run, prepared)
    _replay_plan(run, prepared)
    findings = checked(prepared)
    _show_plan(prepared, findings, str(run.folder), reporter)
    return _work(run, prepared, findings, reporter)


def plan_only(recipe: Recipe, *, reporter: Reporter | None = None) -> Prepared:
    """Everything up to the plan; nothing is written and no weights are loaded."""
    prepared = prepare(recipe)
    _show_plan(prepared, checked(prepared), str(recipe.out or free_name(run_stem(prepared))), reporter or Silent())
    return prepared


def run_stem(prepared: Prepared) -> str:
    """`sft-tickets`: what a run is called when nobody says."""
    first = Path(prepared.recipe.data[0].removeprefix("hub:"))
    return f"{prepared.objective}-{first.name.split('.')[0] or 'data'}"


def load_model(prepared: Prepared) -> AdaptedModel:
    """The base, frozen, on the machine's device."""
    seed_everything(prepared.recipe.seed)
    use(prepared.plan["products"])  # as it was measured when the run began, also where a run is resumed
    network = load_network(prepared.base, prepared.machine, initialise=prepared.recipe.initialise)
    model = AdaptedModel(network, causal=prepared.base.causal, dtype=prepared.machine.torch_dtype)
    return model.requires_grad_(False)


def _work(run: Run, prepared: Prepared, findings: Findings, reporter: Reporter) -> Run:
    began = time.perf_counter()
    run.write("plan.json", prepared.plan.to_json())
    run.write("environment.json", environment(prepared))
    write_dropped(run.folder / "dropped.jsonl", prepared.drops)
    run.write("findings.json", {"findings": findings.to_json()})
    work = make_work(prepared, reporter)
    model = load_model(prepared)
    numbers = [n for part in prepared.folds for n in part] or prepared.sides["held_out"]
    before = work.before(model, numbers)
    if numbers:
        work.alternatives(model)
    general = work.general(model)
    samples = work.samples(model) if prepared.language else []
    memory_above = watched(prepared)
    fitted, reached = _train(run.folder, prepared, work, model, reporter, prepared.sides["train"])
    memory = memory_above()
    _refuse_none_within_budget(run, prepared, fitted)
    run.write("plan.json", prepared.plan.to_json())  # with what was chosen by measurement
    _save(run, prepared, work, model)
    write_json(run.folder / "ledger.json", prepared.ledger(reached).to_json())
    if prepared.streamed is not None:
        write_dropped(run.folder / "dropped.jsonl", prepared.streamed.dropped())
    after = [work.score(model, prepared.sides["held_out"])] if numbers else []
    general_after = work.general(model)
    _write_samples(run, work, model, samples)
    for name, value in work.extras(model).items():
        run.write(name, value)
    del model
    gc.collect()
    after += [_fold(run, prepared, work, number, reporter) for number in range(1, len(prepared.folds))]
    pair = (general, general_after) if general is not None and general_after is not None else None
    evaluation = work.compare(before, work.join(after), pair) if numbers else None
    took = footprint(prepared, fitted, run.model_folder, memory)
    return _explain(run, prepared, evaluation, fitted, took, time.perf_counter() - began, reporter)


def _train(
    folder: Path, prepared: Prepared, work: Work, model: AdaptedModel, reporter: Reporter, numbers: list[int]
) -> tuple[Fitted, set[str]]:
    """Mark what may move, train it on these records, settle. Also the ids of the records that were reached."""
    seed_everything(prepared.recipe.seed)
    for name, head in work.heads().items():
        model.heads[name] = head.to(model.device)
    forgotten = work.forgotten(model) if prepared.recipe.forgetting_budget is not None else None
    mark(model, prepared.recipe, prepared.train)
    how, why = model.train().passes
    prepared.plan.settings["passes"] = (how, why)
    if how == "padded" and model.causal and prepared.machine.device == "cpu" and prepared.train != "head":
        reporter.note(f"the slower, padded passes are taken: {why}")
    batches = work.batches(model, numbers)
    with bottom_kept(prepared, model, reporter):
        fitted = Fit(
            recipe=prepared.recipe,
            plan=prepared.plan,
            model=model,
            objective=work.objective,
            batches=batches,
            validate=(lambda: work.validation_loss(model)) if prepared.sides["validation"] else None,
            folder=folder,
            reporter=reporter,
            forgotten=forgotten,
        ).run()
    work.settle(model)
    rows = prepared.rows_at(numbers)
    return fitted, {rows[number].record_id for number in batches.seen() if number < len(rows)}


def _refuse_none_within_budget(run: Run, prepared: Prepared, fitted: Fitted) -> None:
    """Weights that were never changed are no run.

    Raises:
        GateError: every validation score but the first cost more general text than the budget allows.
    """
    if prepared.recipe.forgetting_budget is None or fitted.best_step or not prepared.sides["validation"]:
        return
    raise GateError(
        f"no step was better within the forgetting budget of {prepared.recipe.forgetting_budget:g} bits per byte: nothing "
        "was saved",
        fix=f"affinage tune --resume {run.folder} goes on"
        if fitted.ended == INTERRUPTED
        else "allow more, replay more general text (--set replay=...), or lower the learning rate",
    )


def _fold(run: Run, prepared: Prepared, work: Work, number: int, reporter: Reporter) -> Any:
    """Train on everything but one fold and score that fold."""
    held_out = prepared.folds[number]
    validation = set(prepared.sides["validation"]) - set(held_out)
    train = [n for n in range(len(prepared.records)) if n not in validation and n not in set(held_out)]
    folder = run.checkpoints / f"fold-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    reporter.note(f"fold {number + 1} of {len(prepared.folds)}")
    model = load_model(prepared)
    _train(folder, prepared, work, model, reporter, train)
    return work.score(model, held_out)


def _save(run: Run, prepared: Prepared, work: Work, model: AdaptedModel) -> None:
    save_model(model, prepared.base, run.model_folder, prepared.renderer.tokenizer)
    mark_of = fingerprint(prepared.base, run.model_folder, prepared.renderer.tokenizer, method=prepared.train)
    write_json(run.folder / "fingerprint.json", mark_of)


def _write_samples(run: Run, work: Work, model: AdaptedModel, before: list[str]) -> None:
    after = work.samples(model)
    prompts = work.sample_prompts()
    both = before or [""] * len(after)
    rows = [
        {"prompt": prompt, "reference": reference, "before": old, "after": new}
        for (prompt, reference), old, new in zip(prompts, both, after, strict=True)
    ]
    write_json(run.folder / "samples.json", rows)


def _explain(
    run: Run,
    prepared: Prepared,
    evaluation: Evaluation | None,
    fitted: Fitted,
    took: dict[str, Any],
    seconds: float,
    reporter: Reporter,
) -> Run:
    about = {"steps": fitted.steps, "best_step": fitted.best_step, "ended": fitted.ended, "seconds": round(seconds, 1)}
    peak = peak_memory(prepared.machine.device)
    result = (
        evaluation.to_json()
        if evaluation
        else {"schema": 1, "rows": 0, "helped": None, "sentence": "No rows were held out: nothing is proven."}
    )
    write_json(run.folder / "evaluation.json", {**result, "training": {**about, "peak_bytes": peak, **took}})
    from affinage.reports.card import write_card  # plots are heavy to import
    from affinage.reports.html import write_report

    write_card(run.folder)
    write_report(run.folder)
    stopped = fitted.ended == INTERRUPTED
    if not stopped:
        remove_folder(run.checkpoints)
    reporter.table("stopped" if stopped else "done", summary_lines(run, seconds, peak, prepared.stream))
    return run


def summary_lines(run: Run, seconds: float, peak: int, stream: RowStream | None) -> list[tuple[str, str]]:
    """The closing words: what changed, what it cost, where it lies."""
    evaluation = run.evaluation
    rows = [("result", str(evaluation["sentence"]))]
    forgetting = evaluation.get("forgetting")
    if forgetting:
        old, new = forgetting["before"]["value"], forgetting["after"]["value"]
        budget = run.recipe.forgetting_budget
        allowed = "" if budget is None else f"; the budget was {budget:g} more"
        rows.append(("general text", f"{old:.3f} -> {new:.3f} bits per byte (lower is better{allowed})"))
    if stream is not None:
        rows.append(("tokens", stream.told()))
    return [
        *rows,
        ("trained", took_words(evaluation["training"])),
        *([("saves", saved)] if (saved := savings(evaluation["training"])) else []),
        ("took", f"{duration(seconds)}, at most {peak / 2**30:.1f} GiB"),
        ("run", f"{run.folder} (report: {run.folder / 'report.html'})"),
    ]


def _show_plan(prepared: Prepared, findings: Findings, out: str, reporter: Reporter) -> None:
    for note in prepared.notes:
        reporter.note(f"note: {note}")
    for finding in findings.of("warning"):
        reporter.note(f"warning: {finding.message} [{finding.code}]")
    learn, data, *rest = prepared.plan.lines(prepared.recipe.model, out)
    reporter.table("plan", [learn, data, *handling_lines(prepared), *rest])


def _refuse_used(folder: Path) -> None:
    if folder.is_dir() and not is_empty(folder):
        raise InputError(f"{folder} already holds files", fix="name another --out, or --resume it if it was stopped")


def _refuse_changed_data(run: Run, prepared: Prepared) -> None:
    if not (run.folder / "environment.json").exists():
        return
    if run.read("environment.json").get("data_digest") != prepared.data_digest:
        raise InputError(
            f"the data of {run.folder} have changed since it started", fix="put the data back, or start a new run"
        )


def _replay_plan(run: Run, prepared: Prepared) -> None:
    """What was derived (or measured) when the run started stays as it was."""
    if not (run.folder / "plan.json").exists():
        return
    for key, entry in run.plan["settings"].items():
        prepared.plan.settings[key] = (entry["value"], entry["reason"])
    if prepared.objective != run.plan["objective"]:
        raise RunError(f"{run.folder} was planned for {run.plan['objective']}, not {prepared.objective}")
