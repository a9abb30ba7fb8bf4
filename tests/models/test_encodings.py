"""Each distinct text goes through the frozen model once; order, cache and faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from affinage.data.batches import Row, collate
from affinage.errors import InputError, RunError
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import EncodedBatches, Encodings, encode_rows, fingerprint
from affinage.models.heads import pool
from affinage.store.arrays import ArrayCache
from tests.models.networks import VOCABULARY, bert, llama


def rows(lengths: list[int], seed: int = 0) -> list[Row]:
    rng = np.random.default_rng(seed)
    return [
        Row(rng.integers(3, VOCABULARY, n).astype(np.int32), np.zeros(n, np.float32), target=float(n % 3))
        for n in lengths
    ]


def model(kind: str = "llama", seed: int = 0) -> AdaptedModel:
    return AdaptedModel(llama(seed), causal=True) if kind == "llama" else AdaptedModel(bert(seed), causal=False)


def encode(network: AdaptedModel, texts: list[Row], cache: ArrayCache | None = None, **changes: object) -> Encodings:
    settings = {"pooling": "mean", "layer": None, "budget": 40, "pad_id": 0, **changes}
    return encode_rows(network, texts, cache=cache, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["llama", "bert"])
@pytest.mark.parametrize("pooling", ["mean", "last", "first", "max"])
@pytest.mark.parametrize("layer", [None, 0, 1])
def test_batched_equals_alone_in_the_rows_order(kind: str, pooling: str, layer: int | None) -> None:
    network, texts = model(kind), rows([5, 17, 2, 9, 9, 30, 1])
    found = encode(network, texts, pooling=pooling, layer=layer).vectors
    assert found.dtype == np.float32
    for vector, row in zip(found, texts, strict=True):
        batch = collate([row], 0)
        with torch.no_grad():
            alone = pool(network.hidden(batch, layer), batch.mask_BT, pooling)[0]
        np.testing.assert_allclose(vector, alone.numpy(), atol=2e-6)


def test_the_last_layer_has_three_names_and_wrong_ones_are_refused() -> None:
    network, texts = model(), rows([5, 7])
    last = encode(network, texts).vectors
    for layer in (-1, 2):
        np.testing.assert_array_equal(encode(network, texts, layer=layer).vectors, last)
    np.testing.assert_array_equal(encode(network, texts, layer=-3).vectors, encode(network, texts, layer=0).vectors)
    for layer in (3, -4):
        with pytest.raises(InputError, match="2 blocks"):
            encode(network, texts, layer=layer)


def test_a_text_that_comes_back_is_not_run_again() -> None:
    network, texts = model(), rows([5, 7, 9])
    found = encode(network, [*texts, *texts, texts[0]])
    assert (found.passes_done, found.passes_avoided) == (3, 4)
    np.testing.assert_array_equal(found.vectors[:3], found.vectors[3:6])


def test_the_cache_gives_the_same_vectors_and_counts_what_it_saved(tmp_path: Path) -> None:
    network, texts = model(), rows([5, 7, 9, 11])
    first = encode(network, texts[:3], ArrayCache(tmp_path))
    second = encode(network, texts, ArrayCache(tmp_path))
    assert (first.passes_done, first.passes_avoided) == (3, 0)
    assert (second.passes_done, second.passes_avoided) == (1, 3)
    np.testing.assert_array_equal(second.vectors[:3], first.vectors)
    np.testing.assert_allclose(second.vectors, encode(network, texts).vectors, atol=2e-6)


def test_whatever_changes_the_value_changes_the_place_in_the_cache(tmp_path: Path) -> None:
    network, texts = model(), rows([5, 7])
    encode(network, texts, ArrayCache(tmp_path))
    other = model()
    with torch.no_grad():
        other.network.model.layers[0].mlp.up_proj.weight[0, 0] += 1e-3
    wider = AdaptedModel(llama(rms_norm_eps=1e-3), causal=True)
    cases = [(other, {}), (wider, {}), (network, {"pooling": "max"}), (network, {"layer": 1})]
    for changed, settings in cases:
        assert encode(changed, texts, ArrayCache(tmp_path), **settings).passes_done == 2
    assert encode(model(), texts, ArrayCache(tmp_path)).passes_done == 0


def test_the_fingerprint_tells_an_adapters_scale() -> None:
    from peft import LoraConfig, get_peft_model

    marks = []
    for alpha in (8, 16):
        torch.manual_seed(1)
        config = LoraConfig(r=2, lora_alpha=alpha, target_modules=["q_proj"], init_lora_weights=False)
        marks.append(fingerprint(AdaptedModel(get_peft_model(llama(), config), causal=True)))
    assert marks[0] != marks[1]


def test_a_broken_cache_is_recomputed(tmp_path: Path) -> None:
    network, texts = model(), rows([5, 7])
    first = encode(network, texts, ArrayCache(tmp_path))
    for path in tmp_path.rglob("*.arr"):
        path.write_bytes(path.read_bytes()[:-3])
    cache = ArrayCache(tmp_path)
    again = encode(network, texts, cache)
    assert (again.passes_done, cache.counts.broken) == (2, 1)
    np.testing.assert_array_equal(again.vectors, first.vectors)


def test_encoding_leaves_the_model_as_it_was_and_carries_no_gradient() -> None:
    network = model("bert").train()
    reports: list[tuple[int, int]] = []
    found = encode(network, rows([5, 7, 30]), progress=lambda done, total: reports.append((done, total)))
    assert network.training
    assert reports[-1] == (3, 3)
    np.testing.assert_allclose(found.vectors, encode(network.eval(), rows([5, 7, 30])).vectors)  # no dropout
    assert all(tensor.grad is None for tensor in network.parameters())


def test_vectors_that_are_not_numbers_are_refused_and_not_kept(tmp_path: Path) -> None:
    network = model()
    with torch.no_grad():
        network.network.model.norm.weight[0] = torch.nan
    with pytest.raises(RunError, match="not numbers"):
        encode(network, rows([5]), ArrayCache(tmp_path))
    assert list(tmp_path.rglob("*.arr")) == []


def test_an_empty_text_is_refused_and_no_rows_are_no_vectors() -> None:
    with pytest.raises(InputError, match="no token"):
        encode(model(), rows([3, 0]))
    assert encode(model(), []).vectors.shape == (0, 64)


def batches(count: int = 23, epochs: float = 3, seed: int = 0) -> EncodedBatches:
    vectors = np.arange(count, dtype=np.float32)[:, None]
    return EncodedBatches(vectors, np.arange(count), batch_rows=5, epochs=epochs, seed=seed)


def test_every_row_comes_once_a_pass_with_its_own_target_in_even_batches() -> None:
    source = batches()
    assert len(source) == 15
    seen = [batch for (batch,) in source]
    assert len(seen) == 15
    for epoch in range(3):
        part = seen[5 * epoch : 5 * epoch + 5]
        assert sorted(int(t) for batch in part for t in batch.extras["targets"]) == list(range(23))
        assert {len(batch.extras["targets"]) for batch in part} == {4, 5}
    for batch in seen:
        assert torch.equal(batch.extras["encodings"][:, 0], batch.extras["targets"].float())
        assert (batch.tokens, batch.learned) == (0, 0)
        assert batch.to("cpu").extras["encodings"].shape == batch.extras["encodings"].shape
    assert not torch.equal(seen[0].extras["targets"], seen[5].extras["targets"])


@pytest.mark.parametrize("stop", [0, 1, 5, 7, 14])
def test_a_resumed_source_goes_on_at_the_same_row(stop: int) -> None:
    straight = [batch.extras["targets"].tolist() for (batch,) in batches()]
    first = batches()
    iterator = iter(first)
    head = [next(iterator)[0].extras["targets"].tolist() for _ in range(stop)]
    second = batches()
    second.load_state_dict(first.state_dict())
    assert head + [batch.extras["targets"].tolist() for (batch,) in second] == straight


def test_half_a_pass_sees_half_the_rows() -> None:
    source = batches(count=20, epochs=0.5)
    carried = {int(t) for (batch,) in source for t in batch.extras["targets"]}
    assert len(carried) == 10
    assert source.seen() == carried
    assert len(source) == 2


def test_another_seed_is_another_order_and_no_rows_are_refused() -> None:
    assert batches(seed=1).groups(0) != batches(seed=2).groups(0)
    with pytest.raises(ValueError, match="no row"):
        EncodedBatches(np.zeros((0, 3), np.float32), np.zeros(0), batch_rows=5, epochs=1, seed=0)
