"""Layouts of preferences and ratings: each is found by its columns in the head of a file, or it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

from affinage.data.layouts import columns as col
from affinage.data.layouts import judged, preferences, ranked_trees, ratings
from affinage.data.layouts.build import Asked
from affinage.data.layouts.finders import asked_in
from affinage.data.layouts.layout import Head, Layout
from affinage.data.layouts.preferences import RANK_KEYS, SCORE_KEYS, Prompted, Verdict
from affinage.errors import InputError

ASKED = (*col.TURNS, "prompt", "instruction", "question", "query", "problem", "input", "history", "post")
BEST_FIRST = ("ranked_replies", "ranked_responses", "ranked_completions")
LISTS = ("completions", "responses", "answers", "candidates", "replies", "generations", "predictions", "outputs")
RANKS = ("ranks", "rank", "ranking", "rankings")
SCORES = ("scores", "score", "ratings", "rating", "rewards")
COMPARISONS = ("preferences", "comparisons")
STEMS = ("response", "completion", "answer", "output", "reply", "candidate", "summary", "conversation", "human_ref")
SUFFIXES = (("1", "2"), ("_1", "_2"), ("_0", "_1"), ("_a", "_b"), ("0", "1"), ("a", "b"))
WINNERS = (
    "winner", "majority", "preference", "preferred", "choice", "better", "better_response", "better_response_id",
    "human_preference", "overall_preference", "verdict", "label",
)  # fmt: skip
STRENGTHS = ("preference_strength",)
CHOSEN_SCORES = (
    ("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"), ("rating_chosen", "rating_rejected"),
    ("chosen_rating", "rejected_rating"), ("reward_chosen", "reward_rejected"), ("chosen_reward", "rejected_reward"),
)  # fmt: skip
MARGINS = ("margin", "score_diff")
CONFIDENCES = ("confidence",)
THUMBS = ("label", "thumb", "thumbs", "kto_tag", "feedback", "vote", "is_good")
RATINGS = ("score", "rating", "reward")
ADDS = frozenset({"system", "margin", "confidence"})


def judged_layout(name: str, what: str, make: Any, prompted: Prompted, expand: Any = None) -> Layout:
    """A layout of preferences, its prompt and what stands beside it told."""
    asked = prompted.asked
    system = asked.system if asked else prompted.system
    told = f"prompt {asked.shown}" if asked else "the prompt is what the answers begin with"
    told += f", system turn from `{system}`" if system else ""
    told += f", margin `{prompted.margin}`" if prompted.margin else ""
    told += f", confidence `{prompted.confidence}`" if prompted.confidence else ""
    return Layout(name, f"{what}; {told}", make, expand=expand, adds=ADDS)


def prompted_in(head: Head, asked: Asked | None = None) -> Prompted:
    """Where the prompt of preferences stands, and their margins."""
    asked = asked or asked_in(head, ASKED)
    if asked is not None and asked.before is None and asked.main in ("question", "query"):
        before = head.first(("context", "passages", "contexts"))
        asked = Asked(asked.main, before=before, system=asked.system)
    system = None if asked else head.role("system", col.SYSTEMS)
    margin, confidence = head.role("margin", MARGINS), head.role("confidence", CONFIDENCES)
    return Prompted(asked, system, margin, confidence)


def chosen_rejected(head: Head) -> Layout | None:
    """One answer that was chosen and one that was rejected."""
    if not {"chosen", "rejected"} <= set(head.present):
        return None
    return chosen_layout("chosen", "rejected", prompted_in(head), head)


def chosen_layout(chosen: str, rejected: str, prompted: Prompted, head: Head) -> Layout:
    """The answers under `chosen` and `rejected`."""
    scores = next((pair for pair in CHOSEN_SCORES if set(pair) <= set(head.present)), None)
    make = partial(preferences.make_chosen, prompted, chosen, rejected, scores)
    told = f", scores `{scores[0]}`, `{scores[1]}`" if scores else ""
    return judged_layout("chosen/rejected", f"chosen `{chosen}`, rejected `{rejected}`{told}", make, prompted)


def tree(head: Head) -> Layout | None:
    """Trees of replies that people ranked."""
    for column in ("prompt", "replies", *col.TURNS):
        if column != "replies" and head.all(column, lambda value: isinstance(value, Mapping) and "replies" in value):
            make = partial(ranked_trees.make_tree, column)
            expand = partial(ranked_trees.tree_pieces, column)
            return Layout("reply trees", f"ranked replies in the trees under `{column}`", make, expand=expand)
    return None


def ranked(head: Head) -> Layout | None:
    """Several answers with their order, ranks, scores or comparisons."""
    best = head.first(BEST_FIRST)
    if best is not None:
        return ranked_layout((best,), None, None, prompted_in(head))
    for column in LISTS:
        if not head.all(column, lambda value: isinstance(value, list)):
            continue
        ranks, scores = _lists(head, RANKS), _lists(head, SCORES)
        if ranks or scores or any(_rated_inside(value) for value in head.values(column)):
            return ranked_layout((column,), ranks, None if ranks else scores, prompted_in(head))
        compared = head.first(COMPARISONS)
        if compared and head.all(compared, _holds_comparisons):
            return compared_layout(column, compared, prompted_in(head))
    return None


def _lists(head: Head, names: Sequence[str]) -> str | None:
    return next((name for name in names if head.all(name, lambda value: isinstance(value, list))), None)


def _holds_comparisons(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(judged.is_comparison, value))


def _rated_inside(value: list[Any]) -> bool:
    keys = (*RANK_KEYS, *SCORE_KEYS)
    return len(value) > 1 and all(
        isinstance(item, Mapping) and any(col.as_number(item.get(key)) is not None for key in keys) for item in value
    )


def ranked_layout(columns: tuple[str, ...], ranks: str | None, scores: str | None, prompted: Prompted) -> Layout:
    """The answers under `columns`, by `ranks`, by `scores`, or best first."""
    inside = "best first" if columns[0] in BEST_FIRST else "by their own ranks or scores, or best first"
    by = f"ranks `{ranks}`" if ranks else f"scores `{scores}`" if scores else inside
    make = partial(preferences.make_ranked, prompted, columns, ranks, scores)
    shown = ", ".join(f"`{column}`" for column in columns)
    return judged_layout("ranked answers", f"answers {shown}, {by}", make, prompted)


def compared_layout(column: str, compared: str, prompted: Prompted) -> Layout:
    """The answers under `column`, compared two by two."""
    make = partial(preferences.make_ranked, prompted, (column,), compared, None)
    expand = partial(preferences.comparisons, column, compared)
    return judged_layout("ranked answers", f"answers `{column}`, compared by `{compared}`", make, prompted, expand)


def two_answers(head: Head) -> Layout | None:
    """Two answers and which of them is better."""
    for stem, ends in product(STEMS, SUFFIXES):
        names = (stem + ends[0], stem + ends[1])
        if not set(names) <= set(head.present):
            continue
        verdict = _verdict(head, names, ends)
        if verdict is not None:
            return two_layout(names, verdict, prompted_in(head))
        if head.first((*col.RESPONSES, *col.TEXTS)) is None:
            raise InputError(
                f"{head.uri}: the rows hold two answers ({', '.join(names)}), and no column says which is better",
                fix="name it: --set columns.completions=" + ",".join(names) + " --set columns.winner=NAME",
            )
    return None


def _verdict(head: Head, names: tuple[str, str], ends: tuple[str, str]) -> Verdict | None:
    scores = next((pair for pair in _score_names(ends) if set(pair) <= set(head.present)), None)
    for column in WINNERS:
        if head.all(column, lambda value: judged.is_winner(value, names)):
            return Verdict(column, first_number(head, column, ends), scores=scores)
    strength = next((name for name in STRENGTHS if head.all(name, lambda v: col.as_number(v) is not None)), None)
    if strength or scores:
        return Verdict(strength=strength, scores=scores)
    return None


def _score_names(ends: tuple[str, str]) -> list[tuple[str, str]]:
    return [(stem + ends[0], stem + ends[1]) for stem in ("score", "rating", "reward")]


def first_number(head: Head, column: str, ends: tuple[str, str]) -> int:
    """The number under `column` that means the first answer.

    Raises:
        InputError: the numbers could be read both ways.
    """
    first = judged.numbering(head.values(column), ends)
    if first is None:
        raise InputError(
            f"{head.uri}: `{column}` holds 0, 1 and 2, and the answers' columns carry letters: which number is which?",
            fix="write a, b or tie there",
        )
    return first


def two_layout(names: tuple[str, str], verdict: Verdict, prompted: Prompted) -> Layout:
    """The two answers under `names`, and what says which is better."""
    numbered = f" ({verdict.first} is the first)" if verdict.winner else ""
    by = verdict.winner or verdict.strength
    told = f"better by `{by}`{numbered}" if by else ""
    told += (
        f"{', ' if told else ''}scores {', '.join(f'`{name}`' for name in verdict.scores)}" if verdict.scores else ""
    )
    make = partial(preferences.make_compared, prompted, names, verdict)
    return judged_layout("two answers", f"answers `{names[0]}`, `{names[1]}`, {told}", make, prompted)


def rated(head: Head) -> Layout | None:
    """A chat, or a prompt with its answer, and a thumb or a score."""
    found = _rating(head)
    if found is None:
        return None
    turns = head.first(col.TURNS)
    if turns is not None:
        return rated_chat_layout(turns, *found, head)
    asked = asked_in(head)
    response = head.first(col.INSTRUCTED if asked and asked.main == "instruction" else col.RESPONSES)
    return rated_layout(asked, response, *found) if asked and response else None


def _rating(head: Head) -> tuple[str, bool] | None:
    """The column with the rating, and whether it holds thumbs."""
    for column in (*THUMBS, *RATINGS):
        if head.all(column, _is_truth if column == "label" else _is_thumb):
            return column, True
        if column in RATINGS and head.all(column, lambda value: col.as_number(value) is not None):
            return column, False
    return None


def _is_thumb(value: Any) -> bool:
    return judged.thumb(value) is not None


def _is_truth(value: Any) -> bool:
    """True or false; a `label` that says good or yes may be a class."""
    return isinstance(value, bool) or (isinstance(value, str) and value.strip().lower() in ("true", "false"))


def rated_chat_layout(turns: str, rating: str, thumbs: bool, head: Head) -> Layout:
    """Chats whose last answer was rated."""
    system = head.role("system", col.SYSTEMS)
    make = partial(ratings.make_rated_chat, turns, system, rating, thumbs)
    beside = f", system turn from `{system}`" if system else ""
    what = f"chats from `{turns}`, {_rated_by(rating, thumbs)}{beside}"
    return Layout("rated answers", what, make, adds=frozenset({"system"}))


def rated_layout(asked: Asked, response: str, rating: str, thumbs: bool) -> Layout:
    """A prompt and its answer, rated."""
    make = partial(ratings.make_rated, asked, response, rating, thumbs)
    beside = f", system turn from `{asked.system}`" if asked.system else ""
    what = f"prompt {asked.shown}, answer `{response}`, {_rated_by(rating, thumbs)}{beside}"
    return Layout("rated answers", what, make, adds=frozenset({"system"}))


def _rated_by(rating: str, thumbs: bool) -> str:
    return f"{'thumb' if thumbs else 'score'} `{rating}`"
