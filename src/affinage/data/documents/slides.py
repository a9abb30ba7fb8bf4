"""Presentations: a slide is a page, its title a heading; tables, charts, groups and speaker notes are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from affinage.data.documents.archive import checked_archive
from affinage.data.documents.document import Draft
from affinage.data.documents.grids import add_table
from affinage.data.documents.limits import Limits

# What stands on every slide: dates, footers and slide numbers (names of the library's placeholder types).
_FURNITURE = ("DATE", "FOOTER", "SLIDE_NUMBER", "HEADER")


def read_slides(path: Path, draft: Draft, limits: Limits) -> None:
    """A .pptx file. Pictures and what stands on every slide are left out and counted."""
    import pptx

    with checked_archive(path, limits):
        pass
    deck = pptx.Presentation(str(path))
    draft.title = deck.core_properties.title or ""
    draft.pages = len(deck.slides)
    for number, slide in enumerate(deck.slides, start=1):
        _add_slide(draft, slide, number)


def _add_slide(draft: Draft, slide: Any, number: int) -> None:
    draft.top()
    before = draft.size
    title = slide.shapes.title
    if title is not None and title.has_text_frame:
        draft.title = draft.title or title.text_frame.text.strip()
        draft.heading(1, title.text_frame.text.replace("\v", " "), number)
    for shape in _ordered(slide.shapes):
        if title is None or shape.shape_id != title.shape_id:
            _add_shape(draft, shape, number)
    if slide.has_notes_slide:
        frame = slide.notes_slide.notes_text_frame
        if frame is not None and frame.text.strip():
            draft.add("text", f"Notes: {frame.text}", number)
    if draft.size == before:
        draft.empty_pages.append(number)


def _ordered(shapes: Any) -> Iterator[Any]:
    """Shapes from the top down and from the left, those of a group together in the group's place."""
    for shape in sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0)):
        if hasattr(shape, "shapes"):
            yield from _ordered(shape.shapes)
        else:
            yield shape


def _add_shape(draft: Draft, shape: Any, number: int) -> None:
    kind = shape.placeholder_format.type if shape.is_placeholder else None
    if kind is not None and kind.name in _FURNITURE:
        draft.removed["slide footers"] += bool(shape.has_text_frame and shape.text_frame.text.strip())
        return
    if getattr(shape, "has_table", False):
        add_table(draft, [[cell.text for cell in row.cells] for row in shape.table.rows], number)
    elif getattr(shape, "has_chart", False):
        _add_chart(draft, shape.chart, number)
    elif str(shape.element.tag).endswith("}pic"):
        draft.removed["pictures"] += 1
    elif shape.has_text_frame:
        _add_frame(draft, shape.text_frame, number)
    elif str(shape.element.tag).endswith("}graphicFrame"):
        draft.removed["diagrams and embedded objects"] += 1


def _add_frame(draft: Draft, frame: Any, number: int) -> None:
    """Several paragraphs of a frame are its points: a list, indented by their level."""
    said = [(paragraph.level, " ".join(paragraph.text.split())) for paragraph in frame.paragraphs]
    said = [(level, text) for level, text in said if text]
    if len(said) > 1:
        draft.add("list", "\n".join(f"{'  ' * level}- {text}" for level, text in said), number)
    elif said:
        draft.add("text", said[0][1], number)


def _add_chart(draft: Draft, chart: Any, number: int) -> None:
    """Categories and series as a table."""
    if chart.has_title and chart.chart_title.has_text_frame:
        draft.add("text", chart.chart_title.text_frame.text, number)
    for plot in chart.plots:
        series = list(plot.series)
        names = ["", *(one.name or "" for one in series)]
        values = [list(one.values) for one in series]
        rows = [
            [
                str(category),
                *(f"{column[n]:g}" if n < len(column) and column[n] is not None else "" for column in values),
            ]
            for n, category in enumerate(plot.categories)
        ]
        add_table(draft, [names, *rows], number)
