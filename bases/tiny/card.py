"""Write the card of ``tiny``: held-out bits per byte beside the yardsticks, and unselected samples.

Usage::

    python card.py MODEL_DIR CORPUS_DIR TOKENS_DIR NGRAM_JSON OUT_MD [--log RUN ...] [--peer MODEL_DIR]

``CORPUS_DIR`` and ``TOKENS_DIR`` are what ``corpus.py`` and ``tokenizer.py`` wrote, ``NGRAM_JSON`` what ``ngram.py``
wrote, each ``--log`` a run folder of the training (its ``metrics.jsonl`` counts tokens and shows the losses).
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import affinage as af
from affinage.data.batches import Row
from affinage.evaluation.language import score_language
from affinage.use import Adapted

BOS = 1
SAMPLES = 20
OPENING = 10  # words that a sample goes on from


def blocks(tokens: np.ndarray, context: int) -> Iterator[Row]:
    """The rows of a token file, in overlapping blocks of at most `context` tokens: each token is predicted once."""
    starts = [*np.flatnonzero(tokens == BOS).tolist(), len(tokens)]
    for start, end in itertools.pairwise(starts):
        count = max(1, -(-(end - start - 1) // (context - 1)))
        edges = np.linspace(start, end - 1, count + 1).round().astype(int)
        for left, right in itertools.pairwise(edges):
            weights = np.ones(right - left + 1, np.float32)
            weights[0] = 0
            yield Row(tokens[left : right + 1].astype(np.int32), weights)


def bits_per_byte(model: Adapted, tokens_dir: Path) -> dict[str, float]:
    """Bits per byte of each held-out source, and of all."""
    sizes = json.loads((tokens_dir / "held_bytes.json").read_text())
    bits: dict[str, float] = {}
    for source in sizes:
        rows = list(blocks(np.load(tokens_dir / f"held_{source}.npy"), 1024))
        scores = score_language(model.model, rows, budget=16384, pad_id=model.renderer.pad_id)
        bits[source] = float(scores.nll_R.sum()) / math.log(2)
    found = {source: bits[source] / sizes[source] for source in sizes}
    return {**found, "all": sum(bits.values()) / sum(sizes.values())}


def peer_bits(peer: Adapted, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Bits per byte of another model on the first rows of each source, as plain text."""
    found: dict[str, float] = {}
    for source in sorted({row["source"] for row in rows}):
        texts = [row["text"] for row in rows if row["source"] == source and "messages" not in row][:60]
        likelihoods = peer.likelihood(texts)
        sizes = [len(text.encode()) for text in texts]
        bits = [float(one["bits_per_byte"] or 0) * size for one, size in zip(likelihoods, sizes, strict=True)]
        found[source] = sum(bits) / sum(sizes)
    return found


