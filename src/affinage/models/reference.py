"""What a model thought of completions before it was tuned: computed once, kept on disk, never by a second model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

from affinage.data.batches import Row
from affinage.data.groups import Group
from affinage.models.adapted import AdaptedModel
from affinage.models.completions import Floats, completion_values
from affinage.models.encodings import fingerprint
from affinage.store.arrays import ArrayCache, RowShelf, cache_key

CODE_VERSION = 1  # raise it when the same model and row would give another log-probability
_SEGMENT = 1024  # groups between two writes to the cache: what an interrupted run keeps


class Reference(NamedTuple):
    """Log-probabilities of each group's completions (K,), in nats; completions computed now and found in the cache;
    cache files that were broken, which were computed again."""

    values: list[Floats]
    computed: int
    reused: int
    broken: int


@contextmanager
def adapters_off(model: AdaptedModel) -> Iterator[None]:
    """Inside, the model is what it was before an adapter was attached to it."""
    network = model.network
    if not hasattr(network, "peft_config"):
        yield
        return
    trains = {name for name, tensor in model.named_parameters() if tensor.requires_grad}
    with network.disable_adapter():
        yield
    for name, tensor in model.named_parameters():  # the library may let more of an adapter train than was marked
        tensor.requires_grad_(name in trains)


def reference_logprobs(
    model: AdaptedModel,
    groups: Sequence[Group],
    *,
    budget: int,
    pad_id: int,
    cache: ArrayCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Reference:
    """The log-probability of each completion under the model without its adapters.

    Where weights of the network itself train, this must be asked before they do.

    Args:
        cache: rows found there are not computed again; new ones are put there.
    """
    shelf, broken = None, 0
    values: dict[str, float] = {}
    ids = [[_row_id(row) for row in group.rows] for group in groups]
    if cache is not None:
        before = cache.counts.broken
        shelf = cache.rows(_space(model))
        found = shelf.find(list(dict.fromkeys(key for keys in ids for key in keys)))
        values = {key: float(value[0]) for key, value in found.items() if np.isfinite(value).all()}
        broken = cache.counts.broken - before
    missing = [number for number, keys in enumerate(ids) if not all(key in values for key in keys)]
    # The order of the passes is that of `completion_values`, a segment at a time, the same in every run.
    for start in range(0, len(missing), _SEGMENT):
        part = missing[start : start + _SEGMENT]
        with adapters_off(model):
            fresh = completion_values(
                model, [groups[number] for number in part], model.row_logprobs, budget=budget, pad_id=pad_id,
                progress=_from(start, len(missing), progress),
            )  # fmt: skip
        _keep(shelf, [ids[number] for number in part], fresh, values)
    computed = sum(len(ids[number]) for number in missing)
    all_of = sum(map(len, ids))
    return Reference([np.array([values[key] for key in keys]) for keys in ids], computed, all_of - computed, broken)


def _from(start: int, total: int, progress: Callable[[int, int], None] | None) -> Callable[[int, int], None]:
    """Tells how far all segments are, from how far one of them is."""

    def heard(done: int, _: int) -> None:
        if progress:
            progress(start + done, total)

    return heard


def _keep(
    shelf: RowShelf | None, ids: Sequence[Sequence[str]], fresh: Sequence[Floats], values: dict[str, float]
) -> None:
    new = {
        key: float(value) for keys, some in zip(ids, fresh, strict=True) for key, value in zip(keys, some, strict=True)
    }
    values.update(new)
    if shelf is not None:
        shelf.put(list(new), np.array(list(new.values()), np.float64)[:, None])


def _row_id(row: Row) -> str:
    """What of a row its log-probability depends on: its tokens, and how much each is learned from."""
    state = hashlib.blake2b(row.tokens_T.astype("<i4").tobytes(), digest_size=16)
    state.update(row.weights_T.astype("<f4").tobytes())
    return state.hexdigest()


def _space(model: AdaptedModel) -> str:
    """Everything besides the row that can change it."""
    import transformers

    number_type = [str(next(model.network.parameters()).dtype), str(model.dtype)]
    versions = [CODE_VERSION, torch.__version__, transformers.__version__]
    return cache_key("reference", fingerprint(model), number_type, model.device.type, versions)
