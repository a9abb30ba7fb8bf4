"""Build the pre-training corpus of ``tiny``.

Usage::

    python corpus.py DATA_DIR OUT_DIR [--seed 0]

``DATA_DIR`` holds the folders ``novels_en``, ``textbooks_en``, ``python_peps``, ``tinystories_sample`` and ``gsm8k``
(gzipped JSON lines; see README.md for what each is and its licence). ``OUT_DIR`` receives ``train.jsonl``,
``held_out.jsonl`` (rows ``{"text", "source"}``) and ``held_out_ids.json``, the list of documents that were held out.

Whole documents are held out before anything else happens, so neither the running text nor the tasks made of a
held-out document are ever trained on. The result depends on the data and the seed only.

Rows of the source ``tasks`` may also carry ``"messages"``: the same task as a conversation. ``tokenizer.py`` renders
those through the chat template; a reader that knows only ``text`` gets the same content in plain form. ``texts.jsonl``
and ``chats.jsonl`` are the training rows once more, parted by that: the first two and the last stage of the training.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import hashlib
import json
import random
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tasks

Record = dict[str, Any]

FILES = {
    "novels": "novels_en/novels.jsonl.gz",
    "textbooks": "textbooks_en/textbooks.jsonl.gz",
    "peps": "python_peps/peps.jsonl.gz",
    "stories": "tinystories_sample/stories_a.jsonl.gz",
    "gsm8k": "gsm8k/train.jsonl.gz",
}
#: Share of documents held out, by source. Novels are held out by author instead.
HELD_SHARE = {"textbooks": 0.05, "peps": 0.05, "stories": 0.10, "gsm8k": 0.03}
HELD_NOVELS = 4
#: Novels held out come from this range of lengths: long enough to measure on, short enough not to be missed.
HELD_NOVEL_CHARS = (200_000, 650_000)
#: A novel or a section becomes chunks of about this many characters, cut at paragraph borders.
CHUNK_CHARS = (3_000, 6_000)
#: The proposals may not take more than this share of all characters, the tasks should take the second.
PEP_SHARE = 0.07
TASK_SHARE = 0.11

SUBJECTS = {
    "osbooks-college-success-bundle": "college success",
    "osbooks-introduction-anthropology": "anthropology",
    "osbooks-introduction-business": "business",
    "osbooks-introduction-intellectual-property": "intellectual property",
    "osbooks-nursing-external-bundle": "nursing",
    "osbooks-principles-economics-bundle": "economics",
}


@dataclass(frozen=True)
class Document:
    """One cleaned document: a novel, a section, a proposal, a story or a problem."""

    id: str
    source: str
    title: str
    author: str
    text: str
    subject: str = ""


# --- cleaning -------------------------------------------------------------------------------------------------------

_CHARS = {
    "\u2018": "'",
    "\u2019": "'",
    "\u201a": "'",
    "\u201b": "'",
    "\u2032": "'",
    "\u00b4": "'",
    "`": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u201e": '"',
    "\u2033": '"',
    "\u2026": "...",
    "\u2010": "-",
    "\u2011": "-",
    "\u2212": "-",
    "\u2015": "\u2014",
    "\u00ad": None,
    "\u200b": None,
    "\ufeff": None,
    "\ufb01": "fi",
    "\ufb02": "fl",
}
_TABLE = str.maketrans(_CHARS)
#: UTF-8 read as Windows-1252, as in some of the stories.
_MOJIBAKE = re.compile(
    "[\u00c2\u00c3\u00e2][\u0080-\u00bf\u0152\u0153\u0160\u0161\u017d\u017e\u0192\u02c6\u02dc"
    "\u2013-\u2014\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]{1,2}"
)


def mend(text: str) -> str:
    """Undo UTF-8 that was decoded as Windows-1252, where that is what happened."""

    def one(match: re.Match[str]) -> str:
        raw = bytearray()
        for char in match.group():
            try:
                raw += char.encode("cp1252")
            except UnicodeEncodeError:
                if ord(char) > 255:
                    return match.group()
                raw.append(ord(char))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return match.group()

    return _MOJIBAKE.sub(one, text)


def normalise(text: str) -> str:
    """Straight quotes, one kind of dash and hyphen, single spaces, paragraphs separated by one empty line."""
    text = re.sub("(?<=[a-z])[\u2010\u00ad] (?=[a-z])", "", text)  # "child- hood": a line end of the printed page
    text = unicodedata.normalize("NFC", text).translate(_TABLE)
    text = re.sub(r"(?<!-)--+(?!-)", "\u2014", text)
    text = re.sub(r"''", '"', text)
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
    return "\n\n".join(part for part in paragraphs if part and "\ufffd" not in part)


def clean_novel(text: str) -> str:
    """Running text of a novel: emphasis marks and rows of asterisks go."""
    text = re.sub(r"\b_([^_\n]{1,80})_\b", r"\1", normalise(text)).replace("~", "")
    return "\n\n".join(part for part in text.split("\n\n") if re.search(r"[A-Za-z]", part))


def clean_textbook(text: str) -> str:
    """A textbook section without addresses and without the lists of links and sources that end some sections."""
    kept = []
    for part in normalise(text).split("\n\n"):
        if part[0].islower():  # the rest of a sentence about a table or a figure that is not here
            continue
        if "http" in part or "www." in part or "doi.org" in part:
            part = " ".join(s for s in tasks.sentences(part) if not re.search(r"https?:|www\.|doi\.org", s))
            if len(part) < 60:
                continue
        kept.append(part)
    return "\n\n".join(kept)


def clean_story(text: str) -> str:
    """A story: mended characters (a closing quote may have lost its last byte); each line is a paragraph."""
    return normalise(re.sub(r"\s*\n\s*", "\n\n", mend(text).strip()).replace("\u00e2\u20ac", '"'))


def clean_worked(answer: str) -> tuple[str, str]:
    """Split a worked solution into its steps, without the calculator marks, and the final answer."""
    steps, _, final = re.sub(r"<<[^>]*>>", "", answer).partition("####")
    return normalise_lines(steps), final.strip()


def normalise_lines(text: str) -> str:
    """Like :func:`normalise`, but keeps single line breaks."""
    return "\n".join(" ".join(line.split()) for line in text.translate(_TABLE).split("\n") if line.strip())


_ROLE = re.compile(r":([a-z:]+):`~?([^`<]*?)(?:\s*<[^>`]*>)?`")
_LINK = re.compile(r"`([^`<]*?)\s*<[^>`]*>`_{1,2}")


_PLACED = re.compile(r"[Tt]his document (has been|is) (hereby )?placed in the public domain|CC0-1\.0")


def _inline(text: str) -> str:
    """reStructuredText inline marks to plain text."""
    text = _ROLE.sub(lambda m: ("PEP " if m.group(1) == "pep" else "") + m.group(2), text)
    text = _LINK.sub(r"\1", text)
    text = re.sub(r"\s*\[[#\w-]+\]_", "", text)
    text = re.sub(r"``([^`]+)``", r"\1", text)
    text = re.sub(r"`([^`]+)`_{0,2}", r"\1", text)
    text = re.sub(r"(?<!\w)\*\*?([^*\n]+?)\*\*?(?!\w)", r"\1", text)
    text = re.sub(r"(?<=[A-Za-z0-9])_(?!\w)", "", text)
    return re.sub(r"::$", ":", text).replace("\\ ", "").replace("\\", "")


def _is_prose(text: str) -> bool:
    """Whether a paragraph reads as English rather than as code, a table or a reference."""
    words = text.split()
    if len(words) < 8 or not text[0].isupper() or text[-1] not in ".?!\"')" or _PLACED.search(text):
        return False
    odd = sum(not (char.isalpha() or char in " .,;:'\"?!-()") for char in text)
    plain = sum(bool(re.fullmatch(r"[\"'(]?[A-Za-z][a-z'-]*[\"').,;:?!]*", word)) for word in words)
    return odd / len(text) < 0.03 and plain / len(words) > 0.85 and "http" not in text


def clean_pep(text: str) -> str:
    """The prose of a proposal: paragraphs at the left margin, and their section titles; no code, lists or tables."""
    blocks = re.split(r"\n\s*\n", text.replace("\t", "    "))
    kept: list[str] = []
    for block in blocks:
        lines = [line.rstrip() for line in block.split("\n") if line.strip()]
        if not lines or (lines[0][0] in " .|+:>-*#=~" and not re.fullmatch(r"([=~^#*-])\1{2,}", lines[0])):
            continue
        body = [line for line in lines if not re.fullmatch(r"([=~^\"'+#*-])\1{2,}", line)]
        if len(body) < len(lines) and len(body) == 1 and len(body[0]) < 80:
            if kept and len(kept[-1]) < 80 and kept[-1][-1] not in ".:?!":
                kept.pop()  # a title whose section had no prose
            kept.append(_inline(body[0].strip()))
        elif body and all(not line.startswith(" ") for line in body):
            paragraph = normalise(_inline(" ".join(body)))
            if paragraph and _is_prose(paragraph):
                kept.append(paragraph)
    if kept and len(kept[-1]) < 80 and kept[-1][-1] not in ".:?!":
        kept.pop()
    return normalise("\n\n".join(kept))


# --- reading --------------------------------------------------------------------------------------------------------


def read_rows(path: Path) -> list[Record]:
    """The records of a gzipped JSON-lines file."""
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        return [json.loads(line) for line in handle]


def load(data: Path) -> dict[str, list[Document]]:
    """Read and clean every source."""
    rows = {source: read_rows(data / name) for source, name in FILES.items()}
    documents: dict[str, list[Document]] = {source: [] for source in FILES}
    for row in rows["novels"]:
        author = re.sub(r"\s*\(.*|\s*\[.*", "", row["author"]).strip(" ,.")
        document = Document(row["id"], "novels", row["title"], author, clean_novel(row["text"]))
        documents["novels"].append(document)
    for row in rows["textbooks"]:
        subject = SUBJECTS[row["book"]]
        text = clean_textbook(row["text"])
        documents["textbooks"].append(
            Document(row["id"], "textbooks", normalise(row["title"]), row["book"], text, subject)
        )
    for row in rows["peps"]:
        documents["peps"].append(Document(row["id"], "peps", normalise(row["title"]), "", clean_pep(row["text"])))
    for row in rows["stories"]:
        documents["stories"].append(Document(f"story-{row['id']}", "stories", "", "", clean_story(row["text"])))
    for number, row in enumerate(rows["gsm8k"]):
        steps, final = clean_worked(row["answer"])
        question = " ".join(row["question"].translate(_TABLE).split())
        documents["gsm8k"].append(Document(f"gsm8k-{number}", "gsm8k", question, final, steps))
    return {source: [item for item in items if len(item.text) > 20] for source, items in documents.items()}


# --- holding out ----------------------------------------------------------------------------------------------------


def unit(key: str, seed: int) -> float:
    """A number in [0, 1) that depends on ``key`` and ``seed`` only."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def held_novels(novels: list[Document], seed: int) -> set[str]:
    """Four novels whose authors have no other novel here."""
    count = collections.Counter(novel.author for novel in novels)
    low, high = HELD_NOVEL_CHARS
    alone = [novel for novel in novels if count[novel.author] == 1 and low <= len(novel.text) <= high]
    alone.sort(key=lambda novel: unit(novel.id, seed))
    return {novel.id for novel in alone[:HELD_NOVELS]}


