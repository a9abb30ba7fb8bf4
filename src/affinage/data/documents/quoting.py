"""What a message itself says, without the replies that it quotes and the signature below it."""

from __future__ import annotations

import re
from collections import Counter

_LONGEST_SIGNATURE = 15  # lines
_LONGEST_ATTRIBUTION = 300  # characters

# "On Monday, Ann wrote:" in some languages, perhaps broken over two lines.
_ATTRIBUTION = re.compile(
    r"(?:on|le|am|el|il|em|op)\b.{4,}(?:wrote|a écrit|schrieb|escribió|ha scritto|escreveu|schreef)[^\n]{0,80}:\s*$",
    re.IGNORECASE,
)
_ORIGINAL = re.compile(
    r"\s*-{2,}\s*(?:original message|message d['’]origine|ursprüngliche nachricht|mensaje original)\s*-{2,}\s*$"
    r"|\s*_{20,}\s*$",
    re.IGNORECASE,
)
_QUOTED_HEAD = re.compile(r"\s*\*?(?:from|de|von|da)\s*:", re.IGNORECASE)
_QUOTED_HEAD_GOES_ON = re.compile(
    r"\s*\*?(?:sent|to|date|subject|cc|envoyé|à|objet|gesendet|an|betreff|enviado|para|asunto)\*?\s*:", re.IGNORECASE
)


def own_words(text: str, removed: Counter[str]) -> str:
    """`text` without quoted lines and signature, both counted; a text that is nothing else stays as it is."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    end = _end_of_own(lines)
    kept = [line for at, line in enumerate(lines[:end]) if not _is_quoted(lines, at)]
    quoted = sum(bool(line.strip()) for line in lines) - sum(bool(line.strip()) for line in kept)
    signed = _signature(kept)
    own = "\n".join(line.rstrip() for line in kept[:signed])
    if not own.strip():
        return text.strip()
    if quoted:
        removed["quoted lines"] += quoted
    signature = sum(bool(line.strip()) for line in kept[signed:])
    if signature:
        removed["signature lines"] += signature
    return re.sub(r"\n{3,}", "\n\n", own).strip("\n")


def _end_of_own(lines: list[str]) -> int:
    """Where a whole older message begins, written below without marks on its lines."""
    for at, line in enumerate(lines):
        following = lines[at + 1 : at + 4]
        heads = any(_QUOTED_HEAD_GOES_ON.match(other) for other in following)
        if _ORIGINAL.match(line) and any(_QUOTED_HEAD.match(other) for other in following):
            return at
        if _QUOTED_HEAD.match(line) and heads and at > 0 and not lines[at - 1].strip():
            return at
        # An attribution with no marked lines below it: some programs quote without marks, to the end.
        if _is_attribution(lines, at) and not any(other.lstrip().startswith(">") for other in lines[at:]):
            return at
    return len(lines)


def _is_quoted(lines: list[str], at: int) -> bool:
    if lines[at].lstrip().startswith(">"):
        return True
    if _is_attribution(lines, at):
        return True
    return at > 0 and not _ATTRIBUTION.match(lines[at].strip()) and _is_attribution(lines, at - 1, spread=True)


def _is_attribution(lines: list[str], at: int, *, spread: bool = False) -> bool:
    """Whether "... wrote:" begins at this line (`spread`: and only ends on the next one)."""
    line = lines[at].strip()
    if not line or len(line) > _LONGEST_ATTRIBUTION:
        return False
    whole = bool(_ATTRIBUTION.match(line))
    if whole:
        return not spread
    following = lines[at + 1].strip() if at + 1 < len(lines) else ""
    both = f"{line} {following}"
    return bool(following) and len(both) <= _LONGEST_ATTRIBUTION and bool(_ATTRIBUTION.match(both))


def _signature(lines: list[str]) -> int:
    """The line of the mark `-- ` above a signature, or the number of lines."""
    for at in range(len(lines) - 1, -1, -1):
        if lines[at].rstrip("\r\n") in ("-- ", "--"):
            return at if sum(bool(line.strip()) for line in lines[at + 1 :]) <= _LONGEST_SIGNATURE else len(lines)
    return len(lines)
