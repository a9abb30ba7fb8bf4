"""Layouts named by hand: `columns` of the recipe, role -> column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from affinage.data.layouts import build, judged
from affinage.data.layouts import columns as col
from affinage.data.layouts import finders as find
from affinage.data.layouts import judged_finders as judge
from affinage.data.layouts.build import Asked
from affinage.data.layouts.label_values import LabelFlags, is_flag
from affinage.data.layouts.layout import Head, Layout
from affinage.data.layouts.preferences import Verdict
from affinage.errors import InputError, nearest

ROLES = (
    "text", "label", "labels", "prompt", "response", "messages", "reference", "chosen", "rejected", "completions",
    "ranks", "score", "winner", "query", "passage", "negatives", "system", "tools", "margin", "confidence", "group",
    "time",
)  # fmt: skip
ADDED = frozenset({"system", "tools", "margin", "confidence", "group", "time"})  # no mapping by themselves
_SEVERAL = frozenset({"labels", "completions", "negatives", "score"})  # roles that may name columns, comma between


@dataclass(frozen=True, slots=True)
class _Combination:
    """Roles that make a layout: all of `needs`, any of `may`."""

    needs: frozenset[str]
    may: frozenset[str] = frozenset()


def _roles(needs: str, may: str = "") -> _Combination:
    return _Combination(frozenset(needs.split()), frozenset(may.split()))


_COMBINATIONS = {  # the first whose needs are named is taken
    "chosen": _roles("chosen rejected", "prompt messages"),
    "completions": _roles("completions", "prompt messages ranks score winner"),
    "query": _roles("query passage", "negatives score"),
    "rated": _roles("score", "prompt response messages"),
    "messages": _roles("messages"),
    "response": _roles("response", "prompt"),
    "prompt": _roles("prompt", "reference"),
    "labels": _roles("labels", "text"),
    "label": _roles("label", "text"),
    "text": _roles("text"),
}


def check_roles(columns: Mapping[str, str], head: Head) -> None:
    """Refuse roles that are not known, columns that are not there, and roles that make no layout together.

    Raises:
        InputError: with the nearest known name.
    """
    for role, named in columns.items():
        if role not in ROLES:
            raise InputError(f"columns.{role}: unknown role.{nearest(role, ROLES)}", fix=f"roles: {', '.join(ROLES)}")
        for name, _ in names_of(role, named, head):
            if name not in head.present:
                raise InputError(
                    f"{head.uri}: no column {name!r} for columns.{role}.{nearest(name, head.present)}",
                    fix=f"columns found: {', '.join(head.present) or 'none'}",
                )


def names_of(role: str, named: str, head: Head) -> list[tuple[str, str]]:
    """The columns that a role names, folded and as written; several where the role may have several."""
    if role in _SEVERAL and col.fold(named) not in head.present:
        return [(col.fold(name), name.strip()) for name in named.split(",") if name.strip()]
    return [(col.fold(named), named.strip())]


def mapped(columns: Mapping[str, str], head: Head) -> Layout | None:
    """The layout that the roles make, or nothing where a column that belongs to it was not named and is not found.

    Raises:
        InputError: the roles do not go together.
    """
    core = {role: named for role, named in columns.items() if role not in ADDED}
    kind = next((kind for kind, roles in _COMBINATIONS.items() if roles.needs <= set(core)), None)
    if kind is None or not set(core) <= _COMBINATIONS[kind].needs | _COMBINATIONS[kind].may:
        raise InputError(
            f"columns: {' and '.join(core)} do not {'go together' if len(core) > 1 else 'suffice'}",
            fix="name text (and label or labels), prompt and response, messages, chosen and rejected, completions "
            "(and ranks, score or winner), score with what was rated, or query and passage",
        )
    one = {role: col.fold(named) for role, named in core.items()}
    if kind in ("chosen", "completions"):
        return _preference(core, one, head)
    if kind == "query":
        negatives = tuple(name for name, _ in names_of("negatives", core.get("negatives", ""), head) if name)
        return find.query_passage_layout(one["query"], one["passage"], negatives, one.get("score"))
    if kind == "rated":
        return _rated(one, head)
    if kind == "messages":
        return find.chat_layout(one["messages"], head)
    if kind in ("response", "prompt"):
        return _asked(one, head)
    return _text(core, one, head)


def _prompt(one: Mapping[str, str], head: Head) -> Asked | None:
    """The prompt as named; its context and input are not guessed."""
    named = one.get("messages") or one.get("prompt")
    return Asked(named, system=head.role("system", col.SYSTEMS)) if named else None


def _asked(one: Mapping[str, str], head: Head) -> Layout | None:
    system = head.named.get("system")
    main = one.get("prompt") or head.first((*col.PROMPTS, "instruction"))
    if main is None:
        return None
    asked = Asked(main, system=system)
    if "response" in one:
        return find.pair_layout("prompt/response", asked, one["response"], head)
    return find.prompt_layout(asked, one.get("reference"), head)


def _preference(core: Mapping[str, str], one: Mapping[str, str], head: Head) -> Layout:
    prompted = judge.prompted_in(head, _prompt(one, head))
    if "chosen" in one:
        return judge.chosen_layout(one["chosen"], one["rejected"], prompted, head)
    names = tuple(name for name, _ in names_of("completions", core["completions"], head))
    scores = tuple(name for name, _ in names_of("score", core.get("score", ""), head) if name)
    if "winner" in one or len(scores) > 1:
        if len(names) != 2 or len(scores) not in (0, 2):
            raise InputError(
                "columns.winner and two columns of scores are for two answers: columns.completions must name two",
                fix="for example --set columns.completions=answer_a,answer_b --set columns.winner=better",
            )
        pair = (names[0], names[1])
        first = judge.first_number(head, one["winner"], pair) if "winner" in one else 1
        verdict = Verdict(one.get("winner"), first, scores=(scores[0], scores[1]) if scores else None)
        return judge.two_layout(pair, verdict, prompted)
    compared = one.get("ranks")
    if compared and head.all(compared, lambda v: isinstance(v, list) and bool(v) and judged.is_comparison(v[0])):
        return judge.compared_layout(names[0], compared, prompted)
    return judge.ranked_layout(names, compared, scores[0] if scores else None, prompted)


def _rated(one: Mapping[str, str], head: Head) -> Layout | None:
    rating = one["score"]
    thumbs = head.all(rating, lambda value: judged.thumb(value) is not None)
    if "messages" in one:
        return judge.rated_chat_layout(one["messages"], rating, thumbs, head)
    asked = _prompt(one, head) or find.asked_in(head)
    response = one.get("response") or head.first(col.RESPONSES)
    return judge.rated_layout(asked, response, rating, thumbs) if asked and response else None


def _text(core: Mapping[str, str], one: Mapping[str, str], head: Head) -> Layout | None:
    text = one.get("text") or head.first(col.LABELLED_TEXTS)
    if "label" not in one and "labels" not in one:
        return find.text_layout(one["text"])
    if text is None:
        return None
    title = None if "text" in one else "title"
    if "label" in one:
        return find.labelled_layout(text, one["label"], head, title=title)
    flags = tuple(names_of("labels", core["labels"], head))
    if len(flags) == 1 and not head.all(flags[0][0], is_flag):
        return find.labelled_layout(text, flags[0][0], head, title=title)
    title = title if title in head.present and title != text else None
    shown = ", ".join(f"`{column}`" for column, _ in flags)
    make = partial(build.make_labelled, text, LabelFlags(flags), title)
    return Layout("text/label", f"labels {shown} of text `{text}`", make)
