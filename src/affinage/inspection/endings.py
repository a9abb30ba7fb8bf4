"""Findings on how answers end and begin: cut off, cut at one length, refusing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from affinage.data.records import Labelled, Record, Text
from affinage.data.wording import best_answer
from affinage.inspection.catalogue import Severity
from affinage.inspection.findings import NAMED, Finding, example, examples
from affinage.inspection.material import Material

_LONG = 120  # characters; shorter answers are often no sentences
_LINE = 40  # characters of a last line that is running text
_SENTENCES = re.compile(r"[.!?…。！？][\"'”»)\]]*\s")
ITEM = re.compile(r"\s*(?:[-*•#|>–]|\d{1,3}[.)]|\(?(?:[^\W\d_]|[IVX]{2,5})[.)]\s)")  # a line of a list
_LINK = re.compile(r"\w+://\S*$")
_LAST_WORD = re.compile(r"([^\W\d_]+(?:['’][^\W\d_]*)?)$")
_OPENING = (
    "a an the of to and or but nor with for from by in on at as is are was were be been that which who whose than "
    "into its their his her our your my this these those because while if when where such de du des le la les un une "
    "et ou mais donc par pour dans sur avec sans sous que qui dont est sont ce cette ces son sa ses leur leurs au aux "
    "l' d' qu' n' s' c' l’ d’ qu’ n’ s’ c’"
)
_OPEN_WORDS = frozenset(_OPENING.split())
_AT_LENGTH = 100  # characters; many short texts share a length by chance
_TOGETHER = 5  # texts of the longest length
_TOGETHER_SHARE = 0.01
_BEGINNING = 300  # characters in which a refusal stands
_MANY_CUT = 0.02
_MANY_REFUSALS = 0.05
REFUSAL = re.compile(
    "|".join(
        (
            r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b",
            r"\bi(?: a|['’])m (?:just |only )?an? (?:ai|artificial intelligence|(?:large )?language model)\b",
            r"\bi(?: a|['’])m (?:very |so )?sorry,? (?:but )?(?:i|as) (?:can(?:no|['’]?)t|am (?:unable|not able)|won['’]t|an)\b",
            r"\bi (?:can(?:no|['’])t|can not|won['’]t|will not|am (?:unable|not able) to|['’]m (?:unable|not able) to) "
            r"(?:assist|help|comply|fulfil|provide|answer|respond|engage|create|generate|write|support|discuss|share)\b",
            r"\ben tant qu(?:e |['’])(?:ia|intelligence artificielle|modèle(?: de langage| linguistique)?|assistante? "
            r"(?:ia|virtuel)|assistant)\b",
            r"\bje (?:ne |n['’])(?:peux|puis|suis) pas (?:(?:en mesure|capable|autorisée?) de |vous |t['’])?"
            r"(?:aider|fournir|répondre|assister|générer|créer|écrire|donner|accéder|satisfaire)\b",
            r"\bje suis désolée?,? (?:mais )?je ne (?:peux|puis|suis) pas\b",
        )
    ),
    re.IGNORECASE,
)


def cut_answers(material: Material) -> Iterator[Finding]:
    """Answers that stop in the middle of a sentence, of a list or of a block of code."""
    answers = _answers(material)
    found = [(record, said) for record, said in answers if is_cut(said)]
    if found:
        message = f"answers that seem to stop in the middle: {len(found):,} of {len(answers):,}{material.sampled}"
        places = tuple(example(record.source, found=said.rstrip()[-40:]) for record, said in found[:NAMED])
        severity: Severity = "warning" if len(found) >= _MANY_CUT * len(answers) else "note"
        fix = "generate these answers again with more room, or take the rows out"
        yield Finding("cut-answer", severity, message, len(found), places, fix)


def is_cut(text: str) -> bool:
    """Whether a long text ends inside a block of code, after a comma or a word that opens something, or mid-sentence.

    Running text without a stop at its end counts only where the text has stops elsewhere.
    """
    text = text.rstrip()
    if len(text) < _LONG:
        return False
    if text.count("```") % 2:
        return True
    last = text[text.rfind("\n") + 1 :]
    if len(last) < _LINE:
        return False
    word = _LAST_WORD.search(last[-40:])
    if word and word[1].casefold() in _OPEN_WORDS and word[1] == word[1].lower():
        return True
    if ITEM.match(last) or _LINK.search(last) or len(_SENTENCES.findall(text)) < 2:
        return False
    return last.endswith(",") or (word is not None and len(last) - _last_stop(last) >= _LINE // 2)


def _last_stop(line: str) -> int:
    ends = [found.end() for found in _SENTENCES.finditer(line)]
    return ends[-1] if ends else 0


def cut_lengths(material: Material) -> Iterator[Finding]:
    """Several texts that all end at the longest length there is."""
    answers = _answers(material) or [
        (record, record.text)
        for record in material.sample
        if isinstance(record, Text | Labelled) and not record.parents  # sections are cut here
    ]
    lengths = Counter(len(said) for _, said in answers)
    longest = max(lengths, default=0)
    if longest < _AT_LENGTH or lengths[longest] < max(_TOGETHER, _TOGETHER_SHARE * len(answers)):
        return
    found = [record for record, said in answers if len(said) == longest]
    message = (
        f"texts that end at exactly {longest:,} characters, the longest length: {len(found):,} of {len(answers):,}"
    )
    fix = "read the source again without this limit"
    yield Finding("cut-at-length", "warning", message, len(found), examples(r.source for r in found), fix)


def refusals(material: Material) -> Iterator[Finding]:
    """Answers that refuse, or speak of themselves as a language model, in English or French."""
    answers = _answers(material)
    found = [(record, hit[0]) for record, said in answers if (hit := REFUSAL.search(said[:_BEGINNING]))]
    if found:
        share = len(found) / len(answers)
        message = (
            f"answers that refuse or speak as a language model: {len(found):,} of {len(answers):,}{material.sampled}"
        )
        places = tuple(example(record.source, found=said) for record, said in found[:NAMED])
        severity: Severity = "warning" if share >= _MANY_REFUSALS else "note"
        fix = "take these rows out, unless refusing is what you want it to learn"
        yield Finding("refusal", severity, message, len(found), places, fix)


def _answers(material: Material) -> list[tuple[Record, str]]:
    """The rows that would have a model say something, with what."""
    return [(record, said) for record in material.sample if (said := best_answer(record)).strip()]
