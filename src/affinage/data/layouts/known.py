"""The field's layouts, recognised by content: tried in the order of `KNOWN`, the first whose columns are there is taken.

chosen/rejected, reply trees, ranked answers, two answers, rated answers; chat, seed tasks, multiple choice, alpaca,
prompt/response; query/passage; text/label; text; prompt. `layout_table()` tells the columns of each.

So what people judged outranks what was said, an answer beside a question outranks a label beside it, and a label
beside a text outranks the bare text. A `title` beside a labelled text is put before it; beside a bare text it is left
alone. A question's `context` goes before it. A mapping of `columns` overrules all this and is taken as complete:
`text` alone means Text; but `group`, `time`, `system`, `tools`, `margin` and `confidence` only add to what is found.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from affinage.data.layouts import choices
from affinage.data.layouts import columns as col
from affinage.data.layouts import finders as find
from affinage.data.layouts import judged_finders as judge
from affinage.data.layouts.layout import Head, Layout, make_head
from affinage.data.layouts.mapping import ADDED, ROLES, check_roles, mapped
from affinage.data.reading.sources import RawRow
from affinage.errors import InputError

__all__ = ["KNOWN", "ROLES", "Layout", "UnknownLayoutError", "layout_table", "recognise"]

_KNOWN = "chat messages, instruction/output, prompt/completion, question/answer, chosen/rejected, text/label, text"


class UnknownLayoutError(InputError):
    """No known layout fits the columns of a file."""


@dataclass(frozen=True, slots=True)
class Known:
    """One layout: its name, its columns and what it becomes, for people; and how it is found."""

    name: str
    columns: str
    becomes: str
    find: Callable[[Head], Layout | None]


def _any(names: Iterable[str]) -> str:
    return " or ".join(f"`{name}`" for name in names)


def _perhaps(names: Iterable[str]) -> str:
    return f"perhaps {_any(names)}"


KNOWN = (
    Known(
        "chosen/rejected",
        f"`chosen` + `rejected` (text, turns or transcripts), perhaps a prompt ({_any(judge.ASKED)}; else what both "
        f"begin with), {_perhaps(judge.MARGINS + judge.CONFIDENCES)}, scores such as `score_chosen` + `score_rejected`",
        "Preference",
        judge.chosen_rejected,
    ),
    Known(
        "reply trees",
        f"`prompt` or {_any(col.TURNS)}: a message with `replies` that have a `rank`",
        "one Preference a message with ranked answers",
        judge.tree,
    ),
    Known(
        "ranked answers",
        f"a prompt + {_any(judge.BEST_FIRST)} (best first), or + a list {_any(judge.LISTS)} with a list "
        f"{_any(judge.RANKS + judge.SCORES)} beside it, with ranks or scores in its items, or with comparisons "
        f"[i, j, winner] in {_any(judge.COMPARISONS)}",
        "Preference (one a pair where comparisons contradict each other)",
        judge.ranked,
    ),
    Known(
        "two answers",
        f"a prompt + two of {_any(judge.STEMS)} ending in {_any('/'.join(ends) for ends in judge.SUFFIXES)} + a verdict "
        f"{_any(judge.WINNERS + judge.STRENGTHS)}, or two scores such as `score_a` + `score_b`",
        "Preference",
        judge.two_answers,
    ),
    Known(
        "rated answers",
        f"a chat, or a prompt and an answer, + a thumb {_any(judge.THUMBS)}, or a number {_any(judge.RATINGS)}",
        "Rated",
        judge.rated,
    ),
    Known(
        "chat",
        f"{_any(col.TURNS)}: turns with role or from, {_perhaps(col.SYSTEMS + col.TOOLS)}",
        "Chat; Prompt when no row ends with an answer",
        find.chat,
    ),
    Known("seed tasks", "`instruction` + `instances`", "one Chat an instance", find.seed_tasks),
    Known(
        "multiple choice",
        f"{_any(choices.ASKED)} + {_any(choices.CHOICES)} (a list, or letters with texts) + {_any(choices.KEYS)} (letter, "
        "number from 0, or text of what is right), perhaps `context`",
        "Chat: the choices are read, the right ones are said",
        choices.multiple_choice,
    ),
    Known(
        "alpaca",
        f"`instruction` + {_any(col.INSTRUCTED)}, {_perhaps((*col.INPUTS, *col.SYSTEMS, 'history', *col.TOOLS))}",
        "Chat",
        find.alpaca,
    ),
    Known(
        "prompt/response",
        f"{_any(col.PROMPTS)} + {_any(col.RESPONSES)}, {_perhaps(('context', *col.SYSTEMS, *col.TOOLS))}",
        "Chat",
        find.prompt_response,
    ),
    Known(
        "query/passage",
        f"{_any(find.QUERIES)} + {_any((*find.PASSAGES, 'context'))}, {_perhaps(find.NEGATIVES + find.RELEVANCES)}",
        "one Pair a passage",
        find.query_passage,
    ),
    Known(
        "text/label",
        f"{_any(col.LABELLED_TEXTS)} + {_any(col.LABELS)}, or {_any(col.NUMBERS)} where it holds numbers with fractions; "
        "perhaps `title`",
        "Labelled: a name, several names (lists), or a number",
        find.labelled,
    ),
    Known("text", f"{_any(col.TEXTS)} (lists joined by blank lines)", "Text", find.text),
    Known("prompt", f"`prompt` or `instruction` alone, {_perhaps(col.REFERENCES)}", "Prompt", find.prompt),
)


def layout_table() -> list[tuple[str, str, str]]:
    """(layout, columns, what a row becomes), in the order in which they are tried."""
    return [(known.name, known.columns, known.becomes) for known in KNOWN]


def recognise(
    rows: Sequence[RawRow], columns: Mapping[str, str] | None = None, *, label_separator: str | None = None
) -> Layout:
    """The layout of a file, from its first rows (a hundred or so), or as `columns` (role -> column) says.

    Args:
        label_separator: what stands between several labels in one cell of text.

    Raises:
        InputError: nothing fits, it cannot be told what is meant, or `columns` names something that is not there.
    """
    columns = columns or {}
    named = {role: col.fold(name) for role, name in columns.items() if role in ADDED}
    head = make_head(rows, named, label_separator)
    check_roles(columns, head)
    if set(columns) <= ADDED:
        layout = next((found for known in KNOWN if (found := known.find(head)) is not None), None)
    else:
        layout = mapped(columns, head)
    if layout is None:
        raise _nothing_fits(rows)
    unused = sorted(set(named) - {"group", "time"} - layout.adds)
    if unused:
        raise InputError(
            f"{head.uri}: columns.{unused[0]} has no place in this layout ({layout.name}: {layout.description})",
            fix="leave it out, or name the other columns too",
        )
    by_hand = not set(columns) <= ADDED
    return replace(layout, ignore_media=by_hand, group=named.get("group"), time=named.get("time"))


def _nothing_fits(rows: Sequence[RawRow]) -> InputError:
    names = list(dict.fromkeys(str(name) for row in rows for name in row.values))
    place = rows[0].source.uri if rows else "data"
    media = [n for n in names if col.fold(n) in col.MEDIA or any(col.is_media(row.values.get(n)) for row in rows)]
    if media:
        return UnknownLayoutError(
            f"{place}: columns {', '.join(media)} hold images, sound or raw bytes: text only",
            fix="choose rows of text, or name their column: --set columns.text=...",
        )
    example = max(names, key=lambda name: _length(rows, name), default="COLUMN")
    return UnknownLayoutError(
        f"{place}: no known layout fits the columns {', '.join(names) or '(none)'}",
        fix=f"known: {_KNOWN}; or name the columns, for example --set {shlex.quote(f'columns.text={example}')}; or leave "
        "this file out, where others hold the data",
    )


def _length(rows: Sequence[RawRow], name: str) -> int:
    return sum(len(value) for row in rows if isinstance(value := row.values.get(name), str))
