"""What identifies a renderer: everything in it that can change the rows it makes, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from affinage.data.records import digest
from affinage.data.rendering.encoding import Encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

RENDERING_VERSION = 2
"""Raised whenever the same settings would give other rows than before, so that nothing stale is used again."""


def settings_parts(
    tokenizer: PreTrainedTokenizerBase, encoder: Encoder, template: str, settings: Mapping[str, Any]
) -> dict[str, str]:
    """Each part as a short text: a small setting as JSON, a large one as its digest.

    Args:
        tokenizer: gives the names of its special tokens.
        encoder: gives the tokenizer's serialised backend and the control tokens.
        template: source of the chat template.
        settings: the renderer's own.
    """
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return {
        "version": str(RENDERING_VERSION),
        "tokenizer": encoder.backend_digest,
        "special": digest({"special": special, "control": encoder.control}),
        "template": digest(template),
        **{name: json.dumps(value) for name, value in settings.items()},
    }
