"""Every check on data, in one table. A check is a function from the material to its findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from affinage.inspection import (
    answers,
    characters,
    comparing,
    contents,
    dropped,
    endings,
    labelling,
    overlapping,
    rendering,
)
from affinage.inspection.findings import Finding, Findings
from affinage.inspection.material import Material

Check = Callable[[Material], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    dropped.problems,
    dropped.left_out,
    dropped.changed,
    dropped.too_long,
    dropped.not_rendered,
    labelling.few_labels,
    labelling.contradictory_labels,
    labelling.label_variants,
    labelling.labels_in_texts,
    labelling.unseen_labels,
    labelling.uneven_labels,
    comparing.equal_completions,
    comparing.length_bias,
    comparing.one_rating,
    comparing.equal_passages,
    comparing.tied_completions,
    characters.mojibake,
    characters.replaced,
    characters.control_tokens,
    contents.nulls,
    contents.sensitive,
    contents.mixed_languages,
    rendering.unlearned_ends,
    rendering.learned_prompts,
    rendering.doubled_bos,
    rendering.template_differs,
    rendering.unknown_tokens,
    rendering.spelt_out,
    rendering.pad_is_eos,
    endings.cut_answers,
    endings.cut_lengths,
    endings.refusals,
    overlapping.split_files,
    overlapping.split_overlap,
    overlapping.near_duplicates,
    answers.echoed_answers,
    answers.differing_answers,
    answers.one_word_answers,
    answers.short_texts,
    answers.dominant_source,
    answers.shared_prompts,
)


def find(material: Material) -> Findings:
    """All findings, the worst first. There is an error among them exactly when `tune` refuses (see `gate`)."""
    found = [finding for check in CHECKS for finding in check(material)]
    refusal = material.refusal
    if refusal is not None and all(finding.severity != "error" for finding in found):
        found.insert(0, Finding("refused", "error", refusal.message, 1, (), refusal.fix))
    return Findings(found)
