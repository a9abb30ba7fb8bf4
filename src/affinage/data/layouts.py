"""The field's layouts, recognised by content. Tried in this order; the first whose columns are there is taken:

| layout | columns (names without case) | becomes |
| --- | --- | --- |
| preferences | chosen + rejected, two numbered responses, ranked replies, chats rated true/false | refused, by name |
| chat | `messages`, `conversations` ...: turns with role or from | Chat; Prompt when no row ends with an answer |
| seed tasks | instruction + instances | one Chat an instance |
| alpaca | instruction + output or response (+ input or context, system, history) | Chat |
| prompt/response | prompt, question, query, problem, input + completion, response, solution, answer(s), output | Chat |
| text/label | text, sentence, content, review, question ... + label_name, label, category, intent ... | Labelled |
| text | text, content, document, body, article, contexts (lists joined by blank lines) | Text |
| prompt | prompt or instruction alone | Prompt |

So an answer beside a question outranks a label beside it, and a label beside a text outranks the bare text. A `title`
beside a labelled text is put before it; beside a bare text it is left alone. A question's `context` (SQuAD) goes
before it. A mapping of `columns` overrules all this and is taken as complete: `text` alone means Text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from affinage.data import build
from affinage.data import columns as col
from affinage.data.columns import Values
from affinage.data.ledger import Drop
from affinage.data.records import Record, Source
from affinage.data.sources import RawRow, raw_id
from affinage.data.turns import BadRowError, parse_turns
from affinage.errors import InputError, nearest

ROLES = ("text", "label", "prompt", "response", "messages", "system")
_PREFERENCES = (
    ("chosen", "rejected"),
    ("response1", "response2"),
    ("response_1", "response_2"),
    ("response_0", "response_1"),
    ("response_a", "response_b"),
    ("ranked_replies",),
)
_KNOWN = "chat messages, instruction/output, prompt/completion, question/answer, text/label, text"

Make = Callable[[Values, Source], Record]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of one file become records. `description` says what was taken from which columns."""

    name: str
    description: str
    make: Make
    expand: Callable[[Values], list[Values]] = lambda values: [values]
    ignore_media: bool = False

    def to_records(self, row: RawRow) -> list[Record | Drop]:
        """The records of one row (a seed task has one an instance), a `Drop` in the place of each that cannot be."""
        values = col.folded(row.values)
        try:
            if not self.ignore_media:
                _refuse_media(values)
            pieces = self.expand(values)
        except BadRowError as bad:
            return [Drop(bad.reason, row.source, bad.detail, raw_id(row.values))]
        made: list[Record | Drop] = []
        for number, piece in enumerate(pieces, start=1):
            place = f"{row.source.locator}#{number}" if len(pieces) > 1 else row.source.locator
            source = Source(row.source.uri, place)
            try:
                made.append(self.make(piece, source))
            except BadRowError as bad:
                made.append(Drop(bad.reason, source, bad.detail, raw_id(piece)))
        return made


def recognise(rows: Sequence[RawRow], columns: Mapping[str, str] | None = None) -> Layout:
    """The layout of a file, from its first rows (a hundred or so), or as `columns` (role -> column) says.

    Raises:
        InputError: nothing fits, the rows hold preferences, or `columns` names something that is not there.
    """
    present = col.present_columns([row.values for row in rows])
    if columns:
        return _mapped({role: col.fold(name) for role, name in columns.items()}, present, rows)
    _refuse_preferences(present, rows)
    for find in (_chat, _seed_tasks, _alpaca, _pair, _labelled, _text, _prompt):
        layout = find(present, rows)
        if layout is not None:
            return layout
    raise _nothing_fits(rows)


def _chat(present: Sequence[str], rows: Sequence[RawRow]) -> Layout | None:
    column = col.first_of(col.TURNS, present)
    if column is None:
        return None
    system = col.first_of(("system", "system_prompt"), present)
    return _chat_layout(column, system, rows)


def _chat_layout(column: str, system: str | None, rows: Sequence[RawRow]) -> Layout:
    last = {_last_role(col.folded(row.values).get(column), column) for row in rows}
    answered = "assistant" in last or "user" not in last
    kind = "chats" if answered else "prompts (no chat ends with an answer)"
    beside = f", system turn from `{system}`" if system else ""
    return Layout("chat", f"{kind} from `{column}`{beside}", partial(build.make_chat, column, system, answered))


def _last_role(value: Any, column: str) -> str:
    try:
        turns = parse_turns(value, column)
    except BadRowError:
        return ""
    return turns[-1].role if turns else ""


def _seed_tasks(present: Sequence[str], rows: Sequence[RawRow]) -> Layout | None:
    if not {"instruction", "instances"} <= set(present):
        return None
    make = partial(build.make_alpaca, "input", "output", None)
    description = "prompt `instruction` + each of `instances`' `input`, response its `output`"
    return Layout("seed tasks", description, make, expand=build.instances)


def _alpaca(present: Sequence[str], rows: Sequence[RawRow]) -> Layout | None:
    response = col.first_of(("output", "response", "completion", "answer"), present)
    if "instruction" not in present or response is None:
        return None
    extra = col.first_of(col.INPUTS, present)
    system = col.first_of(("system", "system_prompt"), present)
    prompt = f"`instruction` + `{extra}`" if extra else "`instruction`"
    make = partial(build.make_alpaca, extra, response, system)
    return Layout("alpaca", f"prompt {prompt}, response `{response}`", make)


def _pair(present: Sequence[str], rows: Sequence[RawRow]) -> Layout | None:
    prompt = col.first_of(col.PROMPTS, present)
    response = col.first_of(col.RESPONSES, present)
    if prompt is None or response is None:
        return None
    context = "context" if prompt in ("question", "query") and "context" in present else None
    system = col.first_of(("system", "system_prompt"), present)
    return _pair_layout(prompt, response, context, system)


