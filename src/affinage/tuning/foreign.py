"""How far a person's data are from what the base knows: the base is loaded, and nothing else happens to it."""

from __future__ import annotations

import random

from affinage.data.wording import whole_text
from affinage.device import machine
from affinage.inspection.distance import Distance, measure
from affinage.inspection.material import Material
from affinage.models.adapted import AdaptedModel
from affinage.models.loading import load_network, open_base

SMALL = 300_000_000  # weights, up to which a CPU answers within a minute or so
_ROWS = 2_000  # that are drawn from


def distance(material: Material, *, asked: bool = False) -> Distance | None:
    """The distance of the surveyed rows from the recipe's model.

    None where nothing could be rendered, the model cannot foresee a next token, the rows say too little, or (unless
    `asked`) the model is too large to answer quickly.
    """
    if material.renderer is None or not material.records:
        return None
    recipe = material.recipe
    base = open_base(recipe.model, trust_remote_code=recipe.trust_remote_code)
    here = machine(recipe.device, recipe.dtype, recipe.threads)
    size = sum(tensor.numel() for tensor in base.skeleton().parameters())
    if not base.causal or (size > SMALL and here.device == "cpu" and not asked):
        return None
    network = load_network(base, here)
    model = AdaptedModel(network, causal=True, dtype=here.torch_dtype).requires_grad_(False)
    rows = random.Random(recipe.seed).sample(material.records, min(_ROWS, len(material.records)))
    return measure(model, material.renderer, [(row.source, whole_text(row)) for row in rows], recipe.seed)
