"""Rows of a data set on the Hugging Face hub, through `datasets`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from affinage.data.reading.sources import RawRow
from affinage.data.records import Source
from affinage.errors import InputError

_NAME = re.compile(r"hub:(?P<name>[^:@\s]+)(?::(?P<config>[^@\s]+))?(?:@(?P<split>\S+))?")
_MEDIA = ("Image", "Audio", "Video", "Pdf", "Nifti")


def read_hub(uri: str) -> Iterator[RawRow]:
    """Rows of `hub:owner/name[:config][@split]` (split: train unless named); class numbers become class names.

    Raises:
        InputError: the name is malformed, `datasets` is not installed, the hub does not answer, the data set, its
            configuration or split does not exist, or a column holds images or sound.
    """
    match = _NAME.fullmatch(uri)
    if not match:
        raise InputError(f"{uri}: not a hub name", fix="write hub:owner/name, hub:owner/name:config or ...@split")
    rows = _load(uri, match["name"], match["config"], match["split"] or "train")
    media = [name for name, feature in rows.features.items() if type(feature).__name__ in _MEDIA]
    if media:
        raise InputError(
            f"{uri}: images, sound and video are not learned from: text only (column {', '.join(media)})",
            fix="choose a data set of texts",
        )
    for number, values in enumerate(rows, start=1):
        named = {name: _class_names(values[name], feature) for name, feature in rows.features.items()}
        yield RawRow(named, Source(uri, f"row {number}"))


def _class_names(value: Any, feature: Any) -> Any:
    """Names in the place of class numbers, also in lists of them; -1 stands for a hidden label and stays."""
    if type(feature).__name__ == "ClassLabel":
        return feature.int2str(value) if isinstance(value, int) and value >= 0 else value
    if isinstance(value, list) and hasattr(feature, "feature"):
        return [_class_names(item, feature.feature) for item in value]
    return value


def _load(uri: str, name: str, config: str | None, split: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise InputError(f"{uri}: hub data need the package `datasets`", fix="pip install 'affinage[hub]'") from None
    try:
        return datasets.load_dataset(name, config, split=split)
    except Exception as error:  # the library raises a dozen unrelated types for a wrong name or a dead network
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(
            f"{uri}: cannot load from the hub: {reason}",
            fix="check the name, configuration and split, the network, and HF_HUB_OFFLINE; or name a local file",
        ) from None
