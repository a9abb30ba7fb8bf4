"""Findings on characters: text decoded wrongly, characters lost, control tokens of a template inside contents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from affinage.inspection.catalogue import Severity
from affinage.inspection.findings import NAMED, Finding, example
from affinage.inspection.material import Material

if TYPE_CHECKING:
    from affinage.data.records import Record

_FEW = 0.01  # share of the rows that spoils nothing yet

# The bytes 0x80 to 0xBF, which continue a character in UTF-8, as Windows-1252 shows them (Latin-1 where it has none).
_UNASSIGNED = (0x81, 0x8D, 0x8F, 0x90, 0x9D)
_SHOWN = "".join(chr(n) if n in _UNASSIGNED else bytes([n]).decode("cp1252") for n in range(0x80, 0xC0))
_NEXT = f"[{re.escape(_SHOWN)}]"
_CLOSING = "\u00a0»›’”–—…"  # what may follow the last letter of a word
_INNER = f"[{re.escape(''.join(char for char in _SHOWN if char not in _CLOSING))}]"
# Only what no language writes: French has é before a no-break space and », Portuguese capitals Ã before ».
MOJIBAKE = re.compile(
    "|".join(
        (
            f"â€{_NEXT}?",  # quotation marks, dashes, the ellipsis
            f"â[„‚]{_NEXT}",  # the trade mark, the euro
            f"Ã{_INNER}",  # Latin letters with marks
            f"(?<![A-ZÀ-Ý])Ã{_NEXT}",
            "(?<![A-ZÀ-Ý])Â[\u00a0-\u00b6\u00b8-\u00bf]",  # the no-break space, signs
            "ï»¿",  # the byte-order mark
            f"ðŸ{_NEXT}",  # emoji
            f"(?:[ÐÑ]{_NEXT}){{3,}}",  # Cyrillic
        )
    )
)
# Control tokens of the well-known chat formats: data that hold them were rendered by a template before.
_FORMATS = (
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
    "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "<<SYS>>", "<|user|>",
    "<|assistant|>", "<|end|>",
)  # fmt: skip


def mojibake(material: Material) -> Iterator[Finding]:
    """UTF-8 that was once read as Windows-1252 or Latin-1, such as `â€œ` for an opening quotation mark."""
    found = _searched(material, MOJIBAKE)
    if found:
        message = f"rows with broken characters such as {found[0][1]!r} (UTF-8 read as Windows-1252): {len(found):,}"
        message += material.sampled
        fix = "repair the text at its source, or with the ftfy library; the model learns to write it otherwise"
        yield _finding(material, "mojibake", message, found, fix)


def replaced(material: Material) -> Iterator[Finding]:
    """U+FFFD stands where a character was lost."""
    found = _searched(material, re.compile("\ufffd+"))
    if found:
        message = f"rows with the replacement character U+FFFD, where characters were lost in decoding: {len(found):,}"
        message += material.sampled
        fix = "read the source again in its right encoding"
        yield _finding(material, "replacement-character", message, found, fix)


def control_tokens(material: Material) -> Iterator[Finding]:
    """Control tokens written out in people's text: they are learned as ordinary characters, never as control tokens."""
    tokens = {*_FORMATS, *_own(material)}
    longest_first = sorted(tokens, key=len, reverse=True)
    found = _searched(material, re.compile("|".join(map(re.escape, longest_first))))
    if found:
        names = ", ".join(sorted({text for _, text in found})[:NAMED])
        message = f"rows with control tokens in the text, taken as plain characters ({names}): {len(found):,}"
        message += material.sampled
        fix = "if a chat template or a tokenizer wrote them, give roles and contents as they were before it"
        yield _finding(material, "control-token", message, found, fix)


def _own(material: Material) -> set[str]:
    """The control tokens of the model's own tokenizer and template."""
    if material.renderer is None:
        return set()
    tokenizer = material.renderer.tokenizer
    template = str(tokenizer.chat_template or "")
    added = tokenizer.added_tokens_decoder.values()
    return {str(token) for token in added if str(token).strip() and (token.special or str(token) in template)}


def _searched(material: Material, pattern: re.Pattern[str]) -> list[tuple[Record, str]]:
    """The records in which `pattern` is found, with what it first found."""
    pairs = zip(material.sample, map(pattern.search, material.texts), strict=True)
    return [(record, found[0]) for record, found in pairs if found is not None]


def _finding(material: Material, code: str, message: str, found: list[tuple[Record, str]], fix: str) -> Finding:
    places = tuple(example(record.source, found=text) for record, text in found[:NAMED])
    severity: Severity = "warning" if len(found) > _FEW * len(material.sample) else "note"
    return Finding(code, severity, message, len(found), places, fix)
