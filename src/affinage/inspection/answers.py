"""Findings on prompts with their answers, and on texts that say too little."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from affinage.data.records import Chat, Labelled, Pair, Record, Text, normalised
from affinage.inspection.endings import ITEM
from affinage.inspection.findings import Finding, examples
from affinage.inspection.material import Material
from affinage.inspection.overlapping import split_files

_ECHO_WORDS = 3  # shorter answers stand in a prompt by chance or as one of its options
_SHORT_TEXT = 20  # characters of a raw text
_SHORT_LABELLED = 3  # characters of a labelled text
_DOMINANT = 0.9


def one_word_answers(material: Material) -> Iterator[Finding]:
    """Answers without a space in up to 20 characters; for closed questions they are right."""
    found = [chat for chat in material.chats if len(chat.reference.split()) == 1 and len(chat.reference.strip()) <= 20]
    if found:
        message = f"rows answered with one word: {len(found):,} of {len(material.chats):,}"
        yield Finding("one-word-answer", "note", message, len(found), examples(chat.source for chat in found))


def differing_answers(material: Material) -> Iterator[Finding]:
    """One prompt, several answers: a model that always takes the likeliest can give only one of them."""
    by_prompt: dict[str, list[Chat]] = defaultdict(list)
    for chat in material.chats:
        by_prompt["\n".join(f"{turn.role}: {normalised(turn.content)}" for turn in chat.prompt)].append(chat)
    groups = [chats for chats in by_prompt.values() if len({normalised(chat.reference) for chat in chats}) > 1]
    found = [chat for chats in groups for chat in chats]
    if found:
        message = f"prompts with different answers: {len(groups):,} ({len(found):,} rows)"
        fix = "fine where several answers are right; else keep the one that you want"
        yield Finding("differing-answers", "note", message, len(found), examples(chat.source for chat in found), fix)


def echoed_answers(material: Material) -> Iterator[Finding]:
    """Answers that stand word for word in the turn before them."""
    whole, part = [], []
    for chat in material.chats:
        answer = normalised(chat.reference)
        asked = normalised(chat.prompt[-1].content) if chat.prompt else ""
        if answer and answer == asked:
            whole.append(chat)
        elif len(answer.split()) >= _ECHO_WORDS and answer in asked and not _chosen(chat):
            part.append(chat)
    if whole:
        message = f"rows whose answer is the prompt over again: {len(whole):,} of {len(material.chats):,}"
        fix = "check that the answer column is the right one (--set columns.response=NAME)"
        yield Finding("answer-is-prompt", "warning", message, len(whole), examples(chat.source for chat in whole), fix)
    if part:
        message = f"rows whose answer stands word for word in the prompt: {len(part):,} of {len(material.chats):,}"
        fix = "fine for extraction; else the prompt gives the answer away"
        yield Finding("answer-in-prompt", "note", message, len(part), examples(chat.source for chat in part), fix)


def _chosen(chat: Chat) -> bool:
    """Whether each line of the answer is a marked line of the prompt, such as `B. Lyon`: a choice among those offered."""
    offered = {line.strip() for line in chat.prompt[-1].content.splitlines()}
    said = [line.strip() for line in chat.reference.splitlines()]
    return all(line in offered and ITEM.match(line) for line in said)


def short_texts(material: Material) -> Iterator[Finding]:
    """Texts of a few characters."""
    found = [record for record in material.records if _is_short(record)]
    if found:
        message = f"rows with a very short text: {len(found):,} of {len(material.records):,}"
        yield Finding("short-text", "note", message, len(found), examples(record.source for record in found))


def _is_short(record: Record) -> bool:
    if isinstance(record, Labelled):
        return len(record.text.strip()) < _SHORT_LABELLED
    return isinstance(record, Text) and len(record.text.strip()) < _SHORT_TEXT


def dominant_source(material: Material) -> Iterator[Finding]:
    """One of several files holds nearly all rows; of a set's own training and test files that is no news."""
    counts = Counter(record.source.uri for record in material.records)
    if len(counts) < 2 or any(split_files(material)):
        return
    (uri, count), *_ = counts.most_common(1)
    share = count / len(material.records)
    if share >= _DOMINANT:
        message = f"{uri} holds {100 * share:.1f} % of the rows of {len(counts)} files"
        place = next(record.source for record in material.records if record.source.uri == uri)
        yield Finding("dominant-source", "note", message, count, examples([place]))


def shared_prompts(material: Material) -> Iterator[Finding]:
    """Rows that the split must keep together, so that none of them leaks into the held-out rows."""
    by_key: dict[str, list[Record]] = defaultdict(list)
    for record in material.records:
        by_key[record.split_key].append(record)
    found = [record for records in by_key.values() if len(records) > 1 for record in records]
    if found:
        what = "text" if isinstance(found[0], Text | Labelled) else "query" if isinstance(found[0], Pair) else "prompt"
        message = f"rows that share their {what} with another, but for case and spaces: {len(found):,}"
        fix = "nothing to do: the split keeps such rows on one side, so that held-out rows stay unseen"
        yield Finding("shared-text", "note", message, len(found), examples(record.source for record in found), fix)
