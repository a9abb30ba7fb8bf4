"""Jupyter notebooks: text and code of the cells; outputs are left out and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from affinage.data.documents.document import DocumentError, Draft
from affinage.data.documents.limits import Limits
from affinage.data.documents.markdown import add_markdown


def read_notebook(path: Path, draft: Draft, limits: Limits) -> None:
    """The cells in order, code in fences.

    Raises:
        DocumentError: not a notebook.
    """
    try:
        book = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise DocumentError(f"{path}:{error.lineno}: not valid JSON: {error.msg}", fix="save it again") from None
    cells = book.get("cells") if isinstance(book, dict) else None
    if not isinstance(cells, list):
        raise DocumentError(f"{path}: no cells in it", fix="save it as a notebook of format 4")
    language = _language(book)
    for cell in cells:
        if not isinstance(cell, dict):
            continue
        said = _source(cell)
        if cell.get("cell_type") == "markdown":
            add_markdown(draft, said)
        elif said.strip():
            draft.add("code", f"```{language if cell.get('cell_type') == 'code' else ''}\n{said.strip(chr(10))}\n```")
        outputs = cell.get("outputs")
        draft.removed["outputs of cells"] += len(outputs) if isinstance(outputs, list) else 0


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _language(book: dict[str, Any]) -> str:
    kernel: Any = book.get("metadata")
    for name in ("kernelspec", "language"):
        kernel = kernel.get(name) if isinstance(kernel, dict) else None
    return kernel if isinstance(kernel, str) and kernel.isalnum() else ""
