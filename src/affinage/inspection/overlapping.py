"""Findings on rows that say nearly the same, and on held-out rows that training rows hold too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from affinage.data.records import Record
from affinage.data.wording import contents
from affinage.inspection.catalogue import Severity
from affinage.inspection.findings import NAMED, Finding, example, examples
from affinage.inspection.material import Material

_FEW = 0.01  # share of the held-out rows that hardly moves the figure
_NAME = re.compile(r"[^\W\d_]+")
_TRAINING_PARTS = frozenset({"train", "training"})
_OTHER_PARTS = frozenset({"test", "testing", "dev", "val", "valid", "validation", "eval", "heldout"})


def near_duplicates(material: Material) -> Iterator[Finding]:
    """Clusters of rows that say nearly the same."""
    groups = material.near
    found = [material.records[number] for group in groups for number in group]
    if found:
        message = (
            f"rows that say nearly the same as another: {len(found):,} in {len(groups):,}"
            f" group{'s' * (len(groups) > 1)}{material.sampled if material.near_known is None else ''}"
        )
        kept = {
            "join": "the split keeps the rows of a small group on one side, those of a large one (a form that is filled "
            "in) it does not; --set near_duplicates=drop keeps the first of each group alone",
            "keep": "--set near_duplicates=join keeps them on one side of the split",
            "drop": "",
        }[material.recipe.near_duplicates]
        yield Finding("near-duplicate", "note", message, len(found), examples(r.source for r in found), kept)


def split_overlap(material: Material) -> Iterator[Finding]:
    """Validation and held-out rows that training rows hold too, word for word or nearly."""
    if not material.sides:
        return
    from affinage.data.duplicates.decontamination import overlap

    kept = [*material.sides.get("validation", ()), *material.sides.get("held_out", ())]
    training = material.sides.get("train", [])
    looked_at = material.sample_of(training)
    train = [material.records[number] for number in looked_at]
    others = [material.records[number] for number in kept]
    if not train or not others:
        return
    meetings = {held: place for place, held, *_ in reversed(overlap(_texts(train), _texts(others)))}
    if meetings:
        message = f"held-out rows that training rows hold too, or nearly: {len(meetings):,} of {len(others):,}"
        if len(looked_at) < len(training):
            message += f" (against a sample of {len(looked_at):,} of {len(training):,} training rows)"
        fix = "--set columns.group=COLUMN keeps rows of one document or customer on one side"
        if material.recipe.near_duplicates != "drop":
            fix += "; --set near_duplicates=drop keeps the first of such rows alone"
        if material.recipe.near_duplicates == "keep":
            fix = "--set near_duplicates=join keeps such rows on one side"
        places = tuple(
            example(others[held].source, detail=f"in the training row {train[place].source}")
            for held, place in sorted(meetings.items())[:NAMED]
        )
        severity: Severity = "warning" if len(meetings) > _FEW * len(others) else "note"
        yield Finding("split-overlap", severity, message, len(meetings), places, fix)


def split_files(material: Material) -> Iterator[Finding]:
    """Files that are named as the parts of a split, all of them read as data to learn from."""
    uris = dict.fromkeys(record.source.uri for record in material.records)
    words = {uri: set(_NAME.findall(uri.replace("\\", "/").rpartition("/")[2].casefold())) for uri in uris}
    other = [uri for uri in uris if words[uri] & _OTHER_PARTS]
    if not other or not any(words[uri] & _TRAINING_PARTS for uri in uris):
        return
    found = [record for record in material.records if record.source.uri in other]
    message = f"rows of files that are named as another part of a split: {len(found):,} ({', '.join(other[:NAMED])})"
    fix = "name the training file alone, and measure on the other with affinage eval RUN --data FILE"
    places = examples(next(record.source for record in found if record.source.uri == uri) for uri in other)
    yield Finding("split-files", "warning", message, len(found), places, fix)


def _texts(records: Sequence[Record]) -> list[str]:
    return ["\n".join(contents(record)) for record in records]
