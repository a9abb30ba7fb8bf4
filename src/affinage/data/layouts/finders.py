"""Layouts of chats, prompts, texts and pairs: each is found by its columns in the head of a file, or it is not."""

from __future__ import annotations

from functools import partial
from typing import Any

from affinage.data.layouts import build, pairs
from affinage.data.layouts import columns as col
from affinage.data.layouts.bad_row import BadRowError
from affinage.data.layouts.build import Asked
from affinage.data.layouts.label_values import SAYS, LabelColumn, label_kind
from affinage.data.layouts.layout import Head, Layout
from affinage.data.layouts.turns import parse_turns
from affinage.errors import InputError

QUERIES = ("query", "anchor", "question", "sentence1")
PASSAGES = ("passage", "positive", "positives", "pos", "positive_passages", "document", "sentence2")
NEGATIVES = ("negative", "negatives", "neg", "negative_passages", "hard_negatives")
RELEVANCES = ("score", "similarity", "similarity_score", "relevance", "label")
SPOKEN = frozenset({"system", "tools"})  # what can be added by hand to what is said
_LONGEST_LABEL = 60  # characters
_THREAD = frozenset({"parent_id", "message_id", "role", "text"})


def chat(head: Head) -> Layout | None:
    """Turns in one column."""
    column = head.first(col.TURNS)
    return chat_layout(column, head) if column else None


def chat_layout(column: str, head: Head) -> Layout:
    """Turns under `column`: chats, or prompts where none of them ends with an answer."""
    system, tools = head.role("system", col.SYSTEMS), head.role("tools", col.TOOLS)
    last = {_last_role(row.get(column), column) for row in head.rows}
    answered = "assistant" in last or not {"user", "tool"} & last
    kind = "chats" if answered else "prompts (no chat ends with an answer)"
    beside = (f", system turn from `{system}`" if system else "") + (f", functions from `{tools}`" if tools else "")
    make = partial(build.make_chat, column, system, tools, answered)
    return Layout("chat", f"{kind} from `{column}`{beside}", make, adds=SPOKEN)


def _last_role(value: Any, column: str) -> str:
    try:
        turns = parse_turns(value, column)
    except BadRowError:
        return ""
    return turns[-1].role if turns else ""


def seed_tasks(head: Head) -> Layout | None:
    """An instruction with a list of instances."""
    if not {"instruction", "instances"} <= set(head.present):
        return None
    asked = Asked("instruction", after="input", system=head.named.get("system"))
    make = partial(build.make_pair, asked, "output", None)
    description = "prompt `instruction` + each of `instances`' `input`, response its `output`"
    return Layout("seed tasks", description, make, expand=build.instances)


def alpaca(head: Head) -> Layout | None:
    """An instruction, perhaps an input, and an answer."""
    response = head.first(col.INSTRUCTED)
    if "instruction" not in head.present or response is None:
        return None
    return pair_layout("alpaca", asked_in(head), response, head)


def prompt_response(head: Head) -> Layout | None:
    """A prompt and its answer."""
    asked, response = asked_in(head, col.PROMPTS), head.first(col.RESPONSES)
    return pair_layout("prompt/response", asked, response, head) if asked and response else None


def pair_layout(name: str, asked: Asked | None, response: str, head: Head) -> Layout:
    """What is asked, and the answer under `response`."""
    if asked is None:
        raise InputError(f"{head.uri}: no column holds what is asked", fix="name it: --set columns.prompt=NAME")
    tools = head.role("tools", col.TOOLS)
    beside = (f", system turn from `{asked.system}`" if asked.system else "") + (
        f", functions from `{tools}`" if tools else ""
    )
    make = partial(build.make_pair, asked, response, tools)
    return Layout(name, f"prompt {asked.shown}, response `{response}`{beside}", make, adds=SPOKEN)


def asked_in(head: Head, names: tuple[str, ...] = ("instruction", *col.PROMPTS)) -> Asked | None:
    """Where what is asked stands, among `names`, with the columns that belong to it."""
    main = head.first(names)
    system = head.role("system", col.SYSTEMS)
    if main is None:
        return None
    if main == "instruction":
        return Asked(main, after=head.first(col.INPUTS), system=system, history="history")
    before = "context" if main in ("question", "query") and "context" in head.present else None
    return Asked(main, before=before, system=system)


