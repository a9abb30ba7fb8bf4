"""The shapes that secrets and personal data have, each with the check that tells it from its likes.

What has a check digit is checked (IBAN, bank cards, French social-security numbers), and what has none must have a shape
that little else has. Every pattern takes time in proportion to the text, whatever the text says.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from affinage.data.check_digits import is_card, is_iban, is_isbn10, is_nir


@dataclass(frozen=True, slots=True)
class Anchor:
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
class Shape:
    """A pattern; its group `it` (else all of it) is what is found, if `holds` says so."""

    kind: str
    pattern: re.Pattern[str]
    anchor: Anchor
    holds: Callable[[re.Match[str]], bool]


_DIGIT = re.compile(r"\d")
_SECRET_NAMES = (
    r"pass(?:word|wd|phrase)|pwd|mot[ _]de[ _]passe|(?:api|access|secret|auth|private)[_-]?(?:key|token|secret)|"
    r"client[_-]?secret"
)
_STANDINS = re.compile(r"(?i)[<{$%*.\[]|(?:your|my|the|some|xxx|changeme|example|test|none|null|true|false|self)")
_NUMBERS = Anchor(pattern=re.compile(r"\d(?:[ ().AB-]{0,3}\d){8,}"), before=6, after=4)
_SECRET_WORDS = Anchor(words=("passw", "passp", "pwd", "passe", "key", "token", "secret"), before=40, after=180)


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
    kind: str, anchor: Anchor, pattern: str, holds: Callable[[re.Match[str]], bool] = lambda found: True
) -> Shape:
    return Shape(kind, re.compile(pattern), anchor, holds)


def _word(*words: str, after: int = 600) -> Anchor:
    return Anchor(words=words, after=after)


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
SHAPES = (
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
        Anchor(pattern=re.compile(r"[A-Z]{2}\d\d[ ]?[A-Z0-9]{4}"), before=2, after=40),
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
        Anchor(pattern=re.compile(r"\d\.\d{1,3}\.\d"), before=16, after=16),
        r"(?<![\w.:/§-])(?<!ersion )(?<!ection )\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\w)",
        _is_address,
    ),
    _shape(
        "IP",
        Anchor(pattern=re.compile(r":[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{0,4}:"), before=42, after=42),
        r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){3,7}:?(?:[0-9A-Fa-f]{1,4}:?){0,4}[0-9A-Fa-f]{1,4}(?![\w:])",
        _is_address6,
    ),
)


def _digits(found: re.Match[str]) -> int:
    return sum(char.isdigit() for char in found[0])