def split(documents: dict[str, list[Document]], seed: int) -> tuple[list[Document], list[Document]]:
    """Training and held-out documents. Training paragraphs that also occur in the held-out part are dropped."""
    out = held_novels(documents["novels"], seed)
    for source, share in HELD_SHARE.items():
        out |= {item.id for item in documents[source] if unit(item.id, seed) < share}
    everything = [item for items in documents.values() for item in items]
    held = [item for item in everything if item.id in out]
    seen = {part for item in held for part in item.text.split("\n\n") if len(part) > 60}
    train = []
    for item in everything:
        if item.id not in out:
            text = "\n\n".join(part for part in item.text.split("\n\n") if part not in seen)
            if len(text) > 20:
                train.append(Document(item.id, item.source, item.title, item.author, text, item.subject))
    return train, held


# --- rows -----------------------------------------------------------------------------------------------------------


def chunks(text: str, rng: random.Random) -> Iterator[str]:
    """Cut a text at paragraph borders into pieces whose lengths are spread over ``CHUNK_CHARS``."""
    low, high = CHUNK_CHARS
    target, size = rng.randint(low, high), 0
    piece: list[str] = []
    for part in text.split("\n\n"):
        if piece and size + len(part) > target:
            yield "\n\n".join(piece)
            target, size, piece = rng.randint(low, high), 0, []
        piece.append(part)
        size += len(part) + 2
    if piece:
        yield "\n\n".join(piece)