def samples(model: Adapted, rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Openings of evenly spaced held-out rows of running text, and how the model goes on; none is left out."""
    texts = [row["text"] for row in rows if row["source"] in ("novels", "textbooks", "stories")]
    chosen = [texts[number * len(texts) // SAMPLES] for number in range(SAMPLES)]
    openings = [" ".join(text.split()[:OPENING]) for text in chosen]
    said = model.generate(openings, raw=True, max_tokens=60, temperature=0.7, top_p=0.9, seed=0)
    return list(zip(openings, said, strict=True))


def answers(model: Adapted, rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Ten evenly spaced held-out questions: prompt, answer, reference."""
    chats = [row["messages"] for row in rows if "messages" in row]
    chosen = [chats[number * len(chats) // 10] for number in range(10)]
    said = [model.generate([turns[:-1]], max_tokens=60)[0] for turns in chosen]
    return [(turns[-2]["content"], answer, turns[-1]["content"]) for turns, answer in zip(chosen, said, strict=True)]


def training(folders: list[Path]) -> list[str]:
    """A line a stage: steps, tokens seen, first and last losses."""
    lines = []
    for folder in folders:
        log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        steps = [row for row in log if "loss" in row]
        checks = [row["validation"]["value"] for row in log if "validation" in row]
        tokens = sum(row["tokens"] for row in steps)
        last = sum(row["loss"] for row in steps[-50:]) / len(steps[-50:])
        lines.append(f"| `{folder.name}` | {len(steps):,} | {tokens:,} | {last:.3f} | {min(checks):.3f} |")
    return lines


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    for name in ("model", "corpus", "tokens", "ngram", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--log", type=Path, nargs="*", default=[])
    parser.add_argument("--peer", type=Path)
    args = parser.parse_args()
    rows = [json.loads(line) for line in (args.corpus / "held_out.jsonl").open(encoding="utf-8")]
    model = af.load(args.model)
    own = bits_per_byte(model, args.tokens)
    ngram = json.loads(args.ngram.read_text())
    peer = peer_bits(af.load(args.peer), rows) if args.peer else {}
    text = page(own, ngram, peer, args.peer, training(args.log), samples(model, rows), answers(model, rows))
    args.out.write_text(text, encoding="utf-8")
    print(text[:3000])


def page(
    own: dict[str, float],
    ngram: dict[str, Any],
    peer: dict[str, float],
    peer_name: Path | None,
    stages: list[str],
    told: list[tuple[str, str]],
    asked: list[tuple[str, str, str]],
) -> str:
    """The card in Markdown."""
    name = peer_name.name if peer_name else "peer"
    heads = ["held out", "unigram", "5-gram", *([name] if peer else []), "**tiny**", "tiny to 5-gram"]
    table = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * (len(heads) - 1)]
    for source, value in own.items():
        unigram, grams = (ngram["held_out"][source][kind]["bits_per_byte"] for kind in ("unigram", "kneser_ney"))
        cells = [source, f"{unigram:.3f}", f"{grams:.3f}"]
        cells += [f"{peer[source]:.3f}" if source in peer else "–"] if peer else []
        cells += [f"{value:.3f}", f"{100 * (value / grams - 1):+.1f} %"]
        table.append("| " + " | ".join(cells) + " |")
    parts = [
        INTRODUCTION,
        "## Measured\n",
        "Bits per byte of text never trained on (lower is better).\n",
        "\n".join(table),
    ]
    if peer:
        parts.append(f"\n`{name}` is measured on the first 60 running texts of each source, the others on all of it.\n")
    parts += ["\n## Training\n", "| stage | steps | tokens | loss, last 50 steps | best validation loss |"]
    parts += ["| --- | ---: | ---: | ---: | ---: |", *stages, "\n## Samples\n", SAMPLES_NOTE]
    parts += [f"- **{opening}**{_plain(said)}" for opening, said in told]
    parts += ["\nTen held-out questions, answered greedily (question, answer, *reference*):\n"]
    parts += [f"- {_plain(q)} → {_plain(a)} (*{_plain(r)}*)" for q, a, r in asked]
    return "\n".join(parts) + "\n"


INTRODUCTION = """# tiny

A small English base model in the Llama architecture, trained by this project from random weights: 4,737,792 weights, 5
blocks of width 256, a vocabulary of 4,096 pieces with byte fallback, a context of 1,024 tokens, 9 MiB in bfloat16. It
ships inside the package so that every command can be tried in seconds, offline. It writes the English of old novels and
textbooks, finds short answers in a text, and knows next to nothing: never use it for facts.

Trained on public-domain novels (ELTeC-eng), OpenStax textbooks (CC BY 4.0), Python Enhancement Proposals (public domain
or CC0), GSM8K (MIT), a TinyStories sample (CDLA-Sharing-1.0), and tasks made from these; never on a set that results are
measured on. `bases/tiny/README.md` in the repository lists data, licences, what was held out, and the commands that make
it again. Licence of the weights: Apache-2.0.
"""
SAMPLES_NOTE = (
    "Twenty evenly spaced held-out openings (bold), none left out, at temperature 0.7 and top-p 0.9, seed 0:\n"
)


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*").replace("<", "\\<")


if __name__ == "__main__":
    main()
