"""Small files with one fault each: what `test_seeded.py` plants, and what must be said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Rows = list[Any]
Files = dict[str, "Rows | str | bytes | Callable[[Path], None]"]

CHATS: Rows = [{"prompt": f"How old is cheese {n}?", "response": f"It is {n} weeks old."} for n in range(12)]
LABELLED: Rows = [{"text": f"The parcel number {n} came.", "label": ("late", "lost")[n % 2]} for n in range(24)]
TEXTS: Rows = [{"text": f"In the cellar, shelf {n} holds the cheeses of week {n}."} for n in range(24)]
LONG = "The cheese is turned and washed every week. It is then sold at the market in town. The rest is kept "
CARD = "4111 1111 1111 1111"


@dataclass(frozen=True)
class Fault:
    """Files to write, words for the command line, and the finding that must be there with its severity.

    `model` names one of the models that the suite makes. `exit_code` is 2 for an error; kinds that no objective eats
    are refused besides.
    """

    code: str
    severity: str
    files: Files
    words: tuple[str, ...] = ()
    model: str = "base"
    exit_code: int = field(default=-1)

    @property
    def leaves_with(self) -> int:
        return self.exit_code if self.exit_code >= 0 else 2 if self.severity == "error" else 0


def rows(code: str, severity: str, data: Rows, *words: str, model: str = "base", exit_code: int = -1) -> Fault:
    return Fault(code, severity, {"data.jsonl": data}, words, model, exit_code)


def write(folder: Path, files: Files) -> None:
    """Every file of a fault; a list is JSON lines, of which a string stands as it is."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in content)
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def turns(*said: str) -> dict[str, Any]:
    """A chat of `role: content` turns."""
    return {"messages": [dict(zip(("role", "content"), turn.split(": ", 1), strict=True)) for turn in said]}


def ask(prompt: str, response: str) -> dict[str, str]:
    return {"prompt": prompt, "response": response}


def prefer(number: int, chosen: str, rejected: str) -> dict[str, str]:
    return {"prompt": f"Which cheese is number {number}?", "chosen": chosen, "rejected": rejected}


def blank_pdf(path: Path) -> None:
    from pypdf import PdfWriter

    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    writer.write(path)


def locked_pdf(path: Path) -> None:
    from pypdf import PdfWriter

    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    writer.encrypt("ripe", algorithm="RC4-128")
    writer.write(path)


