"""The first characters of every text of a file of JSON lines: `cut.py IN.jsonl[.gz] OUT.jsonl CHARACTERS`."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path


def cut(source: Path, target: Path, characters: int) -> int:
    """Write `target`; how many texts there are. A text ends after its last whole line that fits."""
    raw = gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
    rows = [json.loads(line) for line in raw.splitlines() if line.strip()]
    lines = [json.dumps({**row, "text": _beginning(row["text"], characters)}, ensure_ascii=False) for row in rows]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return len(lines)


def _beginning(text: str, characters: int) -> str:
    if len(text) <= characters:
        return text
    border = text.rfind("\n", 0, characters)
    return text[: border if border > 0 else characters]


if __name__ == "__main__":
    cut(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
