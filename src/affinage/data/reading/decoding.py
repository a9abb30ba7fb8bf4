"""Text out of bytes: the encoding found, lines split, what is not Unicode told with its place."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from affinage.data.reading.legacy import guess
from affinage.data.reading.opening import CHUNK, MIB, opened, packing_of
from affinage.errors import InputError

# Longer than any text that a model reads; a file without line ends must not be taken into memory as one row.
LONGEST_LINE = 256 * MIB
UTF8 = "utf-8-sig"
_SAMPLE = 65_536
_HEAD = 4096  # bytes that tell the encoding


def encoding_of(stream: io.BufferedReader) -> str:
    """The encoding of what comes next in `stream`, as `encoding_in`."""
    return encoding_in(stream.peek(_HEAD))


def encoding_in(raw: bytes) -> str:
    """UTF-8, unless a byte-order mark or the places of zero bytes (UTF-16 and UTF-32 without a mark) say otherwise."""
    head = raw[:_HEAD]
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if len(head) < 4 or 0 not in head:
        return UTF8
    zeros = [_share_of_zeros(head[place::4]) for place in range(4)]
    even, odd = _share_of_zeros(head[::2]), _share_of_zeros(head[1::2])
    for name, inside, outside in (
        ("utf-32-le", min(zeros[1:]), zeros[0]),
        ("utf-32-be", min(zeros[:3]), zeros[3]),
        ("utf-16-le", odd, even),
        ("utf-16-be", even, odd),
    ):
        if inside > 0.4 and outside < 0.05:
            return name
    return UTF8


def _share_of_zeros(raw: bytes) -> float:
    return raw.count(0) / len(raw)


@contextmanager
def decoded(uri: str) -> Iterator[io.TextIOWrapper]:
    """The text of a file, line ends kept, a byte-order mark taken off.

    Raises:
        InputError: as `opened`, or the bytes are not text in the encoding; the line is named.
    """
    with opened(uri) as stream:
        encoding = encoding_of(stream)
        try:
            yield io.TextIOWrapper(stream, encoding=encoding, newline="")
        except UnicodeError:
            raise not_decodable(uri, encoding) from None


def text_lines(stream: io.TextIOWrapper, uri: str) -> Iterator[str]:
    """The lines of a text with their ends.

    Raises:
        InputError: one is longer than `LONGEST_LINE`.
    """
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if len(line) >= LONGEST_LINE:
            raise InputError(f"{uri}:{number}: {TOO_LONG}", fix="check that the file is a table of text")
        yield line


TOO_LONG = f"a line longer than {LONGEST_LINE // MIB} MiB"


def byte_lines(stream: io.BufferedReader, uri: str) -> Iterator[bytes | None]:
    """Lines in UTF-8 without their line feed and without a byte-order mark; None for one over `LONGEST_LINE`.

    Raises:
        InputError: the bytes are not text in the UTF-16 or UTF-32 that the file begins with.
    """
    encoding = encoding_of(stream)
    chunks: Iterator[bytes] = iter(lambda: stream.read(CHUNK), b"")
    if encoding == UTF8:
        return split_lines(_without_mark(chunks))
    return split_lines(_recoded(chunks, encoding, uri))


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """`chunks` cut at line feeds; None for a line over `LONGEST_LINE`, of which no more than that is held."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        lines = chunk.split(b"\n")
        size += len(lines[0])
        if size <= LONGEST_LINE:
            held.append(lines[0])
        else:
            held.clear()
        if len(lines) == 1:
            continue
        yield b"".join(held) if size <= LONGEST_LINE else None
        last = lines.pop()
        yield from lines[1:]
        held, size = [last], len(last)
    if size:
        yield b"".join(held) if size <= LONGEST_LINE else None


def _without_mark(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk.removeprefix(codecs.BOM_UTF8)
        break
    yield from chunks


def _recoded(chunks: Iterator[bytes], encoding: str, uri: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8")
        yield decoder.decode(b"", final=True).encode("utf-8")
    except UnicodeError:
        raise not_decodable(uri, encoding) from None


def not_decodable(uri: str, encoding: str = UTF8) -> InputError:
    """Where the first byte stands that is not text in `encoding`, and what the file may be instead."""
    if encoding != UTF8:
        return InputError(f"{uri}: not valid {encoding.upper()}", fix="save the file as UTF-8")
    line, column = 1, 1
    decoder = codecs.getincrementaldecoder("utf-8")()
    with opened(uri) as stream:
        while True:
            chunk = stream.read(CHUNK)
            pending = decoder.getstate()[0]
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                before = error.object[: error.start]
                line += before.count(b"\n")
                last = before.rfind(b"\n")
                column = column - len(pending) + error.start if last < 0 else error.start - last
                sample = error.object[max(error.start - 64, 0) : error.start + _SAMPLE] + stream.read(_SAMPLE)
                return _wrong_byte(uri, line, column, error.object[error.start], sample)
            if not chunk:
                return InputError(f"{uri}: not UTF-8", fix="save the file as UTF-8")
            line += chunk.count(b"\n")
            last = chunk.rfind(b"\n")
            column = column + len(chunk) if last < 0 else len(chunk) - last


def _wrong_byte(uri: str, line: int, column: int, byte: int, sample: bytes) -> InputError:
    name = guess(sample)
    plain = Path(uri).with_suffix("").name if packing_of(uri) else Path(uri).name
    return InputError(
        f"{uri}:{line}: column {column}, not UTF-8 (byte 0x{byte:02x}); probably {name}",
        fix=f"save it as UTF-8: iconv -f {name} -t UTF-8 '{plain}' > utf8-copy, and look whether accents are right",
    )