def running_text(documents: Iterable[Document], rng: random.Random) -> Iterator[Record]:
    """The plain rows: chunks of the documents, a title in front of a section's first chunk, and problems solved."""
    for item in documents:
        if item.source == "gsm8k":
            yield {"text": tasks.worked(item.title, item.text, item.author, rng), "source": "gsm8k"}
            continue
        titled = item.source in ("textbooks", "peps") and item.title
        body = f"{item.title}\n\n{item.text}" if titled else item.text
        for piece in chunks(body, rng):
            yield {"text": piece, "source": item.source}


def limit_peps(documents: list[Document], share: float, seed: int) -> list[Document]:
    """Drop proposals, in an order fixed by the seed, until they take no more than ``share`` of all characters."""
    rest = sum(len(item.text) for item in documents if item.source != "peps")
    budget = int(rest / (1 - TASK_SHARE - share) * share)
    kept, used = set(), 0
    peps = [item for item in documents if item.source == "peps"]
    for item in sorted(peps, key=lambda pep: unit(pep.id + "/keep", seed)):
        if used + len(item.text) <= budget:
            kept.add(item.id)
            used += len(item.text)
    return [item for item in documents if item.source != "peps" or item.id in kept]


def task_rows(documents: list[Document], budget: int, rng: random.Random) -> Iterator[Record]:
    """Task-shaped rows made from ``documents`` until ``budget`` characters are reached."""
    material = [
        tasks.Material(item.source, item.title, item.subject, part)
        for item in documents
        if item.source != "gsm8k"
        for part in tasks.passages(item.text, rng)
    ]
    used = 0
    for row in tasks.make(material, rng):
        if used >= budget:
            return
        used += len(row["text"])
        yield {**row, "source": "tasks"}


