"""`affinage inspect`: what a person's data are, what is wrong with them, and what a model would learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from affinage.cli.output import Json, Screen, print_json
from affinage.cli.tune import read_recipe, told

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from affinage.inspection.findings import Findings
    from affinage.inspection.material import Material
    from affinage.inspection.tokens import TokenStatistics

_SHOWN_TOKENS = 200  # of one row; `--json` has them all
_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_LEARNED = ("black on green", "black on bright_green")  # in turn, so that neighbouring tokens can be told apart
_READ = ("dim", "")


def inspect(
    data: Annotated[list[str], typer.Argument(help=f"{told('data')} Or one recipe (.yaml).")],
    model: Annotated[str | None, typer.Option(help=told("model"))] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows to show as tokens.")] = 3,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any recipe key, as for `tune`; may be given again."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at data as `tune` would: counts, findings, and rows as tokens with the learned ones marked.

    Leaves with exit code 2 where `tune` would refuse.
    """
    recipe = read_recipe(data, {"model": model} if model is not None else {}, set_ or [])
    from affinage.inspection.checks import find
    from affinage.inspection.tokens import shown_rows, statistics
    from affinage.tuning.survey import survey

    material = survey(recipe)
    findings, counted, shown = find(material), statistics(material), shown_rows(material, rows)
    _print(material, findings, counted, shown, Screen(as_json=as_json))
    if as_json:
        print_json(
            {
                "kind": material.kind,
                "objective": material.objective,
                "model": recipe.model,
                "layouts": material.layouts,
                "ledger": material.ledger.to_json(),
                "findings": findings.to_json(),
                "tokens": counted.to_json() if counted else None,
                "rows": shown,
            }
        )
    if findings.of("error"):
        raise typer.Exit(2)


def _print(
    material: Material, findings: Findings, counted: TokenStatistics | None, shown: list[dict[str, Any]], screen: Screen
) -> None:
    from rich.console import Console

    console = Console(file=screen.file, markup=False, highlight=False, emoji=False, soft_wrap=True)
    _print_data(material, counted, console)
    _print_findings(findings, console)
    if shown:
        marked = "on green" if console.color_system else "in [brackets], the others apart by |"
        console.print(f"\nrows as tokens, the learned ones {marked}")
    for row in shown:
        _print_row(row, console)


def _print_data(material: Material, counted: TokenStatistics | None, console: Console) -> None:
    from affinage.inspection.tokens import safe

    heading = f"{material.kind or 'no'} rows" + (f", objective {material.objective}" if material.objective else "")
    console.print(heading, style="bold")
    lines = [f"{uri}: {layout}" for uri, layout in material.layouts.items()]
    for line in [*lines, *material.notes, *_ledger_lines(material)]:
        console.print(f"  {safe(line)}")
    if counted is None:
        return
    console.print(
        f"  under the tokenizer of {safe(material.recipe.model)}: rows of {counted.min:,} to {counted.max:,} tokens"
        f" (median {counted.median:,.0f}, 95 % up to {counted.p95:,.0f}); {counted.total:,} in all,"
        f" {counted.learned:,} learned from;"
        f" {100 * counted.above_context_share:.1f} % above the context of {counted.context:,}"
    )
    extra = [f"{counted.tokens_per_byte:.2f} tokens a byte" if counted.tokens_per_byte is not None else ""]
    extra.append(f"{100 * counted.unknown_share:.2f} % unknown" if counted.unknown_share else "")
    extra.append(f"{100 * counted.byte_fallback_share:.2f} % spelt as bytes" if counted.byte_fallback_share else "")
    if counted.end_of_turn_learned_share is not None:
        extra.append(f"the end of turn is learned in {100 * counted.end_of_turn_learned_share:.1f} % of the rows")
    console.print(f"  {'; '.join(part for part in extra if part)}")


def _ledger_lines(material: Material) -> list[str]:
    """The ledger; where `tune` refuses, no rows have a side yet."""
    ledger = material.ledger
    if material.refusal is None:
        return ledger.lines()
    dropped = sum(ledger.dropped.values())
    return [f"{ledger.read:,} rows read = {ledger.not_reached:,} usable + {dropped:,} dropped", *ledger.lines()[1:]]


def _print_findings(findings: Findings, console: Console) -> None:
    from rich.text import Text

    from affinage.inspection.findings import places
    from affinage.inspection.tokens import safe

    console.print(f"\nfindings: {findings.summary()}", style="bold")
    for finding in findings:
        console.print(Text.assemble("  ", (finding.severity, _COLOURS[finding.severity]), f" {safe(finding.message)}"))
        if finding.examples:
            more = ", ..." if finding.count > len(finding.examples) else ""
            console.print(f"    at {safe(places(finding.examples))}{more}", style="dim")
        if finding.fix:
            console.print(f"    -> {safe(finding.fix)}")


def _print_row(row: dict[str, Any], console: Console) -> None:
    from affinage.inspection.findings import places
    from affinage.inspection.tokens import safe

    blocks = f", the first of {row['rows']} blocks" if row["rows"] > 1 else ""
    label = f", label {row['label']!r}" if row["label"] is not None else ""
    head = f"\n{places([row])}: {row['length']:,} tokens{blocks}, {row['learned']:,} learned from{label}"
    console.print(safe(head), style="bold")
    console.print(coloured(row["tokens"]) if console.color_system else bracketed(row["tokens"]))


def coloured(tokens: list[dict[str, Any]]) -> Text:
    """Tokens in colours; a newline is shown and made."""
    from rich.text import Text

    text = Text()
    for number, token in enumerate(tokens[:_SHOWN_TOKENS]):
        shown, end = _shown(token["text"])
        text.append(shown, style=(_LEARNED if token["learned"] else _READ)[number % 2]).append(end)
    return text.append(_more(tokens), style="dim italic")


def bracketed(tokens: list[dict[str, Any]]) -> str:
    """Tokens for a pipe: `read|read|[learned][learned]`."""
    parts = []
    for token in tokens[:_SHOWN_TOKENS]:
        shown, end = _shown(token["text"])
        parts.append((f"[{shown}]" if token["learned"] else f"{shown}|") + end)
    return "".join(parts) + _more(tokens)


def _shown(text: str) -> tuple[str, str]:
    """A token's text with its newlines visible, and the line break to make after it."""
    from affinage.inspection.tokens import safe

    return safe(text).replace("\n", "↵"), "\n" if "\n" in text else ""


def _more(tokens: list[dict[str, Any]]) -> str:
    return f" ... and {len(tokens) - _SHOWN_TOKENS:,} more tokens" if len(tokens) > _SHOWN_TOKENS else ""
