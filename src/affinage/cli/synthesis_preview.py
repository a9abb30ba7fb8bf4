"""What a person sees of a synthesis before anything is sent, and is asked."""

from __future__ import annotations

import sys

import typer

from affinage.cli.output import Screen
from affinage.cli.synthesis_plan import SynthesisPlan
from affinage.errors import InputError
from affinage.synthesis.methods import METHODS
from affinage.synthesis.passages import SHORTEST


def describe(plan: SynthesisPlan, screen: Screen) -> None:
    """The plan in two columns."""
    guess, given, name = plan.estimate, plan.given, plan.method.name
    calls = " + ".join(f"{count:,} {_short(prompt)}" for prompt, count in guess.calls.items())
    left = ", ".join(f"{reason} {count:,}" for reason, count in given.material.drops)
    rows = [
        ("material", given.words + (f"; left out: {left}" if left else "")),
        ("method", f"{name}: {METHODS[name][1]}"),
        ("teacher", plan.teacher.words),
        ("judge", plan.options.judge_model or ("the teacher" if plan.judged else "none")),
        ("rows", f"{guess.rows:,} at most" if plan.wanted is None else f"{guess.rows:,} wanted"),
        ("calls", f"{sum(guess.calls.values()):,} if every candidate is kept: {calls}"),
        ("tokens", f"about {guess.read:,} read, at most {guess.most_written:,} written"),
    ]
    if plan.options.price_in is not None:
        limit = f"; budget {plan.options.budget:,.2f}" if plan.options.budget is not None else ""
        rows.append(("cost", f"about {guess.cost:,.2f} at most{limit}"))
    if given.short:
        rows.append(("left out", f"{given.short:,} pieces of text shorter than {SHORTEST} characters"))
    if plan.options.redact:
        found = ", ".join(f"{kind} {count:,}" for kind, count in given.redacted.most_common())
        rows.append(("redacted", found or "nothing found"))
    rows.append(("filters", plan.filters.words(plan.method)))
    rows.append(("leaves", "nothing: the teacher is on this machine" if plan.teacher.here else plan.leaving))
    screen.pairs(rows)
    for note in given.material.notes:
        screen.say(f"  note: {note}")


def show_example(plan: SynthesisPlan, screen: Screen) -> None:
    """One prompt as it would be sent."""
    screen.say(f"\nThe first prompt ({plan.estimate.example}):\n")
    for turn in plan.estimate.messages:
        screen.say(f"[{turn.role}]\n{turn.content}\n")
    screen.say("Nothing was sent.")


def confirm(plan: SynthesisPlan, *, yes: bool) -> None:
    """Ask before anything leaves this machine.

    Raises:
        InputError: nobody can be asked and `--yes` was not given.
    """
    if yes or plan.teacher.here:
        return
    if not on_terminal():
        raise InputError(
            f"this would send {plan.leaving}, and there is no terminal to ask on",
            fix="agree with --yes, look first with --dry-run, or take secrets out with --redact",
        )
    typer.confirm(f"Send {plan.leaving}?", abort=True, err=True)


def on_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _short(prompt: str) -> str:
    """`pairs` of `qa/pairs/1`, `judge score` of what a judge is asked."""
    method, name, *_ = prompt.split("/")
    return f"judge {name}" if method == "judge" else name
