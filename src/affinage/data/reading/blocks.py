"""Plain JSON lines files cut into byte ranges that are read alone, in any order."""

from __future__ import annotations

import codecs
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from affinage.data.ledger import Drop
from affinage.data.reading.decoding import LONGEST_LINE, UTF8, encoding_of
from affinage.data.reading.json_rows import parse_line
from affinage.data.reading.opening import CHUNK, MIB, opened, packing_of
from affinage.data.reading.sources import RawRow
from affinage.data.records import Source
from affinage.errors import InputError

SIZE = 4 * MIB
_NEAR = 8192  # bytes in which the next line is looked for first
# The front of a line that may be blank; the last byte begins a byte-order mark.
_BLANK = re.compile(rb"\n[\s\xef]")


@dataclass(frozen=True, slots=True)
class Block:
    """The lines of `uri` that begin in the bytes [start, end); the last may reach beyond."""

    uri: str
    start: int
    end: int


def is_lines(uri: str) -> bool:
    """Whether a file can be read in blocks: not packed, UTF-8, and no JSON list.

    Raises:
        InputError: it cannot be read.
    """
    if packing_of(uri):
        return False
    with opened(uri) as stream:
        encoding = encoding_of(stream)
        return encoding == UTF8 and not stream.read(CHUNK).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def blocks(uri: str, size: int = SIZE) -> list[Block]:
    """The whole of `uri` in blocks of `size` bytes. Nothing is looked for yet: where lines end is found on reading.

    Raises:
        InputError: the file cannot be read, or not in blocks.
    """
    if not is_lines(uri):
        raise InputError(
            f"{uri}: cannot be read from the middle: it is packed, a JSON list, or not UTF-8",
            fix="write it as plain JSON lines in UTF-8, one object a line",
        )
    total, size = os.path.getsize(uri), max(1, min(size, LONGEST_LINE))
    return [Block(uri, start, min(start + size, total)) for start in range(0, total, size)]


def read_block(block: Block) -> Iterator[RawRow | Drop]:
    """The rows of a block as `read_json_lines` gives them; what they are called after is the byte they begin at.

    Raises:
        InputError: the file cannot be read.
    """
    for offset, line in _lines(block):
        if line is None or (line and not line.isspace()):
            yield parse_line(line, Source(block.uri, f"byte {offset}"))


def read_line(uri: str, offset: int) -> tuple[RawRow | Drop, int]:
    """The first row that begins behind byte `offset` (after the last one: the first of the file), and its bytes.

    Raises:
        InputError: the file cannot be read, or holds no row.
    """
    total = os.path.getsize(uri)
    for first, last in ((min(offset + 1, total), total), (0, total)):
        start, step = first, _NEAR
        while start < last:
            for place, line in _lines(Block(uri, start, min(start + step, last))):
                if line is None or (line and not line.isspace()):
                    size = LONGEST_LINE if line is None else len(line) + 1
                    return parse_line(line, Source(uri, f"byte {place}")), size
            start, step = start + step, min(2 * step, CHUNK)
    raise InputError(f"{uri}: no rows", fix="check that the file was written completely")


def line_count(uri: str, start: int, end: int) -> int:
    """How many lines begin in the bytes [start, end), blank ones not counted.

    Raises:
        InputError: the file cannot be read.
    """
    total = 0
    with opened(uri) as stream:
        for first in range(start, end, CHUNK):
            last = min(first + CHUNK, end)
            stream.seek(max(first - 1, 0))
            # With the byte before: a line begins where that is a line feed, and at the front of the file.
            raw = (b"" if first else b"\n") + stream.read(last - max(first - 1, 0))
            if _BLANK.search(raw):
                total += sum(line is None or bool(line.strip()) for _, line in _lines(Block(uri, first, last)))
            else:
                total += raw.count(b"\n", 0, last - first)
    return total


def line_of(uri: str, offset: int) -> int:
    """The number (from 1) of the line in which byte `offset` stands, blank lines counted.

    Raises:
        InputError: the file cannot be read.
    """
    count = 1
    with opened(uri) as stream:
        while offset > 0 and (chunk := stream.read(min(CHUNK, offset))):
            count += chunk.count(b"\n")
            offset -= len(chunk)
    return count


def _lines(block: Block) -> Iterator[tuple[int, bytes | None]]:
    """Each line that begins in the block with its offset; None for one over `LONGEST_LINE`."""
    with opened(block.uri) as stream:
        stream.seek(max(block.start - 1, 0))
        raw = stream.read(block.end - stream.tell())
        skipped = raw.find(b"\n") + 1 if block.start else 0
        if block.start and not skipped:  # the whole block is the inside of a line
            return
        offset = max(block.start - 1, 0) + skipped
        *whole, last = raw[skipped:].split(b"\n")
        del raw
        for line in whole:
            yield offset, line if offset else line.removeprefix(codecs.BOM_UTF8)
            offset += len(line) + 1
        if offset < block.end:
            rest = _completed(stream, last)
            yield offset, rest if offset or rest is None else rest.removeprefix(codecs.BOM_UTF8)


def _completed(stream: io.BufferedReader, head: bytes) -> bytes | None:
    """A line that goes on behind the end of its block."""
    parts, size = [head], len(head)
    while chunk := stream.read(65_536):
        line, found, _ = chunk.partition(b"\n")
        parts.append(line)
        size += len(line)
        if size > LONGEST_LINE:
            return None
        if found:
            break
    return b"".join(parts)
