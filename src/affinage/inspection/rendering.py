"""Findings on rendered rows: ends that are not learned, a doubled BOS, text that the tokenizer does not know."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from affinage.data.records import Chat
from affinage.inspection.findings import NAMED, Finding, Severity, example, examples
from affinage.inspection.material import Material
from affinage.inspection.tokens import density, learns_end, unknown_ids

_SPELT = 0.6  # tokens per byte; English in a small vocabulary of its own needs about 0.4
_ENOUGH = 80  # bytes, to judge by
_MANY = 0.1
_UNKNOWN_MANY = 0.01


def unlearned_ends(material: Material) -> Iterator[Finding]:
    """Answers whose end-of-turn token is not learned: the model would not learn to stop there."""
    if material.renderer is None:
        return
    stop = material.renderer.stop_ids
    chats = [(record, rows[-1]) for record, rows in material.rendered if isinstance(record, Chat)]
    found = [record for record, row in chats if record.messages[-1].role == "assistant" and not learns_end(row, stop)]
    if found:
        share = 1 - len(found) / len(chats)
        message = f"rows whose end-of-turn token is not learned: {len(found):,} (it is in {100 * share:.1f} %)"
        fix = "do not cut rows (a longer context, or --set too_long=drop)"
        yield Finding("end-not-learned", "warning", message, len(found), examples(r.source for r in found), fix)


def doubled_bos(material: Material) -> Iterator[Finding]:
    """Rows that begin with two BOS tokens."""
    bos = material.renderer.tokenizer.bos_token_id if material.renderer else None
    if bos is None:
        return
    found = [record for record, rows in material.rendered if rows[0].tokens_T[:2].tolist() == [bos, bos]]
    if found:
        message = f"rows that begin with two BOS tokens: {len(found):,}"
        fix = "check the chat template"
        yield Finding("doubled-bos", "warning", message, len(found), examples(r.source for r in found), fix)


def unknown_tokens(material: Material) -> Iterator[Finding]:
    """Characters for which the tokenizer has no token at all: the model cannot see them."""
    ids = unknown_ids(material.renderer.tokenizer) if material.renderer else []
    if not ids:
        return
    total, found = 0, []
    for record, rows in material.rendered:
        total += sum(map(len, rows))
        if count := sum(int(np.isin(row.tokens_T, ids).sum()) for row in rows):
            found.append((record, count))
    if found:
        share = sum(count for _, count in found) / total
        percent = f"{100 * share:.2f} % of the tokens"
        message = f"rows with characters that the tokenizer does not know: {len(found):,} ({percent})"
        places = tuple(example(record.source, tokens=count) for record, count in found[:NAMED])
        severity: Severity = "warning" if share >= _UNKNOWN_MANY else "note"
        fix = "choose a model made for this language or script"
        yield Finding("unknown-token", severity, message, len(found), places, fix)


def spelt_out(material: Material) -> Iterator[Finding]:
    """Text that the tokenizer must spell nearly byte by byte: a language or script that it was not made for."""
    judged = [(record, *density(record, rows)) for record, rows in material.rendered]
    judged = [(record, tokens, size) for record, tokens, size in judged if size >= _ENOUGH]
    found = [(record, tokens / size) for record, tokens, size in judged if tokens / size >= _SPELT]
    if found:
        share = len(found) / len(judged)
        message = (
            f"rows that take more than {_SPELT} tokens a byte, as the tokenizer lacks their words:"
            f" {len(found):,} of {len(judged):,}"
        )
        places = tuple(example(record.source, tokens_per_byte=round(ratio, 3)) for record, ratio in found[:NAMED])
        severity: Severity = "warning" if share >= _MANY else "note"
        fix = "a model with a vocabulary for this language or script learns it from fewer tokens"
        yield Finding("spelt-out", severity, message, len(found), places, fix)
