"""A 5-gram model of the corpus, the yardstick for ``tiny``.

Usage::

    python ngram.py TRAIN.npy HELD.npy [HELD.npy ...] [--bytes held_bytes.json] [--out ngram.json]

Interpolated modified Kneser-Ney (Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling",
Computer Speech & Language 13, 1999) over the token ids of ``tokenizer.py``. An id takes 12 bits, so an n-gram of up to
five fits one 64-bit integer and every table is a sorted array. As in common implementations, n-grams at the start of a
document keep their plain counts, and no n-gram reaches over the border between two documents.

``python ngram.py TRAIN.npy HELD.npy`` first checks that the probabilities of all ids sum to one in random contexts,
then prints bits per byte and per token by held-out file, with the plain unigram model beside it.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

BITS = 12
VOCAB = 1 << BITS
BOS = 1
ORDER = 5


@dataclass(frozen=True)
class Level:
    """The counts of one order: sorted n-grams, and for each context what the smoothing needs."""

    grams: Ints
    discounted: Floats
    contexts: Ints
    totals: Floats
    freed: Floats


def places(tokens: Ints) -> Ints:
    """How many tokens of the same document stand before each token."""
    index = np.arange(len(tokens))
    return index - np.maximum.accumulate(np.where(tokens == BOS, index, 0))


def pack(tokens: Ints, order: int, at: Ints) -> Ints:
    """The n-grams that end at the positions ``at``, as integers with the last token in the lowest bits."""
    key = np.zeros(len(at), dtype=np.int64)
    for back in range(order - 1, -1, -1):
        key = (key << BITS) | tokens[at - back]
    return key


def discounts(counts: Ints) -> Floats:
    """What is taken off a count of 0, 1, 2 and 3 or more (equation 17 of Chen and Goodman)."""
    n1, n2, n3, n4 = (int((counts == number).sum()) for number in (1, 2, 3, 4))
    if min(n1, n2, n3) == 0:
        return np.array([0.0, 0.5, 1.0, 1.5])  # too few types to estimate from, as for single tokens
    share = n1 / (n1 + 2 * n2)
    found = [1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3]
    return np.array([0.0, *(min(max(value, 0.0), number) for number, value in enumerate(found, 1))])


def level(grams: Ints, counts: Ints) -> Level:
    """Discount the counts of one order and sum what each context frees for the order below."""
    off = discounts(counts)[np.minimum(counts, 3)]
    contexts, first = np.unique(grams >> BITS, return_index=True)
    totals = np.add.reduceat(counts, first).astype(np.float64)
    return Level(grams, counts - off, contexts, totals, np.add.reduceat(off, first) / totals)


def _find(table: Ints, wanted: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Where each key stands in a sorted table, and whether it is there."""
    index = np.minimum(np.searchsorted(table, wanted), len(table) - 1)
    return index, table[index] == wanted


class KneserNey:
    """An interpolated modified Kneser-Ney model."""

    def __init__(self, tokens: Ints, order: int = ORDER) -> None:
        """Count ``tokens``: documents that each begin with ``<s>``."""
        self.order = order
        place = places(tokens)
        grams, counts = np.unique(pack(tokens, order, np.flatnonzero(place >= order - 1)), return_counts=True)
        self.levels = [level(grams, counts)]
        for lower in range(order - 1, 0, -1):
            # Continuation counts: in how many ways the longer n-grams begin. Nothing stands before a document's start,
            # so n-grams there have plain counts.
            suffixes = grams & ((1 << (BITS * lower)) - 1)
            starts = pack(tokens, lower, np.flatnonzero(place == lower - 1)) if lower > 1 else suffixes[:0]
            grams, counts = np.unique(np.concatenate([suffixes, starts]), return_counts=True)
            self.levels.insert(0, level(grams, counts))

    def probabilities(self, tokens: Ints, at: Ints) -> Floats:
        """The probability of the token at each of the positions ``at``, given those before it in its document."""
        place = places(tokens)[at]
        chance = np.full(len(at), 1.0 / VOCAB)
        for order, table in enumerate(self.levels, 1):
            here = np.flatnonzero(place >= order - 1)
            gram = pack(tokens, order, at[here])
            context, known = _find(table.contexts, gram >> BITS)
            here, gram, context = here[known], gram[known], context[known]
            index, seen = _find(table.grams, gram)
            own = np.where(seen, table.discounted[index], 0.0) / table.totals[context]
            chance[here] = own + table.freed[context] * chance[here]
        return chance

    def distribution(self, context: Ints) -> Floats:
        """The probabilities of all ids after ``context``, which begins with ``<s>`` where the document does."""
        width = len(context) + 1
        tokens = np.tile(np.append(context, 0), (VOCAB, 1))
        tokens[:, -1] = np.arange(VOCAB)
        flat, at = tokens.reshape(-1), np.arange(width - 1, VOCAB * width, width)
        chance = np.full(VOCAB, 1.0 / VOCAB)
        for order, table in enumerate(self.levels[:width], 1):
            gram = pack(flat, order, at)
            row, known = _find(table.contexts, gram[:1] >> BITS)
            if known[0]:
                index, seen = _find(table.grams, gram)
                own = np.where(seen, table.discounted[index], 0.0) / table.totals[row[0]]
                chance = own + table.freed[row[0]] * chance
        return chance


