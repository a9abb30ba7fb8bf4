"""Every check on data, in one table. A check is a function from the material to its findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from affinage.inspection import answers, characters, dropped, labelling, rendering
from affinage.inspection.findings import Finding, Findings
from affinage.inspection.material import Material

Check = Callable[[Material], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    dropped.problems,
    dropped.left_out,
    dropped.too_long,
    dropped.not_rendered,
    labelling.few_labels,
    labelling.contradictory_labels,
    labelling.label_variants,
    labelling.uneven_labels,
    characters.mojibake,
    characters.replaced,
    characters.control_tokens,
    rendering.unlearned_ends,
    rendering.doubled_bos,
    rendering.unknown_tokens,
    rendering.spelt_out,
    answers.echoed_answers,
    answers.differing_answers,
    answers.one_word_answers,
    answers.short_texts,
    answers.dominant_source,
    answers.shared_prompts,
)


def find(material: Material) -> Findings:
    """All findings, the worst first. There is an error among them exactly when `tune` refuses."""
    found = [finding for check in CHECKS for finding in check(material)]
    refusal = material.refusal
    if refusal is not None and all(finding.severity != "error" for finding in found):
        found.insert(0, Finding("refused", "error", refusal.message, 1, (), refusal.fix))
    return Findings(found)
