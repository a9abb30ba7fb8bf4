"""Characters put in order: damaged ones taken out and counted, spaces and line ends made plain."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

# Letters that a typesetter joined, spelt out; not NFKC, which would also turn x² into x2.
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_SPACES = dict.fromkeys((0x00A0, 0x2007, 0x202F, *range(0x2000, 0x2007), 0x2008, 0x2009, 0x200A, 0x205F), " ")
_UNSEEN = dict.fromkeys((0x00AD, 0x200B, 0x2060, 0xFEFF), "")
_LINES = {0x2028: "\n", 0x2029: "\n\n", 0x0085: "\n", 0x000B: "\n", 0x000C: "\n"}
_BULLETS = dict.fromkeys((0xF0B7, 0xF0A7, 0xF0D8, 0xF076), "•")  # of symbol fonts
_PLAIN = _LIGATURES | _SPACES | _UNSEEN | _LINES | _BULLETS

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
_DAMAGED = re.compile("[\ud800-\udfff\ufffd\ue000-\uf8ff]")
_RUN_OF_SPACES = re.compile(r"[ \t]+")
_RUN_OF_LINES = re.compile(r"\n{3,}")

CONTROL = "control characters"
DAMAGED = "undecodable characters"


def clean_characters(text: str, removed: Counter[str]) -> str:
    """`text` in NFC with plain spaces, line ends and ligatures.

    Control characters are left out, and so are those that stand for no letter (halves of surrogate pairs, the
    replacement character, codes private to a font); both are counted in `removed`.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_PLAIN)
    text, controls = _CONTROL.subn("", text)
    text, damaged = _DAMAGED.subn("", text)
    if controls:
        removed[CONTROL] += controls
    if damaged:
        removed[DAMAGED] += damaged
    return unicodedata.normalize("NFC", text)


def squeezed(text: str, kind: str) -> str:
    """White space that carries no meaning taken out: code keeps its own, lists and tables keep their indentation."""
    if kind == "code":
        return text.strip("\n")
    lines = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip(" \t"))] if kind in ("list", "table") else ""
        lines.append((indent + _RUN_OF_SPACES.sub(" ", line.strip())).rstrip())
    return _RUN_OF_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
