"""Tables as text.

A short table is written as Markdown, which models know and which takes few tokens. A long one is written a row a line
with the column's name before each value: a passage cut out of its middle still says what its numbers mean.
"""

from __future__ import annotations

from collections.abc import Sequence

from affinage.data.documents.document import Draft

LONG = 30  # rows

Grid = list[list[str]]


def tidied(rows: Sequence[Sequence[str]]) -> Grid:
    """The same number of cells in each row, line breaks in cells made spaces, empty rows and columns left out."""
    grid = [[" ".join(cell.split()) for cell in row] for row in rows]
    grid = [row for row in grid if any(row)]
    width = max(map(len, grid), default=0)
    filled = [n for n in range(width) if any(n < len(row) and row[n] for row in grid)]
    return [[row[n] if n < len(row) else "" for n in filled] for row in grid]


def add_table(draft: Draft, rows: Sequence[Sequence[str]], page: int | None = None) -> None:
    """The table as a block; one of a single column is put in as plain lines."""
    grid = tidied(rows)
    if not grid:
        return
    if len(grid[0]) == 1:
        draft.add("text", "\n".join(row[0] for row in grid), page)
    else:
        draft.add("table", as_markdown(grid) if len(grid) <= LONG else as_lines(grid[0], grid[1:]), page)


def as_markdown(grid: Grid) -> str:
    """A Markdown table with the first row as its header."""
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in grid]
    return "\n".join([lines[0], "| " + " | ".join("---" for _ in grid[0]) + " |", *lines[1:]])


def as_lines(header: Sequence[str], rows: Grid) -> str:
    """`Name: value; Name: value`, a row a line; empty cells are left out."""
    lines = []
    for row in rows:
        named = zip(header, row, strict=True)
        lines.append("; ".join(f"{name}: {cell}" if name else cell for name, cell in named if cell))
    return "\n".join(filter(None, lines))