def labelled(head: Head) -> Layout | None:
    """A text with a label beside it."""
    text = head.first(col.LABELLED_TEXTS)
    names = [name for name in col.LABELS if name not in col.RATHER_NUMBERS or head.all(name, _is_short)]
    label = head.first(names)
    if label is None:
        numbers = [name for name in col.NUMBERS if name in head.present]
        label = next((name for name in numbers if label_kind(head.values(name), name, None) == "number"), None)
    return labelled_layout(text, label, head) if text and label else None


def _is_short(value: Any) -> bool:
    """What can be a label where the column's name could mean a text too."""
    return not isinstance(value, str) or len(value) <= _LONGEST_LABEL


def labelled_layout(text: str, label: str, head: Head, *, title: str | None = "title") -> Layout:
    """The text under `text`, after its `title` if there is one, with the label under `label`."""
    title = title if title in head.present and title != text else None
    kind = label_kind(head.values(label), label, head.label_separator)
    split = f" (split at {head.label_separator!r})" if kind == "multi" and head.label_separator else ""
    shown = f"`{title}` + `{text}`" if title else f"`{text}`"
    make = partial(build.make_labelled, text, LabelColumn(label, kind, head.label_separator), title)
    return Layout("text/label", f"{SAYS[kind]} `{label}`{split} of text {shown}", make)


def query_passage(head: Head) -> Layout | None:
    """A query with passages, or two texts and how alike they are."""
    query, passage = head.first(QUERIES), head.first(PASSAGES)
    if query == "question" and passage is None and "context" in head.present:
        passage = "context"
    if query is None or passage is None or ((query == "sentence1") != (passage == "sentence2")):
        return None
    relevance = head.first(RELEVANCES)
    if relevance is not None and not head.all(relevance, is_relevance):
        if relevance == "label":
            return None  # classes of pairs, not how relevant a passage is
        relevance = None
    return query_passage_layout(query, passage, tuple(n for n in NEGATIVES if n in head.present), relevance)


def is_relevance(value: Any) -> bool:
    """A number; 0 and 1 or fractions, where labels could be classes."""
    return isinstance(value, bool) or col.as_number(value) is not None


def query_passage_layout(query: str, passage: str, negatives: tuple[str, ...], relevance: str | None) -> Layout:
    """The query, each of its passages, the passages that do not answer it, and how relevant the passage is."""
    against = f", negatives {', '.join(f'`{name}`' for name in negatives)}" if negatives else ""
    told = f", relevance `{relevance}`" if relevance else ""
    make = partial(pairs.make_query_passage, query, passage, negatives, relevance)
    description = f"query `{query}`, passage `{passage}`{against}{told}"
    return Layout("query/passage", description, make, expand=partial(pairs.each_passage, passage))


def text(head: Head) -> Layout | None:
    """A text alone."""
    if set(head.present) >= _THREAD:
        raise InputError(
            f"{head.uri}: the rows are single messages of threads (parent_id), not whole conversations",
            fix="use the file that holds a tree of replies a line, or --set columns.text=text for the bare texts",
        )
    column = head.first(col.TEXTS)
    return text_layout(column) if column else None


def text_layout(column: str) -> Layout:
    """The text under `column`."""
    return Layout("text", f"text `{column}`", partial(build.make_text, column))


def prompt(head: Head) -> Layout | None:
    """A prompt without an answer."""
    asked = asked_in(head, ("prompt", "instruction"))
    return prompt_layout(asked, head.first(col.REFERENCES), head) if asked else None


def prompt_layout(asked: Asked, reference: str | None, head: Head) -> Layout:
    """What is asked, with a reference answer to check by."""
    tools = head.role("tools", col.TOOLS)
    parts = {"system turn from": asked.system, "functions from": tools, "reference": reference}
    beside = "".join(f", {what} `{column}`" for what, column in parts.items() if column)
    make = partial(build.make_prompt, asked, reference, tools)
    return Layout("prompt", f"prompt {asked.shown}, without answers{beside}", make, adds=SPOKEN)
