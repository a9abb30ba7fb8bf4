"""A quick look at a model that nothing has been done to."""

from __future__ import annotations

from collections.abc import Sequence

from affinage.data.records import Record
from affinage.data.rendering.renderer import Renderer
from affinage.device import machine
from affinage.evaluation.language import score_language
from affinage.models.adapted import AdaptedModel
from affinage.models.loading import load_network, open_base


def bits_per_byte(model: str, records: Sequence[Record]) -> float:
    """How well a causal model foresees these records' learned text."""
    base, here = open_base(model), machine()
    renderer = Renderer(
        base.tokenizer, system_prompt=None, learn_from="completions", context=base.context, too_long="error"
    )
    rows, _ = renderer.rows(records)
    network = AdaptedModel(load_network(base, here), causal=base.causal, dtype=here.torch_dtype)
    found = score_language(network, rows, budget=8192, pad_id=renderer.pad_id).bits_per_byte
    return found.value if found else float("nan")
