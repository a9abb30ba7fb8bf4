"""Rows are kept clean of benchmarks: what a made row holds of them, told with its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from affinage.data.duplicates.decontamination import FEWEST, Benchmark, Hit, contaminated
from affinage.data.load import load_records
from affinage.data.wording import answer_texts, prompt_text, whole_text
from affinage.synthesis.filters import count_words


class Benchmarks:
    """Files whose rows no made row may hold: their prompts, their rows, and answers of eight words or more.

    Raises:
        InputError: a file is missing, has an unknown layout, or no row that can be read.
    """

    def __init__(self, uris: Sequence[str | Path]) -> None:
        texts: list[str] = []
        self._places: list[str] = []
        for uri in uris:
            for record in load_records([uri], bad_rows="drop").records:
                answers = [answer for answer in answer_texts(record) if count_words(answer) >= FEWEST]
                found = (prompt_text(record), whole_text(record), *answers)
                texts += found
                self._places += [str(record.source)] * len(found)
        self._benchmark = Benchmark(texts, ", ".join(map(str, uris)))

    def __call__(self, prompt: str, answer: str) -> str:
        """Which row of a benchmark the prompt, or prompt and answer together, hold; empty for a clean row."""
        hits = contaminated([f"{prompt}\n\n{answer}", prompt], self._benchmark)
        return next((f"{_words(hit)} {self._places[hit.item]}" for hit in hits if hit is not None), "")


def _words(hit: Hit) -> str:
    said = {"same": "the same words as", "near-duplicate": "nearly the same as"}
    return said.get(hit.kind, f"holds {hit.share:.0%} of")
