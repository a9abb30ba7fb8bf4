"""Secrets and personal data in text, found by their shape and put out of sight by typed placeholders.

Precision comes first: what has a check digit is checked (IBAN, bank cards, French social-security numbers), and what has
none must have a shape that little else has. So nothing here proves that a text is free of personal data: names, for
instance, have no shape at all. Every pattern takes time in proportion to the text, whatever the text says.
"""

from __future__ import annotations

import bisect
import ipaddress
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from affinage.data.check_digits import is_card, is_iban, is_isbn10, is_nir
from affinage.data.records import Chat, Labelled, Message, Pair, Preference, Prompt, Rated, Record, Text

SECRETS = ("PRIVATE_KEY", "CREDENTIALS", "TOKEN", "API_KEY", "PASSWORD")
PERSONAL = ("EMAIL", "IBAN", "CARD", "NIR", "SSN", "PHONE", "IP")
KINDS = SECRETS + PERSONAL

AnyRecord = TypeVar("AnyRecord", bound=Record)
Change = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Found:
    """Characters [start, end) of a text that look like `kind`, one of `KINDS`."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Anchor:
    """What is quick to look for, and how many characters around it a shape may reach: most text is done with that."""

    words: tuple[str, ...] = ()  # in lower case
    pattern: re.Pattern[str] | None = None
    before: int = 80
    after: int = 600

    def windows(self, text: str, lower: str) -> list[tuple[int, int]]:
        """Stretches of `text` around the anchor, in order, joined where they overlap."""
        joined: list[tuple[int, int]] = []
        for start, end in sorted(self._places(text, lower)):
            low, high = max(0, start - self.before), min(len(text), end + self.after)
            if joined and low <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
            else:
                joined.append((low, high))
        return joined

    def _places(self, text: str, lower: str) -> Iterator[tuple[int, int]]:
        if self.pattern is not None:
            yield from (found.span() for found in self.pattern.finditer(text))
        for word in self.words:
            at = lower.find(word)
            while at >= 0:
                yield at, at + len(word)
                at = lower.find(word, at + len(word))


@dataclass(frozen=True, slots=True)
class _Shape:
    """A pattern; its group `it` (else all of it) is what is found, if `holds` says so."""

    kind: str
    pattern: re.Pattern[str]
    anchor: _Anchor
    holds: Callable[[re.Match[str]], bool]


_DIGIT = re.compile(r"\d")
_KEY_HEAD = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_KEY_FOOT = re.compile(r"-----END [A-Z0-9 ]{0,40}-----")
_SECRET_NAMES = (
    r"pass(?:word|wd|phrase)|pwd|mot[ _]de[ _]passe|(?:api|access|secret|auth|private)[_-]?(?:key|token|secret)|"
    r"client[_-]?secret"
)
_STANDINS = re.compile(r"(?i)[<{$%*.\[]|(?:your|my|the|some|xxx|changeme|example|test|none|null|true|false|self)")
_NUMBERS = _Anchor(pattern=re.compile(r"\d(?:[ ().AB-]{0,3}\d){8,}"), before=6, after=4)
_SECRET_WORDS = _Anchor(words=("passw", "passp", "pwd", "passe", "key", "token", "secret"), before=40, after=180)


def _has_digit(found: re.Match[str]) -> bool:
    return _DIGIT.search(found["it"]) is not None


def _is_password(found: re.Match[str]) -> bool:
    """A value that a person would type: no stand-in, no code, no plain word that is not in quotation marks."""
    value, quoted = found["it"], found["quote"] != ""
    if _STANDINS.match(value) or len(set(value)) < 4 or "(" in value or "://" in value:
        return False
    if value.replace("_", "").replace("-", "").isupper() and not _has_digit(found):  # the name of a setting
        return False
    return quoted or (_has_digit(found) and any(char.isalpha() for char in value))


def _is_address(found: re.Match[str]) -> bool:
    """Four numbers that are no version, section or date: two of them with two digits, or one with three."""
    sizes = sorted(len(part) for part in found[0].split("."))
    if not (sizes[-1] == 3 or sizes[-2] >= 2) or any(int(part) > 255 for part in found[0].split(".")):
        return False
    address = ipaddress.ip_address(".".join(str(int(part)) for part in found[0].split(".")))
    return not (address.is_unspecified or address.is_loopback)


def _is_address6(found: re.Match[str]) -> bool:
    try:
        return ipaddress.ip_address(found[0]).version == 6
    except ValueError:
        return False


def _shape(
    kind: str, anchor: _Anchor, pattern: str, holds: Callable[[re.Match[str]], bool] = lambda found: True
) -> _Shape:
    return _Shape(kind, re.compile(pattern), anchor, holds)


def _word(*words: str, after: int = 600) -> _Anchor:
    return _Anchor(words=words, after=after)


_BEFORE = r"(?<![\w.,:/+=#-])(?<!\d )"  # a number that is no part of a longer one
_AFTER = r"(?![\w/=]|[ .,:-]\d)"
_PHONE_END = r"(?![\w/]|[.,-]\d)"
_API_KEYS = (
    ("sk-", r"sk-(?:[a-z0-9]{1,10}-){0,2}(?=[A-Za-z_-]{0,60}\d)[\w-]{20,200}"),
    ("gh", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    ("github_pat_", r"github_pat_\w{22,255}"),
    ("glpat-", r"glpat-[\w-]{20,64}"),
    ("akia", r"AKIA[A-Z0-9]{16}"),
    ("asia", r"ASIA(?=[A-Z]{0,15}\d)[A-Z0-9]{16}"),
    ("xox", r"xox[abeoprs]-[A-Za-z0-9-]{10,250}"),
    ("aiza", r"AIza[\w-]{35}"),
    ("hf_", r"hf_[A-Za-z0-9]{30,64}"),
    ("npm_", r"npm_[A-Za-z0-9]{36}"),
    ("k_live_", r"[srp]k_live_[A-Za-z0-9]{16,247}"),
    ("k_test_", r"[srp]k_test_[A-Za-z0-9]{16,247}"),
)
# In the order of precedence: of two that overlap, the first is taken.
_SHAPES = (
    _shape(
        "CREDENTIALS",
        _word("://"),
        r"\b[A-Za-z][A-Za-z0-9+.-]{1,15}://(?P<it>[^\s/:@<>\"']{1,64}:[^\s/@<>\"']{1,128})@\w",
    ),
    _shape("TOKEN", _word("eyj", after=16_000), r"\beyJ[\w-]{8,4096}\.eyJ[\w-]{8,8192}\.[\w-]{8,2048}"),
    _shape("TOKEN", _word("bearer", after=5_000), r"\b[Bb]earer\s{1,4}(?P<it>[\w.~+/-]{20,4096}={0,2})", _has_digit),
    *(_shape("API_KEY", _word(word), rf"(?<![\w-]){pattern}(?![\w-])") for word, pattern in _API_KEYS),
    _shape(
        "PASSWORD",
        _SECRET_WORDS,
        rf"(?i)\b(?:{_SECRET_NAMES})[\"']?\s{{0,3}}[=:]\s{{0,3}}(?P<quote>[\"']?)(?P<it>[^\s\"'&,;<>)]{{6,128}})",
        _is_password,
    ),
    _shape(
        "EMAIL",
        _word("@"),
        r"(?<![\w.+%-])[^\W_][\w.+%-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])",
    ),
    _shape(
        "IBAN",
        _Anchor(pattern=re.compile(r"[A-Z]{2}\d\d[ ]?[A-Z0-9]{4}"), before=2, after=40),
        r"(?<![\w-])[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,4})?(?!\w)",
        lambda found: is_iban(found[0]),
    ),
    _shape(
        "CARD",
        _NUMBERS,
        rf"{_BEFORE}\d{{4}}(?:([ -]?)\d{{4}}\1\d{{4}}\1\d{{4}}|([ -]?)\d{{6}}\2\d{{4,5}}){_AFTER}",
        lambda found: is_card(found[0]),
    ),
    _shape(
        "NIR",
        _NUMBERS,
        rf"{_BEFORE}[12]([ ]?)\d{{2}}\1\d{{2}}\1(?:\d{{2}}|2[AB])\1\d{{3}}\1\d{{3}}[ ]?\d{{2}}{_AFTER}",
        lambda found: is_nir(found[0]),
    ),
    _shape("SSN", _NUMBERS, rf"{_BEFORE}(?!000|666|9)\d{{3}}-(?!00)\d{{2}}-(?!0000)\d{{4}}{_AFTER}"),
    _shape(
        "PHONE",
        _NUMBERS,
        rf"(?<![\w+.-])\+\d{{1,3}}\)?[ .-]?(?:\(0\)[ ]?)?\(?\d{{1,4}}\)?(?:[ .-]?\d{{2,4}}){{2,4}}{_PHONE_END}",
        lambda found: 9 <= _digits(found) <= 15,
    ),
    _shape("PHONE", _NUMBERS, rf"{_BEFORE}0[1-9]([ .-])\d{{2}}(?:\1\d{{2}}){{3}}{_AFTER}"),
    _shape("PHONE", _NUMBERS, rf"{_BEFORE}0[67]\d{{8}}{_AFTER}", lambda found: not is_isbn10(found[0])),
    _shape(
        "PHONE",
        _NUMBERS,
        r"(?<![\w.+/=-])(?:1[ .-])?(?:\([2-9]\d{2}\)[ ]?|[2-9]\d{2}([.-]))[2-9]\d{2}(?(1)\1|-)\d{4}" + _PHONE_END,
    ),
    _shape(
        "IP",
        _Anchor(pattern=re.compile(r"\d\.\d{1,3}\.\d"), before=16, after=16),
        r"(?<![\w.:/§-])(?<!ersion )(?<!ection )\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\w)",
        _is_address,
    ),
    _shape(
        "IP",
        _Anchor(pattern=re.compile(r":[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{0,4}:"), before=42, after=42),
        r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){3,7}:?(?:[0-9A-Fa-f]{1,4}:?){0,4}[0-9A-Fa-f]{1,4}(?![\w:])",
        _is_address6,
    ),
)


def _digits(found: re.Match[str]) -> int:
    return sum(char.isdigit() for char in found[0])


def find(text: str) -> list[Found]:
    """What in `text` looks like a secret or personal data, in order, without overlaps."""
    taken: list[Found] = []
    starts: list[int] = []
    for found in _candidates(text):
        at = bisect.bisect(starts, found.start)
        if (at and taken[at - 1].end > found.start) or (at < len(taken) and taken[at].start < found.end):
            continue
        taken.insert(at, found)
        starts.insert(at, found.start)
    return taken


def _candidates(text: str) -> Iterator[Found]:
    if "-----BEGIN " in text:
        yield from _private_keys(text)
    lower = text.lower()
    if len(lower) != len(text):  # a few characters grow, and places would be off
        lower = "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
    windows: dict[int, list[tuple[int, int]]] = {}
    for shape in _SHAPES:
        anchor = shape.anchor
        if id(anchor) not in windows:
            windows[id(anchor)] = anchor.windows(text, lower)
        group = "it" if "it" in shape.pattern.groupindex else 0
        for low, high in windows[id(anchor)]:
            for match in shape.pattern.finditer(text, low, high):
                if shape.holds(match):
                    yield Found(shape.kind, match.start(group), match.end(group))


def _private_keys(text: str) -> Iterator[Found]:
    """Whole blocks; one whose end is missing goes to the end of the text."""
    position = 0
    while head := _KEY_HEAD.search(text, position):
        foot = _KEY_FOOT.search(text, head.end())
        position = foot.end() if foot else len(text)
        yield Found("PRIVATE_KEY", head.start(), position)


def redact(text: str) -> tuple[str, Counter[str]]:
    """`text` with `[EMAIL]`, `[PHONE]` ... in the place of what was found, and how many of each kind there were."""
    spans = find(text)
    if not spans:
        return text, Counter()
    pieces, position = [], 0
    for span in spans:
        pieces += [text[position : span.start], f"[{span.kind}]"]
        position = span.end
    return "".join([*pieces, text[position:]]), Counter(span.kind for span in spans)


def redacted(record: AnyRecord) -> tuple[AnyRecord, Counter[str]]:
    """The record with all its texts redacted (itself where nothing was found), and the counts.

    Texts are contents, reasoning, the arguments of calls, completions, passages and reference answers. Labels, names of
    functions, groups and sources stay as they are.
    """
    counts: Counter[str] = Counter()

    def change(text: str) -> str:
        new, found = redact(text)
        counts.update(found)
        return new

    changed = map_texts(record, change)
    return (changed if counts else record), counts


def map_texts(record: AnyRecord, change: Change) -> AnyRecord:
    """The record with `change` made to each of its texts.

    Raises:
        TypeError: a kind of record that is not known here.
    """
    new: Record
    if isinstance(record, Text | Labelled):
        new = replace(record, text=change(record.text))
    elif isinstance(record, Chat | Prompt):
        tools = tuple(_map_json(tool, change) for tool in record.tools)
        new = replace(record, messages=_map_turns(record.messages, change), tools=tools)
        if isinstance(new, Prompt) and new.reference is not None:
            new = replace(new, reference=change(new.reference))
    elif isinstance(record, Preference):
        completions = _map_turns(record.completions, change)
        new = replace(record, messages=_map_turns(record.messages, change), completions=completions)
    elif isinstance(record, Rated):
        (completion,) = _map_turns((record.completion,), change)
        new = replace(record, messages=_map_turns(record.messages, change), completion=completion)
    elif isinstance(record, Pair):
        negatives = tuple(map(change, record.negatives))
        new = replace(record, query=change(record.query), passage=change(record.passage), negatives=negatives)
    else:
        raise TypeError(f"{type(record).__name__} has no texts that are known")
    return cast("AnyRecord", new)


def _map_turns(turns: tuple[Message, ...], change: Change) -> tuple[Message, ...]:
    return tuple(
        replace(
            turn,
            content=change(turn.content),
            reasoning=change(turn.reasoning),
            calls=tuple(replace(call, arguments=_map_json(call.arguments, change)) for call in turn.calls),
        )
        for turn in turns
    )


def _map_json(text: str, change: Change) -> str:
    """JSON text with `change` made to its strings and numbers, so that it stays JSON; text that is no JSON as text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return change(text)
    changed = _map_value(value, change)
    return text if changed == value else json.dumps(changed, ensure_ascii=False)


def _map_value(value: Any, change: Change) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _map_value(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_map_value(inner, change) for inner in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        said = str(value)
        new = change(said)
        return value if new == said else new
    return value