def _pair_layout(prompt: str, response: str, context: str | None, system: str | None) -> Layout:
    shown = f"`{context}` + `{prompt}`" if context else f"`{prompt}`"
    make = partial(build.make_pair, prompt, response, context, system)
    return Layout("prompt/response", f"prompt {shown}, response `{response}`", make)


def _labelled(present: Sequence[str], rows: Sequence[RawRow]) -> Layout | None:
    text = col.first_of(col.LABELLED_TEXTS, present)
    label = col.first_of(col.LABELS, present)
    return _labelled_layout(text, label, present) if text and label else None


def _labelled_layout(text: str, label: str, present: Sequence[str]) -> Layout:
    title = "title" if text != "title" and "title" in present else None
    shown = f"`{title}` + `{text}`" if title else f"`{text}`"
    return Layout("text/label", f"label `{label}` of text {shown}", partial(build.make_labelled, text, label, title))


def _text(present: Sequence[str], rows: Sequence[RawRow]) -> Layout | None:
    column = col.first_of(col.TEXTS, present)
    return _text_layout(column) if column else None


def _prompt(present: Sequence[str], rows: Sequence[RawRow]) -> Layout | None:
    column = col.first_of(("prompt", "instruction"), present)
    return _prompt_layout(column, None) if column else None


def _prompt_layout(column: str, system: str | None) -> Layout:
    return Layout("prompt", f"prompt `{column}`, without answers", partial(build.make_prompt, column, system))


def _mapped(columns: Mapping[str, str], present: Sequence[str], rows: Sequence[RawRow]) -> Layout:
    _check_mapping(columns, present, _place(rows))
    system = columns.get("system")
    layout: Layout | None = None
    if "messages" in columns:
        layout = _chat_layout(columns["messages"], system, rows)
    elif "response" in columns:
        prompt = columns.get("prompt") or col.first_of((*col.PROMPTS, "instruction"), present)
        layout = _pair_layout(prompt, columns["response"], None, system) if prompt else None
    elif "prompt" in columns:
        layout = _prompt_layout(columns["prompt"], system)
    elif "label" in columns:
        text = columns.get("text") or col.first_of(col.LABELLED_TEXTS, present)
        layout = _labelled_layout(text, columns["label"], () if "text" in columns else present) if text else None
    elif "text" in columns:
        layout = _text_layout(columns["text"])
    if layout is None:
        raise _nothing_fits(rows)
    return Layout(layout.name, layout.description, layout.make, ignore_media=True)


def _text_layout(column: str) -> Layout:
    return Layout("text", f"text `{column}`", partial(build.make_text, column))


def _check_mapping(columns: Mapping[str, str], present: Sequence[str], place: str) -> None:
    for role, name in columns.items():
        if role not in ROLES:
            raise InputError(f"columns.{role}: unknown role.{nearest(role, ROLES)}", fix=f"roles: {', '.join(ROLES)}")
        if name not in present:
            raise InputError(
                f"{place}: no column {name!r} for columns.{role}.{nearest(name, present)}",
                fix=f"columns found: {', '.join(present) or 'none'}",
            )
    groups = [{"text", "label"}, {"prompt", "response"}, {"messages"}]
    if sum(bool(group & set(columns)) for group in groups) > 1:
        raise InputError(
            f"columns: {' and '.join(columns)} do not go together",
            fix="name text (and label), or prompt (and response), or messages",
        )


def _refuse_media(values: Values) -> None:
    for column in col.MEDIA:
        value = values.get(column)
        if value not in (None, "", [], {}):
            raise BadRowError("not-text", f"column `{column}` holds images, sound or video: text only")


def _refuse_preferences(present: Sequence[str], rows: Sequence[RawRow]) -> None:
    prompt = col.first_of((*col.TURNS, *col.PROMPTS, "instruction"), present) or "..."
    for names in _PREFERENCES:
        if set(names) <= set(present):
            raise InputError(
                f"{_place(rows)}: the rows hold preferences ({', '.join(names)}), which no objective here eats",
                fix=f"to learn from one answer: --set columns.prompt={prompt} --set columns.response={names[0]}",
            )
    turns = col.first_of(col.TURNS, present)
    if turns and any(isinstance(col.folded(row.values).get("label"), bool) for row in rows):
        raise InputError(
            f"{_place(rows)}: the rows hold chats rated true or false (`label`), which no objective here eats",
            fix=f"to learn from all of them whatever the rating: --set columns.messages={turns}",
        )


def _nothing_fits(rows: Sequence[RawRow]) -> InputError:
    names = list(dict.fromkeys(str(name) for row in rows for name in row.values))
    media = [n for n in names if _named_media(n) or any(col.is_media(row.values.get(n)) for row in rows)]
    if media:
        return InputError(
            f"{_place(rows)}: columns {', '.join(media)} hold images, sound or raw bytes: text only",
            fix="choose rows of text, or name their column: --set columns.text=...",
        )
    example = max(names, key=lambda name: _length(rows, name), default="COLUMN")
    return InputError(
        f"{_place(rows)}: no known layout fits the columns {', '.join(names) or '(none)'}",
        fix=f"known: {_KNOWN}; or name the columns, for example --set columns.text={example}",
    )


def _length(rows: Sequence[RawRow], name: str) -> int:
    return sum(len(value) for row in rows if isinstance(value := row.values.get(name), str))


def _named_media(name: str) -> bool:
    """Whether a column's name says that it holds images, sound or video."""
    return col.fold(name) in col.MEDIA


def _place(rows: Sequence[RawRow]) -> str:
    return rows[0].source.uri if rows else "data"
