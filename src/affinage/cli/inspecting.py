"""The sections that `affinage inspect` prints, one function each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from affinage.inspection.distance import Distance
    from affinage.inspection.findings import Findings
    from affinage.inspection.languages import Languages
    from affinage.inspection.material import Material
    from affinage.inspection.tokens import TokenStatistics
    from affinage.inspection.vocabulary import Coverage

_SHOWN_TOKENS = 200  # of one row; `--row` and `--json` have them all
_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_LEARNED = ("black on green", "black on bright_green")  # in turn, so that neighbouring tokens can be told apart
_READ = ("dim", "")
_BAR = 40  # characters of the longest bar
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LABELS = 12  # shown
_LABEL = 40  # characters of each
_FOREIGN = 3  # rows shown
_WIDE = 90  # characters of each
_LANGUAGES = 6  # shown


def print_data(material: Material, counted: TokenStatistics | None, console: Console) -> None:
    """What was read: kind, layouts, the ledger, and the tokens."""
    from affinage.inspection.tokens import safe

    heading = f"{material.kind or 'no'} rows" + (f", objective {material.objective}" if material.objective else "")
    console.print(heading, style="bold")
    lines = [f"{uri}: {layout}" for uri, layout in material.layouts.items()]
    for line in [*lines, *material.notes, *_ledger_lines(material)]:
        console.print(f"  {safe(line)}")
    if counted is None:
        return
    learned = f"{counted.learned:,} learned from ({100 * counted.learned_share:.1f} %)"
    if material.kind == "labelled":
        learned = "of each row the label is learned"
    console.print(
        f"  under the tokenizer of {safe(material.recipe.model)}: rows of {counted.min:,} to {counted.max:,} tokens"
        f" (median {counted.median:,.0f}, 95 % up to {counted.p95:,.0f}); {counted.total:,} in all,"
        f" {learned};"
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


def print_lengths(counted: TokenStatistics | None, console: Console) -> None:
    """Lengths of rows in tokens, as bars."""
    if counted is None or len(counted.histogram) < 2:
        return
    console.print("\nlengths in tokens", style="bold")
    most = max(part["rows"] for part in counted.histogram)
    names = [f"{part['from']:,} to {part['to']:,}" for part in counted.histogram]
    wide = max(map(len, names))
    for name, part in zip(names, counted.histogram, strict=True):
        console.print(f"  {name:>{wide}}  {bar(part['rows'] / most)} {part['rows']:,}")


def bar(share: float, width: int = _BAR) -> str:
    """A bar of `share` of the width, to an eighth of a character; the least that is not nothing can be seen."""
    eighths = max(round(share * width * 8), int(share > 0))
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def print_languages(spoken: Languages | None, console: Console) -> None:
    """Languages with their shares."""
    if spoken is None:
        return
    told = [f"{name} {100 * share:.1f} %" for name, share in list(spoken.shares.items())[:_LANGUAGES]]
    rest = len(spoken.shares) - len(told)
    more = f" and {rest} more" if rest else ""
    console.print(f"\nlanguages: {', '.join(told)}{more} (of {spoken.looked_at:,} rows looked at)")


def print_labels(labels: list[dict[str, Any]], count: int, console: Console) -> None:
    """Labels with their rows, the most frequent first, of `count` in all."""
    from affinage.inspection.tokens import safe

    if not labels:
        return
    console.print("\nlabels", style="bold")
    names = [_shortened(safe(str(entry["label"])).replace("\n", " ")) for entry in labels[:_LABELS]]
    wide = max(map(len, names))
    for name, entry in zip(names, labels, strict=False):
        console.print(f"  {name:<{wide}}  {entry['rows']:,} ({100 * entry['share']:.1f} %)")
    if count > _LABELS:
        console.print(f"  and {count - _LABELS:,} more", style="dim")


def _shortened(name: str) -> str:
    return name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"


def print_coverage(coverage: Coverage | None, console: Console) -> None:
    """Whether there is enough text to stand for its domain."""
    if coverage is not None:
        console.print("\nis there enough text?", style="bold")
        console.print(f"  {coverage.line()}")


def print_distance(distance: Distance | None, console: Console) -> None:
    """How far the data are from what the base knows, with the most foreign rows."""
    from affinage.inspection.findings import places
    from affinage.inspection.tokens import safe

    if distance is None:
        return
    first, *rest = distance.lines()
    console.print("\nhow far from what the base knows", style="bold")
    console.print(f"  {first}")
    for line in rest:
        console.print(f"    {line}", style="dim")
    for row in distance.foreign[:_FOREIGN]:
        console.print(
            f"    {row['bits_per_byte']:.2f}  {safe(places([row]))}  {safe(row['text'][:_WIDE])}", style="dim"
        )


def print_findings(findings: Findings, console: Console) -> None:
    """Findings, the worst first, each with its places and its way out."""
    from rich.text import Text

    from affinage.inspection.findings import places
    from affinage.inspection.tokens import safe

    console.print(f"\nfindings: {findings.summary()}", style="bold")
    for finding in findings:
        severity = (finding.severity, _COLOURS[finding.severity])
        code = (f" [{finding.code}]", "dim")
        console.print(Text.assemble("  ", severity, f" {safe(finding.message)}", code))
        if finding.examples:
            more = ", ..." if finding.count > len(finding.examples) else ""
            console.print(f"    at {safe(places(finding.examples))}{more}", style="dim")
        if finding.fix:
            console.print(f"    -> {safe(finding.fix)}")


def print_rows(shown: list[dict[str, Any]], console: Console, *, whole: bool) -> None:
    """Rows as tokens with the learned ones marked; in whole, or their beginnings."""
    if shown:
        marked = "on green" if console.color_system else "in [brackets], the others apart by |"
        console.print(f"\nrows as tokens, the learned ones {marked}")
    for row in shown:
        _print_row(row, console, None if whole else _SHOWN_TOKENS)


def _print_row(row: dict[str, Any], console: Console, limit: int | None) -> None:
    from affinage.inspection.findings import places
    from affinage.inspection.tokens import safe

    blocks = f", the first of {row['rows']} blocks" if row["rows"] > 1 else ""
    learned = f"{row['learned']:,} learned from" if row["label"] is None else f"label {_label(row['label'])}"
    head = f"\n{places([row])}: {row['length']:,} tokens{blocks}, {learned}"
    console.print(safe(head), style="bold")
    console.print(coloured(row["tokens"], limit) if console.color_system else bracketed(row["tokens"], limit))


def _label(label: Any) -> str:
    """One label, several, or none of them."""
    names = label if isinstance(label, list | tuple) else [label]
    return ", ".join(map(repr, names)) or "none"


def coloured(tokens: list[dict[str, Any]], limit: int | None = _SHOWN_TOKENS) -> Text:
    """Tokens in colours; a newline is shown and made."""
    from rich.text import Text

    text = Text()
    for number, token in enumerate(tokens[:limit]):
        shown, end = _shown(token["text"])
        text.append(shown, style=(_LEARNED if token["learned"] else _READ)[number % 2]).append(end)
    return text.append(_more(tokens, limit), style="dim italic")


def bracketed(tokens: list[dict[str, Any]], limit: int | None = _SHOWN_TOKENS) -> str:
    """Tokens for a pipe: `read|read|[learned][learned]`."""
    parts = []
    for token in tokens[:limit]:
        shown, end = _shown(token["text"])
        parts.append((f"[{shown}]" if token["learned"] else f"{shown}|") + end)
    return "".join(parts) + _more(tokens, limit)


def _shown(text: str) -> tuple[str, str]:
    """A token's text with its newlines visible, and the line break to make after it."""
    from affinage.inspection.tokens import safe

    return safe(text).replace("\n", "↵"), "\n" if "\n" in text else ""


def _more(tokens: list[dict[str, Any]], limit: int | None) -> str:
    rest = len(tokens) - limit if limit is not None else 0
    return f" ... and {rest:,} more tokens" if rest > 0 else ""
