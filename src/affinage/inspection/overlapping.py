"""Findings on rows that say nearly the same, and on held-out rows that training rows hold too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from affinage.data.records import Record
from affinage.inspection.findings import NAMED, Finding, example, examples
from affinage.inspection.material import Material, contents


def near_duplicates(material: Material) -> Iterator[Finding]:
    """Clusters of rows that say nearly the same."""
    from affinage.data.duplicates.near_duplicates import clusters

    groups = clusters(material.texts)
    found = [material.sample[number] for group in groups for number in group]
    if found:
        message = (
            f"rows that say nearly the same as another: {len(found):,} in {len(groups):,}"
            f" group{'s' * (len(groups) > 1)}{material.sampled}"
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
        yield Finding("split-overlap", "warning", message, len(meetings), places, fix)


def _texts(records: Sequence[Record]) -> list[str]:
    return ["\n".join(contents(record)) for record in records]
