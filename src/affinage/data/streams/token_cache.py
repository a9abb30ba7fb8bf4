"""Rendered rows kept on disk, under a key of all that can change them; a hit or a miss is told with its reason.

The key covers the records' contents and which turns they mark as learned, and every part of the renderer's settings:
tokenizer, chat template, system prompt, context and the code's own version. So nothing stale is ever used again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from affinage.data.batches import Row
from affinage.data.ledger import Drop
from affinage.data.records import Chat, Label, Record, Source, digest
from affinage.data.streams.packs import Pack, make_pack, unpack
from affinage.files import write_bytes
from affinage.store.arrays import ArrayCache, cache_folder, cache_key
from affinage.store.room import room

if TYPE_CHECKING:
    from affinage.data.rendering.renderer import Renderer

_REMEMBERED = 200  # renderings whose settings are kept, to tell what changed since


@dataclass(frozen=True, slots=True)
class Rendered:
    """Rows, the records that gave none, and where the rows came from (`said`, for people)."""

    rows: Sequence[Row]
    drops: list[Drop]
    said: str


class TokenCache:
    """Packs by key, in the user's cache folder; the oldest fall out beyond a quarter of the free disk."""

    def __init__(self, folder: Path | None = None) -> None:
        place = folder or cache_folder() / "tokens"
        self.arrays = ArrayCache(place, limit=room(place))
        self._index = place / "settings.json"

    def rows(
        self, renderer: Renderer, records: Sequence[Record], targets: Mapping[Label, Any] | None = None
    ) -> Rendered:
        """The rows of `records`, from the cache or rendered now.

        Raises:
            InputError: as `Renderer.rows`; nothing is kept then.
        """
        data = data_digest(records, targets)
        key = cache_key(data, renderer.settings_digest)
        found = self.get(key)
        if found is None:
            said = f"rendered now: {self._reason(data, renderer.settings_parts)}"
            rows, drops = renderer.rows(records, targets)
            pack = make_pack(rows, [record.id for record in records], [_told(drop) for drop in drops])
            self.put(key, pack)
            self._remember(data, renderer.settings_parts)
            return Rendered(rows, drops, said)
        drops = [Drop(reason, Source(uri, place), detail, record) for reason, uri, place, detail, record in found.extra]
        return Rendered(found, drops, "from the cache")

    def get(self, key: str) -> Pack | None:
        """The pack under `key`, mapped into memory, or None."""
        raw = self.arrays.get(key)
        return None if raw is None else unpack(raw)

    def put(self, key: str, pack: Pack) -> None:
        """Keep `pack` under `key`; a cache that cannot be written is no failure."""
        self.arrays.put(key, pack.to_bytes())

    def _known(self) -> list[dict[str, Any]]:
        with contextlib.suppress(OSError, ValueError):
            known = orjson.loads(self._index.read_bytes())
            if isinstance(known, list):
                return [entry for entry in known if isinstance(entry, dict)]
        return []

    def _reason(self, data: str, parts: Mapping[str, str]) -> str:
        """Why there is nothing under the key: what changed since these records were last rendered."""
        before = next((entry for entry in reversed(self._known()) if entry.get("data") == data), None)
        if before is None:
            return "these rows were not seen before"
        old = before.get("parts") or {}
        changed = [name for name, value in parts.items() if old.get(name) != value]
        if "tokenizer" in changed:  # the other parts follow from it
            changed = ["tokenizer"]
        return f"another {', '.join(changed)} than last time" if changed else "what was kept has been dropped since"

    def _remember(self, data: str, parts: Mapping[str, str]) -> None:
        known = [entry for entry in self._known() if entry.get("data") != data]
        with contextlib.suppress(Exception):  # only the reason of a later miss is lost
            write_bytes(self._index, orjson.dumps([*known, {"data": data, "parts": dict(parts)}][-_REMEMBERED:]))


def data_digest(records: Sequence[Record], targets: Mapping[Label, Any] | None = None) -> str:
    """Everything in the records that rendering looks at."""
    told = [record.id for record in records]
    chats = (record for record in records if isinstance(record, Chat))
    marks = [
        [turn.learn for turn in chat.messages] for chat in chats if any(t.learn is not None for t in chat.messages)
    ]
    return digest([told, marks, {str(label): str(value) for label, value in (targets or {}).items()}])


def _told(drop: Drop) -> list[str]:
    return [drop.reason, drop.source.uri, drop.source.locator, drop.detail, drop.record_id]