def check(model: KneserNey, tokens: Ints, contexts: int = 200, seed: int = 0) -> float:
    """Return how far the probabilities over the vocabulary are from one, at most, in random contexts.

    Half of the contexts come from the text, and half are random ids, most of which were never seen. The positions of
    the first half also check that both ways to ask for a probability agree.
    """
    rng = np.random.default_rng(seed)
    place, worst = places(tokens), 0.0
    spots = rng.choice(np.flatnonzero(place > 0), contexts // 2)
    for spot in spots:
        context = tokens[spot - min(int(place[spot]), model.order - 1) : spot]
        chances = model.distribution(context)
        direct = model.probabilities(tokens[spot - place[spot] : spot + 1], np.array([place[spot]]))[0]
        worst = max(worst, abs(chances.sum() - 1.0), abs(chances[tokens[spot]] - direct))
    for _ in range(contexts - contexts // 2):
        context = rng.integers(0, VOCAB, rng.integers(0, model.order)).astype(np.int64)
        worst = max(worst, abs(model.distribution(context).sum() - 1.0))
    return worst


def unigram(tokens: Ints) -> Floats:
    """Plain relative frequencies of the ids other than ``<s>``, with one added to each count."""
    counts = np.bincount(tokens[tokens != BOS], minlength=VOCAB) + 1.0
    return np.asarray(counts / counts.sum())


def load(path: Path) -> Ints:
    """Read token ids."""
    return np.asarray(np.load(path), dtype=np.int64)


def measure(bits: float, tokens: int, size: int | None) -> dict[str, float]:
    """Bits per token and, where the bytes are known, per byte."""
    found = {"bits_per_token": round(bits / tokens, 4)}
    if size:
        found["bits_per_byte"] = round(bits / size, 4)
    return found


def evaluate(model: KneserNey, single: Floats, held: dict[str, Ints], sizes: dict[str, int]) -> dict[str, Any]:
    """Bits of every held-out file under both models; ``<s>`` is given, not predicted."""
    results: dict[str, Any] = {}
    sums = np.zeros(4)
    for name, tokens in held.items():
        at = np.flatnonzero(tokens != BOS)
        five = float(-np.log2(model.probabilities(tokens, at)).sum())
        one = float(-np.log2(single[tokens[at]]).sum())
        size = sizes.get(name)
        results[name] = {
            "tokens": len(at),
            "bytes": size,
            "kneser_ney": measure(five, len(at), size),
            "unigram": measure(one, len(at), size),
        }
        sums += (five, one, len(at), size or math.nan)
    total = None if math.isnan(sums[3]) else int(sums[3])
    results["all"] = {
        "tokens": int(sums[2]),
        "bytes": total,
        "kneser_ney": measure(sums[0], int(sums[2]), total),
        "unigram": measure(sums[1], int(sums[2]), total),
    }
    return results


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("held", type=Path, nargs="+")
    parser.add_argument("--bytes", type=Path, help="JSON of bytes by name; by default held_bytes.json beside the files")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    args = parser.parse_args()
    size_file = args.bytes or args.held[0].with_name("held_bytes.json")
    sizes = json.loads(size_file.read_text(encoding="utf-8")) if size_file.exists() else {}
    tokens = load(args.train)
    model = KneserNey(tokens)
    worst = check(model, tokens)
    print(f"{len(tokens):,} tokens; n-grams " + ", ".join(f"{len(table.grams):,}" for table in model.levels))
    print(f"largest error of a sum of probabilities: {worst:.1e}")
    if worst > 1e-9:
        raise SystemExit("the probabilities do not sum to one")
    held = {path.stem.removeprefix("held_"): load(path) for path in args.held}
    results = evaluate(model, unigram(tokens), held, sizes)
    print(f"{'held out':<12}{'tokens':>10}{'5-gram bits/byte':>18}{'bits/token':>12}{'unigram bits/byte':>19}")
    for name, row in results.items():
        five, one = row["kneser_ney"], row["unigram"]
        per_byte, single = five.get("bits_per_byte", math.nan), one.get("bits_per_byte", math.nan)
        print(f"{name:<12}{row['tokens']:>10,}{per_byte:>18.4f}{five['bits_per_token']:>12.4f}{single:>19.4f}")
    if args.out:
        args.out.write_text(json.dumps({"sum_error": worst, "held_out": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
