"""Findings on rows that are left out, or refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from affinage.data.ledger import DAMAGE, Drop
from affinage.inspection.catalogue import CATALOGUE, Severity
from affinage.inspection.findings import NAMED, Finding, example
from affinage.inspection.material import Material

_SAYS = {
    "malformed": "cannot be parsed",
    "wrong-type": "hold a value of the wrong type",
    "missing-column": "lack a column",
    "not-text": "hold something else than text",
    "empty-text": "have no text",
    "empty-label": "have no label",
    "empty-prompt": "have no prompt",
    "empty-response": "have an empty answer",
    "bad-role-order": "have turns in an order that no model learns from",
    "tool-calls": "hold tool calls that cannot be read",
    "duplicate": "say exactly the same as an earlier row",
    "near-duplicate": "say nearly the same as an earlier row",
    "contaminated": "hold texts of a benchmark",
    "chosen-equals-rejected": "have the same text as preferred and as rejected answer",
    "tied-completions": "have no better answer",
    "not-comparable": "hold nothing to compare",
    "no-text": "are documents without any text, most likely scanned",
    "unreadable": "are documents that cannot be read",
    "encrypted": "are documents behind a password",
    "unsupported": "are documents of a format that is not read here",
    "no-learned-token": "have nothing to learn from once rendered",
}
_OWN_CHECK = ("too-long",)
_HARMLESS = ("duplicate", "near-duplicate", "contaminated", "tied-completions")
_CODES = {"no-text": "scanned-page"}  # reasons that are told under another name
_SCANNED = "pages without text"


def left_out(material: Material) -> Iterator[Finding]:
    """One finding for each reason, with the file and line of the first rows."""
    by_reason: dict[str, list[Drop]] = defaultdict(list)
    for drop in material.drops:
        by_reason[drop.reason].append(drop)
    for reason, drops in by_reason.items():
        if reason in _OWN_CHECK:
            continue
        damaged = reason in DAMAGE and material.recipe.bad_rows == "error"
        nothing_left = reason == "no-learned-token" and not material.rows_of
        severity: Severity = "warning"
        if reason in _HARMLESS:
            severity = "note"
        elif damaged or nothing_left:
            severity = material.blocking
        fate = "" if severity == "error" else " (left out, counted)"
        fix = "correct these rows, or leave them out, counted, with --set bad_rows=drop" if damaged else ""
        if nothing_left:
            fix = "look at learn_from, at the weights of the turns, and at rows that are cut before their answer"
        yield Finding(
            _CODES.get(reason, reason) if reason in {*CATALOGUE, *_CODES} else "left-out",
            severity,
            f"rows that {_SAYS.get(reason, f'are left out ({reason})')}: {len(drops):,}{fate}",
            len(drops),
            tuple(example(drop.source, detail=drop.detail) for drop in drops[:NAMED]),
            fix,
        )


def changed(material: Material) -> Iterator[Finding]:
    """What was replaced in texts, and what was taken out of documents."""
    if material.redactions:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(material.redactions.items()))
        message = f"placeholders put in the place of secrets and personal data: {kinds}"
        yield Finding("redacted", "note", message, sum(material.redactions.values()))
    removed = {reason: count for reason, count in material.removed.items() if count}
    scanned = removed.pop(_SCANNED, 0)
    if scanned:
        message = f"pages of documents without any text, most likely scanned: {scanned:,}"
        fix = "run optical character recognition over these files first"
        yield Finding("scanned-page", "warning", message, scanned, (), fix)
    if removed:
        told = ", ".join(f"{reason} {count:,}" for reason, count in sorted(removed.items()))
        yield Finding("removed-text", "note", f"taken out of documents: {told}", sum(removed.values()))


def too_long(material: Material) -> Iterator[Finding]:
    """Rows longer than the context: refused, left out or cut, as the recipe says. Raw text is split instead."""
    wish = material.recipe.too_long
    if material.renderer is None:
        return
    context = material.renderer.context
    found = [example(record.source, tokens=tokens) for record, tokens in material.too_long]
    longest = max((tokens for _, tokens in material.too_long), default=0)
    total = len(material.records)
    if not found:
        found = [example(drop.source, detail=drop.detail) for drop in material.drops if drop.reason == "too-long"]
        total += len(found)
    cut = [(record, rows[-1]) for record, rows in material.rendered if rows[-1].truncated]
    if cut:
        found = [example(record.source, tokens=len(row) + row.truncated) for record, row in cut]
    if not found:
        return
    fate = {"error": "", "drop": " (left out, counted)", "truncate": " (cut at the end, counted)"}[wish]
    fix = "a model with a longer context, or shorter rows"
    if wish == "error":
        longer = f"--set context={longest}, "
        if material.model_context is not None and longest > material.model_context:
            longer = f"a model with a longer context (this one takes {material.model_context:,} tokens), "
        fix = f"{longer}--set too_long=truncate (the end is lost), or --set too_long=drop"
    message = f"rows longer than the context of {context:,} tokens: {len(found):,} of {total:,}{fate}"
    severity = material.blocking if wish == "error" else "warning"
    yield Finding("too-long", severity, message, len(found), tuple(found[:NAMED]), fix)


def not_rendered(material: Material) -> Iterator[Finding]:
    """Rows that the chat template or the tokenizer refuses."""
    found = material.not_rendered
    if found:
        message = f"rows that cannot be rendered: {len(found):,} of {len(material.records):,}; {found[0][1].message}"
        places = tuple(example(record.source, detail=error.message) for record, error in found[:NAMED])
        yield Finding("not-rendered", material.blocking, message, len(found), places, found[0][1].fix)


def problems(material: Material) -> Iterator[Finding]:
    """What stopped the reading, or the choice of a model."""
    for error in material.problems:
        yield Finding("refused", material.blocking, error.message, 1, (), error.fix)
