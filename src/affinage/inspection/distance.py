"""How far a person's data are from what a base already knows: in, near or far, and by which signs.

A model's bits per byte alone say little: lists of part numbers are hard for every model, form letters easy. So they are
held against an n-gram that has read nothing but a few pages of the same data (the data's own entropy). A base that does
worse than those few pages has never seen the like; one that does much better knows the ground.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from affinage.data.records import Source, Text
from affinage.data.rendering.renderer import Renderer
from affinage.evaluation.forgetting import general_records
from affinage.evaluation.language import LanguageScores, score_language
from affinage.inspection.findings import example
from affinage.inspection.ngram import ByteNGram
from affinage.inspection.vocabulary import WORD
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import encode_rows

IN, FAR = 0.8, 1.2  # the model's bits per byte over the n-gram's: below the first, above the second
FITTED, SCORED = 20_000, 12_000  # bytes that the n-gram reads, and that both are asked about
_LEAST = 4_000  # bytes of data below which nothing is said
_ROW = 3_000  # characters of one row that are looked at, so that many rows have a say
_BLOCK = 2_000  # characters up to which the model reads short rows together
_ENCODED = 200  # rows of each side that the classifier is shown
_NAMED = 5
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Distance:
    """The signs and the verdict.

    Attributes:
        verdict: `in`, `near` or `far`.
        ratio: the model's bits per byte over the n-gram's, on the same bytes.
        bits_per_byte, general_bits_per_byte: of the model, on the data and on the bundled general text.
        own_bits_per_byte, general_own_bits_per_byte: of n-grams that read as much of each text itself.
        classifier_error: of a linear classifier that tells rows from general passages on the model's encodings,
            cross-validated; 0.5 where it cannot.
        tokens_per_word, general_tokens_per_word: long pieces of words are known, short ones are not.
        unknown_share: tokens that stand for something the tokenizer does not know.
        vocabulary_overlap: share of the data's words (as often as they occur) that the general text has too.
        foreign: the rows that are hardest for the model, with their bits per byte.
    """

    verdict: str
    ratio: float
    bits_per_byte: float
    general_bits_per_byte: float
    own_bits_per_byte: float
    general_own_bits_per_byte: float
    classifier_error: float
    tokens_per_word: float
    general_tokens_per_word: float
    unknown_share: float
    vocabulary_overlap: float
    foreign: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "lines": self.lines()}

    def lines(self) -> list[str]:
        """The verdict and its signs, for people."""
        says = {
            "in": "the base is at home in these data: start from few examples in the prompt, or a light adapter",
            "near": "the base knows the ground but not the ways of these data: tuning should pay",
            "far": "the base has hardly seen the like: continued pre-training on such text, or another base",
        }[self.verdict]
        return [
            f"{self.verdict}: {says}",
            f"the model needs {self.bits_per_byte:.2f} bits per byte where an n-gram that read {FITTED // 1000} kB of "
            f"these data needs {self.own_bits_per_byte:.2f} (ratio {self.ratio:.2f}; in below {IN}, far above {FAR}); "
            f"on general text {self.general_bits_per_byte:.2f} and {self.general_own_bits_per_byte:.2f}",
            f"{self.tokens_per_word:.2f} tokens a word (general text {self.general_tokens_per_word:.2f}), "
            f"{100 * self.unknown_share:.2f} % unknown, {100 * self.vocabulary_overlap:.0f} % of the words stand in the "
            f"general text too; a linear classifier on the encodings errs in {100 * self.classifier_error:.0f} % "
            "(50 %: the same kind of text)",
        ]


def measure(
    model: AdaptedModel, renderer: Renderer, texts: Sequence[tuple[Source, str]], seed: int = 0
) -> Distance | None:
    """The distance of `texts` (with their places) from what `model` knows; None where they are too short to tell."""
    order = list(texts)
    random.Random(seed).shuffle(order)
    fitted, scored = _parts([(source, text[:_ROW]) for source, text in order if text.strip()])
    size = sum(len(text.encode()) for _, text in (*fitted, *scored))
    if size < _LEAST:
        return None
    general = [(record.source, record.text) for record in general_records()]
    general_fitted, general_scored = _parts(general, size)
    own, general_own = _entropy(fitted, scored), _entropy(general_fitted, general_scored)
    blocks = _blocks(scored)
    scores, tokens, unknown = _scored(model, renderer, blocks)
    row_scores = scores if len(blocks) == len(scored) else _scored(model, renderer, scored)[0]
    general_scores, general_tokens, _ = _scored(model, renderer, _blocks(general_scored))
    bits, general_bits = _bits(scores), _bits(general_scores)
    return Distance(
        verdict="in" if bits / own < IN else "far" if bits / own > FAR else "near",
        ratio=bits / own,
        bits_per_byte=bits,
        general_bits_per_byte=general_bits,
        own_bits_per_byte=own,
        general_own_bits_per_byte=general_own,
        classifier_error=_classifier_error(model, renderer, [t for _, t in order], [t for _, t in general], seed),
        tokens_per_word=tokens / _words(scored),
        general_tokens_per_word=general_tokens / _words(general_scored),
        unknown_share=unknown,
        vocabulary_overlap=_overlap([t for _, t in scored], [t for _, t in general]),
        foreign=_foreign(scored, row_scores),
    )


Places = list[tuple[Source, str]]


def _parts(rows: Sequence[tuple[Source, str]], size: int | None = None) -> tuple[Places, Places]:
    """Rows for the n-gram to read and others to be asked about, in the proportion of `FITTED` to `SCORED`."""
    total = min(size or FITTED + SCORED, FITTED + SCORED, sum(len(text.encode()) for _, text in rows))
    read: Places = []
    asked: Places = []
    room = {id(asked): total * SCORED // (FITTED + SCORED), id(read): total * FITTED // (FITTED + SCORED)}
    for source, text in rows:
        # Whichever part has more of its room left takes the row, so that both are of one mixture.
        part = max((asked, read), key=lambda part: room[id(part)])
        if room[id(part)] <= 0:
            break
        kept = text.encode()[: max(200, room[id(part)])].decode("utf-8", "ignore")
        part.append((source, kept))
        room[id(part)] -= len(kept.encode())
    return read, asked


def _blocks(rows: Places) -> Places:
    """Short rows one after the other, as the n-gram reads them: alone, a row of a few words is all beginning."""
    blocks: Places = []
    for source, text in rows:
        if blocks and len(blocks[-1][1]) + len(text) < _BLOCK:
            blocks[-1] = (blocks[-1][0], f"{blocks[-1][1]}\n{text}")
        else:
            blocks.append((source, text))
    return blocks


def _entropy(fitted: Places, scored: Places) -> float:
    """Bits per byte of an n-gram that read `fitted`."""
    first, second = ("\n".join(text for _, text in part).encode() for part in (fitted, scored))
    return ByteNGram(first).bits_per_byte(second)


def _scored(model: AdaptedModel, renderer: Renderer, rows: Places) -> tuple[LanguageScores, int, float]:
    """Scores by text, the tokens of all, and the share of unknown ones."""
    made = [renderer.text(Text(text=text, source=source)) for source, text in rows]
    flat = [row for blocks in made for row in blocks]
    scores = score_language(model, flat, budget=4096, pad_id=renderer.pad_id)
    places = [number for number, blocks in enumerate(made) for _ in blocks]
    tokens = np.concatenate([row.tokens_T for row in flat])
    unknown = renderer.tokenizer.unk_token_id
    share = float((tokens == unknown).mean()) if unknown is not None else 0.0
    return scores.summed(places, len(made)), len(tokens), share


def _bits(scores: LanguageScores) -> float:
    interval = scores.bits_per_byte
    assert interval is not None  # texts know their bytes
    return interval.value


def _words(rows: Places) -> int:
    return max(1, sum(len(text.split()) for _, text in rows))


def _overlap(texts: Sequence[str], general: Sequence[str]) -> float:
    known = {word for text in general for word in WORD.findall(text.casefold())}
    counts = Counter(word for text in texts for word in WORD.findall(text.casefold()) if not word.isdecimal())
    return sum(count for word, count in counts.items() if word in known) / max(1, counts.total())


def _foreign(rows: Places, scores: LanguageScores) -> tuple[dict[str, Any], ...]:
    """The hardest rows of some length (a short row's figure is mostly its first word)."""
    bits = scores.nll_R / np.log(2) / np.maximum(1, scores.bytes_R)
    long = np.flatnonzero(scores.bytes_R >= min(80, float(np.median(scores.bytes_R))))
    chosen = sorted(long, key=lambda number: -bits[number])[:_NAMED]
    return tuple(
        example(rows[n][0], bits_per_byte=round(float(bits[n]), 2), text=re.sub(r"\s+", " ", rows[n][1])[:160])
        for n in chosen
    )


def _classifier_error(
    model: AdaptedModel, renderer: Renderer, texts: Sequence[str], general: Sequence[str], seed: int
) -> float:
    """Cross-validated error of logistic regression between rows and general passages, cut to the same lengths."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = [text for text in texts if text.strip()][:_ENCODED]
    length = max(40, int(np.median([len(text) for text in rows])))
    pieces = [text[start : start + length] for text in general for start in range(0, len(text) - length + 1, length)]
    random.Random(seed).shuffle(pieces)
    size = min(len(rows), len(pieces) or len(general))
    both = [text[:length] for text in rows[:size]] + (pieces or list(general))[:size]
    if size < 2 * _FOLDS:
        return 0.5
    encoded = [renderer.text(Text(text=text))[0] for text in both]
    vectors = encode_rows(model, encoded, pooling="mean", layer=None, budget=4096, pad_id=renderer.pad_id).vectors
    sides = np.repeat([1, 0], size)
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    return float((cross_val_predict(fitted, vectors, sides, cv=_FOLDS) != sides).mean())
