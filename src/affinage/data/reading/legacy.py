"""A guess at the legacy encoding of bytes that are not Unicode, for a message; nothing is decoded by it."""

from __future__ import annotations

from collections.abc import Callable

_SIGNS = "«»„“”‘’–—…°€£§©®·¿¡º²³µ\u00a0"


def guess(raw: bytes) -> str:
    """The likeliest of a few encodings by how plausible the text looks, in the name that `iconv` takes."""
    scores = {name: _score(raw, codec, plausible) for name, codec, plausible in _CANDIDATES}
    # Hangul stands where Chinese has its common signs, so that the narrower reading goes first when it fits wholly.
    for name in ("EUC-KR", "SHIFT_JIS"):
        if scores[name] > 0.9:
            return name
    return max(scores, key=lambda name: scores[name])


def _score(raw: bytes, codec: str, plausible: Callable[[str, int], bool]) -> float:
    """Share of the characters beyond ASCII that look as they should; what cannot be decoded counts against it."""
    text = raw.decode(codec, "replace")
    foreign = [place for place, sign in enumerate(text) if sign > "\x7f"]
    if not foreign:
        return 0.0
    return sum(plausible(text, place) for place in foreign) / len(foreign)


def _western(text: str, place: int) -> bool:
    """A sign of punctuation, or an accented letter beside plain ones or alone."""
    if text[place] in _SIGNS:
        return True
    beside = _beside(text, place)
    return text[place].isalpha() and all(sign.isascii() for sign in beside)


def _cyrillic(text: str, place: int) -> bool:
    """A letter among its own kind, capitals only at the front or among capitals."""
    sign, beside = text[place], _beside(text, place)
    if not ("а" <= sign.lower() <= "я") or any(other.isascii() for other in beside):
        return False
    return sign.islower() or text[place - 1 : place].upper() == text[place - 1 : place]


def _beside(text: str, place: int) -> str:
    """The letters before and after."""
    return "".join(filter(str.isalpha, text[max(place - 1, 0) : place] + text[place + 1 : place + 2]))


def _japanese(text: str, place: int) -> bool:
    """Kana, full-width signs, or a common ideograph that does not stand alone."""
    sign = text[place]
    if "\u3000" <= sign <= "\u30ff" or "\uff01" <= sign <= "\uff5e":
        return True
    code = sign.encode("cp932", "replace")
    beside = text[max(place - 1, 0) : place] + text[place + 1 : place + 2]
    return len(code) == 2 and 0x88 <= code[0] <= 0x97 and not beside.isascii()


def _korean(text: str, place: int) -> bool:
    return "\uac00" <= text[place] <= "\ud7a3"


def _common(codec: str, first: int, last: int) -> Callable[[str, int], bool]:
    """Ideographs that stand in the part of the code for common ones, and its punctuation."""

    def plausible(text: str, place: int) -> bool:
        code = text[place].encode(codec, "replace")
        return len(code) == 2 and (first <= code[0] <= last or 0xA1 <= code[0] <= 0xA3) and code[1] >= 0x40

    return plausible


_chinese = _common("gb2312", 0xB0, 0xD7)
_taiwanese = _common("big5", 0xA4, 0xC6)

_CANDIDATES: tuple[tuple[str, str, Callable[[str, int], bool]], ...] = (
    ("WINDOWS-1252", "cp1252", _western),
    ("WINDOWS-1251", "cp1251", _cyrillic),
    ("SHIFT_JIS", "cp932", _japanese),
    ("EUC-KR", "euc_kr", _korean),
    ("GB18030", "gb18030", _chinese),
    ("BIG5", "big5", _taiwanese),
)
