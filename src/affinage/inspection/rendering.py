"""Findings on rendered rows: ends that are not learned, a doubled BOS, text that the tokenizer does not know."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from affinage.data.records import Chat
from affinage.inspection.catalogue import Severity
from affinage.inspection.findings import NAMED, Finding, example, examples
from affinage.inspection.material import Material
from affinage.inspection.tokens import learns_end, mark_bytes, unknown_ids, words_density

_SPELT = 0.6  # tokens per byte of words; English in a small vocabulary of its own needs about 0.4
_ENOUGH = 80  # bytes, to judge by
_MANY = 0.1
_UNKNOWN_MANY = 0.01


def unlearned_ends(material: Material) -> Iterator[Finding]:
    """Answers whose end-of-turn token is not learned: the model would not learn to stop there."""
    if material.renderer is None:
        return
    stop = material.renderer.stop_ids
    chats = [(r, rows[-1]) for r, rows in material.rendered if isinstance(r, Chat) and _ends_learned(r, material)]
    found = [(record, row) for record, row in chats if not learns_end(row, stop)]
    if found:
        share = 1 - len(found) / len(chats)
        never = len(found) == len(chats) and not any(row.truncated for _, row in found)
        message = f"rows whose end-of-turn token is not learned: {len(found):,} (it is in {100 * share:.1f} %)"
        fix = "do not cut rows (a longer context, or --set too_long=drop)"
        if never:
            fix = "the model would never learn to stop: give it a chat template with an end-of-turn token"
        severity: Severity = "error" if never else "warning"
        yield Finding("end-not-learned", severity, message, len(found), examples(r.source for r, _ in found), fix)


def learned_prompts(material: Material) -> Iterator[Finding]:
    """Turns that are no answers and yet are learned from, by the recipe's wish or by their own weight."""
    wish = material.recipe.learn_from
    roles = {"user", "system", "tool"} if wish == "all" else set(wish.split(",")) & {"user", "system", "tool"}
    chats = material.chats
    found = [
        chat
        for chat in chats
        if any((m.role in roles if m.learn is None else m.learn) for m in chat.messages if m.role != "assistant")
    ]
    if found:
        asked = bool(roles)
        why = f"as learn_from={wish} asks" if asked else "by their own weight"
        message = f"rows whose prompt is learned from, {why}: {len(found):,} of {len(chats):,}"
        fix = "leave learn_from at completions, unless the model is to write questions too"
        if not asked:
            fix = "take the weight off the turns that are no answers, unless the model is to write questions too"
        severity: Severity = "note" if asked else "warning"
        yield Finding("prompt-learned", severity, message, len(found), examples(c.source for c in found), fix)


def pad_is_eos(material: Material) -> Iterator[Finding]:
    """The tokenizer names its end-of-text token as padding."""
    tokenizer = material.renderer.tokenizer if material.renderer else None
    if (
        tokenizer is not None
        and tokenizer.pad_token_id is not None
        and tokenizer.pad_token_id == tokenizer.eos_token_id
    ):
        message = f"the tokenizer pads with its end-of-text token {tokenizer.eos_token!r}"
        fix = "nothing to do: padding is told apart by position here, so the end is learned"
        yield Finding("pad-is-eos", "note", message, 0, (), fix)


def template_differs(material: Material) -> Iterator[Finding]:
    """Two chat templates in one model folder, of which each tool takes its own."""
    folder = material.model_folder
    if folder is None or not (folder / "chat_template.jinja").is_file():
        return
    try:
        config = json.loads((folder / "tokenizer_config.json").read_bytes())
        alone = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return
    other = config.get("chat_template") if isinstance(config, dict) else None
    if isinstance(other, str) and other.strip() != alone.strip():
        message = (
            f"{folder} holds two chat templates that differ: chat_template.jinja, and one in tokenizer_config.json"
        )
        fix = "keep the one that the model is served with; here the first is used"
        yield Finding("template-differs", "warning", message, 2, (), fix)


def _ends_learned(chat: Chat, material: Material) -> bool:
    """Whether the chat ends with an answer that is meant to be learned from."""
    last, wish = chat.messages[-1], material.recipe.learn_from
    if last.role != "assistant" or not (last.content or last.calls):
        return False
    return last.learn if last.learn is not None else wish in ("completions", "last", "all") or "assistant" in wish


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
    if material.renderer is None:
        return
    marks = mark_bytes(material.renderer.tokenizer)
    judged = [(record, *words_density(record, rows, marks)) for record, rows in material.rendered]
    judged = [(record, tokens, size) for record, tokens, size in judged if size >= _ENOUGH]
    found = [(record, tokens / size) for record, tokens, size in judged if tokens / size >= _SPELT]
    if found:
        share = len(found) / len(judged)
        message = (
            f"rows whose words take more than {_SPELT} tokens a byte, as the tokenizer lacks them:"
            f" {len(found):,} of {len(judged):,}"
        )
        places = tuple(example(record.source, tokens_per_byte=round(ratio, 3)) for record, ratio in found[:NAMED])
        severity: Severity = "warning" if share >= _MANY else "note"
        fix = "a model with a vocabulary for this language or script learns it from fewer tokens"
        yield Finding("spelt-out", severity, message, len(found), places, fix)
