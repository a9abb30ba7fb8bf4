"""Choose the general text on which forgetting is measured.

Usage::

    python general.py DATA_DIR OUT_DIR [--seed 0]

Writes ``general.jsonl`` (rows ``{"text", "source", "licence"}``) and ``general.LICENSE.md`` to ``OUT_DIR``: passages of
700 to 1,200 characters from the novels and the textbook sections that ``corpus.py`` holds out with the same seed, half
from each. ``tiny`` was never trained on them.
"""

from __future__ import annotations

import argparse
import collections
import random
from pathlib import Path

from corpus import Document, Record, load, split, write_rows

PER_SIDE = 30
LENGTH = (700, 1_200)
PUBLIC_DOMAIN, CC_BY = "public domain", "CC BY 4.0"

#: How a reader finds the books of one repository.
BOOKS = {
    "osbooks-college-success-bundle": "College Success",
    "osbooks-introduction-anthropology": "Introduction to Anthropology",
    "osbooks-introduction-business": "Introduction to Business",
    "osbooks-introduction-intellectual-property": "Introduction to Intellectual Property",
    "osbooks-nursing-external-bundle": "Nursing (the series of nursing textbooks)",
    "osbooks-principles-economics-bundle": "Principles of Economics",
}


def passages(text: str) -> list[str]:
    """Runs of whole paragraphs of prose that have the wanted length."""
    found: list[str] = []
    run: list[str] = []
    for part in text.split("\n\n"):
        size = sum(len(item) + 2 for item in run) + len(part)
        prose = len(part) > 40 and part[0] in "ABCDEFGHIJKLMNOPQRSTUVWXYZ\"'" and part[-1] in ".!?\"'"
        if not prose or size > LENGTH[1]:
            run = [part] if prose and len(part) <= LENGTH[1] else []
            size = len(part)
        else:
            run.append(part)
        if run and size >= LENGTH[0]:
            found.append("\n\n".join(run))
            run = []
    return found


def row(document: Document, text: str) -> Record:
    """One passage with its credit."""
    if document.source == "novels":
        return {"text": text, "source": f"{document.author}, {document.title}", "licence": PUBLIC_DOMAIN}
    book = BOOKS[document.author]
    return {"text": text, "source": f'OpenStax, {book}, "{document.title}"', "licence": CC_BY}


def choose(documents: list[Document], rng: random.Random) -> list[Record]:
    """``PER_SIDE`` passages, taken from the groups (novels, or the books of textbooks) in turn."""
    groups: dict[str, list[Record]] = {}
    for item in documents:
        found = passages(item.text)
        keep = found if item.source == "novels" else rng.sample(found, min(1, len(found)))
        groups.setdefault(item.author, []).extend(row(item, text) for text in keep)
    for rows in groups.values():
        rng.shuffle(rows)
    chosen: list[Record] = []
    while len(chosen) < PER_SIDE and any(groups.values()):
        for rows in groups.values():
            if rows and len(chosen) < PER_SIDE:
                chosen.append(rows.pop())
    return chosen


def licence_text(rows: list[Record]) -> str:
    """The licence file for the chosen passages."""
    count: dict[str, collections.Counter[str]] = {PUBLIC_DOMAIN: collections.Counter(), CC_BY: collections.Counter()}
    for item in rows:
        book = item["source"] if item["licence"] == PUBLIC_DOMAIN else item["source"].split(', "')[0]
        count[item["licence"]][book] += 1
    repositories = {f"OpenStax, {book}": repository for repository, book in BOOKS.items()}
    novels = "\n".join(f"| {book} | {number} |" for book, number in sorted(count[PUBLIC_DOMAIN].items()))
    texts = "\n".join(
        f"| {book} | https://github.com/openstax/{repositories[book]} | {number} |"
        for book, number in sorted(count[CC_BY].items())
    )
    return f"""# Sources and licences of general.jsonl

General English text on which `affinage` measures what a model forgets. White space, quotation marks and dashes were
normalised, and passages were cut at paragraph borders; nothing else was changed. Every row names its source.

## Novels: public domain

The texts are in the public domain. They were proof-read and encoded for ELTeC-eng by the COST Action "Distant Reading
for European Literary History" (CA16204), edited by Lou Burnard, https://github.com/COST-ELTeC/ELTeC-eng; that encoding
is under CC BY 4.0.

| novel | passages |
| --- | ---: |
{novels}

## Textbooks: Creative Commons Attribution 4.0 International

By OpenStax, Rice University, under CC BY 4.0, https://creativecommons.org/licenses/by/4.0/. Access the books for free
at https://openstax.org. The section is named in each row.

| book | repository | passages |
| --- | --- | ---: |
{texts}
"""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="folder with the source data sets")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, help="the seed that corpus.py was run with")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    held = [item for item in split(load(args.data), args.seed)[1] if not item.title.startswith("Preface")]
    rng = random.Random(args.seed)
    rows = [row for source in ("novels", "textbooks") for row in choose([d for d in held if d.source == source], rng)]
    write_rows(args.out / "general.jsonl", rows)
    (args.out / "general.LICENSE.md").write_text(licence_text(rows), encoding="utf-8")
    print(f"{len(rows)} passages, {sum(len(item['text']) for item in rows):,} characters")


if __name__ == "__main__":
    main()