TALKS = [turns(f"user: How old is {n}?", f"assistant: It is {n} weeks old.") for n in range(12)]
UNWEIGHED = [
    {"messages": [{"role": "user", "content": f"Say {n}"}, {"role": "assistant", "content": f"It is {n}", "weight": 0}]}
    for n in range(12)
]
WEIGHED_PROMPT = {
    "messages": [{"role": "user", "content": "And now?", "weight": 1}, {"role": "assistant", "content": "Now we wait."}]
}
PICTURE = {
    "messages": [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
        TALKS[0]["messages"][1],
    ]
}
BROKEN_CALL = {
    "messages": [
        {"role": "user", "content": "Seven?"},
        {"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]},
    ]
}
ENGLISH = [{"text": f"{n}: the cheese is turned every week and sold at the market of the town"} for n in range(12)]
FRENCH = [{"text": f"{n} : le fromage est retourné chaque semaine et vendu au marché de la ville"} for n in range(8)]
NEAR = "The parcel with the washed cheese left the cellar on Monday and came to the market on Tuesday at noon"
CLONES = [{"text": f"{NEAR}, {word}"} for word in "one two three four five six seven eight nine ten".split()]  # noqa: SIM905
LATE = [
    {"text": f"The parcel {n} came.", "label": ("late", "lost")[n % 2], "day": f"2024-01-{n + 1:02d}"}
    for n in range(24)
]
PAIRS = [{"query": f"what is cheese {n}", "passage": f"Cheese {n} is a washed one."} for n in range(12)]
COMPARED = [prefer(n, f"The {n}", f"Not {n}") for n in range(9)]
TIES = [{"prompt": f"Say {n}", "response_a": f"A {n}", "response_b": f"B {n}", "winner": "tie"} for n in range(3)]
RATED = [{"prompt": f"Say {n}", "completion": f"It is {n}.", "label": True} for n in range(12)]
DOCUMENTS: Files = {
    f"data/{n}.md": f"# Shelf {n}\n\nThe cheeses of shelf {n} are {w}.\n"
    for n, w in enumerate(["washed", "salted", "smoked", "turned", "sold out", "ripe by now"])
}

PAGE = (
    "<html><body><nav><a href='/'>Home</a> <a href='/shop'>Our shop</a></nav><article><h1>Shelf seven</h1><p>"
    + "The cheeses of shelf seven are turned every week and washed with salt water. " * 5
    + "</p></article><footer>All rights reserved by the cellar</footer></body></html>"
)

READING = {
    "an unknown layout": rows("refused", "error", [{"a": n} for n in range(9)]),
    "half a row": rows("malformed", "error", [*CHATS, '{"prompt": "And']),
    "half a row, left out": rows("malformed", "warning", [*CHATS, '{"prompt": "And'], "--set", "bad_rows=drop"),
    "a number for a text": rows("wrong-type", "error", [*TEXTS, {"text": 7}]),
    "a column that is not there": rows("missing-column", "error", [*TEXTS, {"words": "x"}]),
    "an image": rows("not-text", "error", [*TALKS, PICTURE]),
    "an empty text": rows("empty-text", "warning", [*TEXTS, {"text": "  "}]),
    "an empty label": rows("empty-label", "warning", [*LABELLED, {"text": "The parcel", "label": ""}]),
    "an empty prompt": rows("empty-prompt", "warning", [*CHATS, ask("", "Yes, it is.")]),
    "an empty answer": rows("empty-response", "warning", [*CHATS, ask("Is it ripe?", " ")]),
    "an empty assistant turn": rows("empty-response", "warning", [*TALKS, turns("user: And?", "assistant:  ")]),
    "odd role order": rows("bad-role-order", "warning", [*TALKS, turns("user: A?", "assistant: B.", "assistant: C.")]),
    "a call without a name": rows("tool-calls", "warning", [*TALKS, BROKEN_CALL]),
    "a repeated row": rows("duplicate", "note", [*CHATS, CHATS[0]]),
    "a benchmark's row": Fault(
        "contaminated", "note", {"data.jsonl": [*TEXTS, {"text": NEAR}], "bench.jsonl": [{"text": NEAR}]},
        ("--set", "decontaminate=[bench.jsonl]"),
    ),
    "a mail address, taken out": rows("redacted", "note", [*CHATS, ask("Who?", "Ask ann@cheese.org.")], "--redact"),
    "a page's navigation": Fault("removed-text", "note", DOCUMENTS | {"data/7.html": PAGE}),
    "a scanned document": Fault("scanned-page", "warning", DOCUMENTS | {"data/8.pdf": blank_pdf}),
    "a broken document": Fault("unreadable", "warning", DOCUMENTS | {"data/8.pdf": b"%PDF-1.7\nnothing"}),
    "a locked document": Fault("encrypted", "warning", DOCUMENTS | {"data/8.pdf": locked_pdf}),
    "a row above the context": rows("too-long", "error", [*CHATS, ask("Go on. " * 40, "At the end.")]),
    "a row above the context, cut": rows(
        "too-long", "warning", [*CHATS, ask("Go on.", "so " * 90)], "--set", "too_long=truncate"
    ),
    "a template that refuses": rows(
        "not-rendered", "error", [*TALKS, turns("system: Be kind.", "user: A?", "assistant: B.")], model="picky"
    ),
    "a file that holds all": Fault(
        "dominant-source", "note", {"data/a.jsonl": TEXTS, "data/b.jsonl": [{"text": "One shelf alone stands here."}]}
    ),
}  # fmt: skip
CONTENT = {
    "mixed encodings": rows("mojibake", "warning", [*TEXTS, {"text": "She said â€œthe cheese is oldâ€ and left."}]),
    "a lost character": rows("replacement-character", "warning", [*TEXTS, {"text": "The caf\ufffd sells old cheese."}]),
    "a template in the text": rows(
        "control-token", "warning", [*CHATS, ask("<|im_start|>user\nWhose?<|im_end|>", "Ann's.")]
    ),
    "NaN as text": rows("null-as-text", "warning", [*TEXTS, {"text": "nan"}]),
    "None as an answer": rows("null-as-text", "warning", [*CHATS, ask("Whose is it?", "None")]),
    "a short text": rows("short-text", "note", [*TEXTS, {"text": "Rind."}]),
    "two languages": rows("mixed-languages", "note", ENGLISH + FRENCH),
    "a password": rows("secret", "warning", [*CHATS, ask("How?", "Set password=hunter22 there.")]),
    "a bank card": rows("personal-data", "warning", [*CHATS, ask("How?", f"Pay with {CARD}.")]),
}
ANSWERS = {
    "a cut answer": rows("cut-answer", "warning", [*CHATS, ask("Tell me", LONG + "in the cellar of the")]),
    "answers cut at one length": rows(
        "cut-at-length", "warning", [ask(f"Tell {n}", (f"{n}. " + LONG)[:100]) for n in range(12)]
    ),
    "refusals": rows("refusal", "warning", [*CHATS, ask("Is it good?", "As an AI language model, I cannot taste.")]),
    "an echo": rows("answer-is-prompt", "warning", [*CHATS, ask("Is it ripe?", "Is it ripe?")]),
    "an answer given away": rows(
        "answer-in-prompt", "note", [*CHATS, ask("Say: Ann ate the cheese.", "Ann ate the cheese.")]
    ),
    "one word": rows("one-word-answer", "note", [*CHATS, ask("Whose is it?", "Ann's")]),
    "two answers": rows(
        "differing-answers", "note", [*CHATS, ask("Whose?", "It is Ann's."), ask("Whose?", "It is Bo's.")]
    ),
}
TOKENS = {
    "nothing is learned from": rows("no-learned-token", "error", UNWEIGHED),
    "nothing is learned from after the cut": rows(
        "no-learned-token", "error", [ask(f"{n} " + "so " * 100, "Yes.") for n in range(12)], "--set", "too_long=truncate"
    ),
    "a prompt is learned from": rows("prompt-learned", "warning", [*TALKS, WEIGHED_PROMPT]),
    "prompts are learned from by wish": rows("prompt-learned", "note", TALKS, "--set", "learn_from=all"),
    "an end that is never learned": rows(
        "end-not-learned", "warning", [ask(f"Go {n}", "so " * 90) for n in range(12)], "--set", "too_long=truncate"
    ),
    "two start tokens": rows("doubled-bos", "warning", CHATS, model="doubled"),
    "padding is the end": rows("pad-is-eos", "note", CHATS, model="padded"),
    "two templates": rows("template-differs", "warning", CHATS, model="torn"),
    "unknown characters": rows("unknown-token", "warning", CHATS, model="words"),
    "bytes for words": rows("spelt-out", "warning", [ask(f"How old is {n}?", f"{n}: {LONG}{LONG}") for n in range(12)]),
}  # fmt: skip
LABELS = {
    "one class": rows("one-label", "error", [row | {"label": "late"} for row in LABELLED]),
    "a label seen once": rows("label-once", "error", [*LABELLED, {"text": "It is red.", "label": "paint"}]),
    "a rare label": rows("rare-label", "warning", [*LABELLED, *({"text": f"Red {n}.", "label": "paint"} for n in range(4))]),
    "an uneven label": rows("uneven-labels", "warning", [*LABELLED, *({"text": f"Late {n}!", "label": "late"} for n in range(60))]),
    "two ways to write a label": rows(
        "label-variants", "warning", [*LABELLED, *({"text": f"Where is it, {n}?", "label": "Lost "} for n in range(10))]
    ),
    "a contradiction": rows("contradictory-labels", "warning", [*LABELLED, {"text": "the parcel number 3 CAME.", "label": "late"}]),
    "a label in the text": rows(
        "label-in-text", "warning", [row | {"text": f"{row['text']} Status: {row['label']}"} for row in LABELLED]
    ),
    "a label that comes late": rows(
        "unseen-label", "warning", [*LATE[:-2], *(row | {"label": "new"} for row in LATE[-2:])],
        "--set", "columns.text=text", "--set", "columns.label=label", "--set", "columns.time=day", "--set", "held_out=2",
        "--set", "folds=1", "--set", "validation=2",
    ),
}  # fmt: skip
COMPARISONS = {
    "chosen is rejected": rows(
        "chosen-equals-rejected", "warning", [*COMPARED, prefer(9, "It", "It")]
    ),
    "chosen is always rejected": rows("chosen-equals-rejected", "error", [prefer(n, f"The {n}", f"the  {n}") for n in range(9)]),
    "the longer one wins": rows(
        "length-bias", "warning", [prefer(n, f"It is the {n}, of course.", f"Not {n}") for n in range(24)]
    ),
    "no better answer": rows("tied-completions", "note", TIES, exit_code=2),
    "a prompt in one answer alone": rows(
        "not-comparable", "warning", [*COMPARED, prefer(9, "\n\nHuman: Which?\n\nAssistant: This.", "That.")]
    ),
    "all ratings are one": rows("one-rating", "warning", RATED, exit_code=2),
    "a passage that is its query": rows(
        "equal-passages", "warning", [*PAIRS, {"query": "Same same?", "passage": "same same?"}], exit_code=2
    ),
}  # fmt: skip
SIDES = {
    "but for case": rows("shared-text", "note", [*CHATS, ask("how OLD is cheese 3?", "Who knows?")]),
    "nearly the same": rows("near-duplicate", "note", [*TEXTS, {"text": NEAR}, {"text": NEAR + " or so"}]),
    "copies on both sides": rows(
        "split-overlap", "warning", CLONES, "--set", "near_duplicates=keep", "--set", "folds=1"
    ),
    "two parts of a split as one": Fault(
        "split-files", "warning", {"data/train.jsonl": TEXTS, "data/test.jsonl": [{"text": NEAR}]}
    ),
}
FAULTS = READING | CONTENT | ANSWERS | TOKENS | LABELS | COMPARISONS | SIDES