def build(documents: list[Document], rng: random.Random) -> list[Record]:
    """All rows of one side, shuffled."""
    rows = list(running_text(documents, rng))
    plain = sum(len(row["text"]) for row in rows)
    rows += task_rows(documents, int(plain * TASK_SHARE / (1 - TASK_SHARE)), rng)
    rng.shuffle(rows)
    return rows


def write_rows(path: Path, rows: Iterable[Record]) -> None:
    """Write JSON lines in UTF-8."""
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        for row in rows:
            handle.write(json.dumps(row, ensure_ascii=False) + "\n")


def table(rows: Iterable[Record]) -> str:
    """Rows and characters by source, as text."""
    count: collections.Counter[str] = collections.Counter()
    chars: collections.Counter[str] = collections.Counter()
    for row in rows:
        count[row["source"]] += 1
        chars[row["source"]] += len(row["text"])
    total = sum(chars.values())
    lines = [f"{'source':<12}{'rows':>9}{'characters':>13}{'share':>8}"]
    for source, size in chars.most_common():
        lines.append(f"{source:<12}{count[source]:>9,}{size:>13,}{size / total:>8.1%}")
    lines.append(f"{'all':<12}{sum(count.values()):>9,}{total:>13,}{1:>8.1%}")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="folder with the source data sets")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    train, held = split(load(args.data), args.seed)
    train = limit_peps(train, PEP_SHARE, args.seed)
    sides = {"train": build(train, random.Random(args.seed)), "held_out": build(held, random.Random(args.seed + 1))}
    for name, rows in sides.items():
        write_rows(args.out / f"{name}.jsonl", rows)
        print(f"{name}\n{table(rows)}\n")
    train_rows = sides["train"]
    write_rows(args.out / "texts.jsonl", (row for row in train_rows if "messages" not in row))
    write_rows(args.out / "chats.jsonl", (row for row in train_rows if "messages" in row))
    ids: dict[str, list[str]] = {}
    for item in held:
        ids.setdefault(item.source, []).append(item.id)
    (args.out / "held_out_ids.json").write_text(json.dumps(ids, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
