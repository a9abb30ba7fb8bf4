"""Where adapters go, what is refused before weights load, and how prompts stand before right-padded rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from transformers import GPT2Config, GPT2LMHeadModel

from affinage.data.batches import Batch
from affinage.errors import InputError
from affinage.models.adapted import AdaptedModel
from affinage.models.adapters import Wishes, attach, refuse, wrap
from affinage.models.loading import Base, open_base
from affinage.models.methods import (
    ALIASES,
    METHODS,
    REFUSED,
    alpha_of,
    find_method,
    known_methods,
    rank_of,
    virtual_tokens,
)
from tests.models.networks import batch, bert, llama, save_base

PROMPTS = ["prefix", "prompt", "p_tuning", "cartridge", "multitask_prompt_tuning"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return open_base(str(save_base(tmp_path_factory.mktemp("llama"), llama())))


def test_every_method_of_the_library_is_offered_or_refused() -> None:
    library = {kind.value.lower() for kind in peft.PeftType}
    offered = {method.library.lower() for method in METHODS.values()}
    assert offered | (REFUSED.keys() - {"qlora"}) == library
    assert not offered & REFUSED.keys()
    assert {name for name in METHODS if name == METHODS[name].library.lower()} == offered
    assert not ALIASES.keys() & METHODS.keys()
    assert set(known_methods()) == METHODS.keys() | ALIASES.keys()


def test_the_reasons_for_refusing_hold() -> None:
    tuners, configs = PEFT_TYPE_TO_TUNER_MAPPING, PEFT_TYPE_TO_CONFIG_MAPPING
    assert hasattr(tuners[peft.PeftType.ADALORA], "update_and_allocate")
    assert "cpt_tokens_type_mask" in configs[peft.PeftType.CPT].__dataclass_fields__
    assert hasattr(tuners[peft.PeftType.CPT], "calculate_loss")
    assert hasattr(tuners[peft.PeftType.SHADOW], "shadow_auxiliary_loss")
    assert "adapters" in configs[peft.PeftType.XLORA].__dataclass_fields__
    network = peft.get_peft_model(llama(), peft.PolyConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
    with pytest.raises(ValueError, match="task_ids"):
        network.get_base_model()(torch.tensor([[5, 6]]))
    for name in REFUSED:
        with pytest.raises(InputError, match="cannot be taken"):
            find_method(name)


@pytest.mark.parametrize(
    ("name", "wishes", "said"),
    [
        ("lorra", Wishes(), "Did you mean 'lora'"),
        ("lora", Wishes(targets=("q_prj",)), "'q_prj' matches no module .* Did you mean 'q_proj'"),
        ("lora", Wishes(options={"lora_dropuot": 0.1}), "Did you mean 'lora_dropout'"),
        ("lora", Wishes(options={"r": 4}), "set by its own key"),
        ("lora", Wishes(options={"init_lora_weights": "eva"}), "is not offered"),
        ("ia3", Wishes(rank=4), "ia3 has no rank"),
        ("vera", Wishes(alpha=4), "vera has no alpha"),
        ("prefix", Wishes(targets=("q_proj",)), "takes no targets"),
        ("prompt", Wishes(layers=frozenset({0})), "takes no layers"),
        ("trainable_tokens", Wishes(), "needs adapter.token_indices"),
        ("c3a", Wishes(options={"block_size": 7}), "cannot be attached .* block size"),
        ("lora", Wishes(targets=("lm_head",), layers=frozenset({0})), "no module of the chosen layers"),
    ],
)
def test_what_cannot_work_is_refused_before_weights_load(base: Base, name: str, wishes: Wishes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        refuse(name, base, wishes)


def test_a_target_that_matches_nothing_names_the_layers_that_exist(base: Base) -> None:
    with pytest.raises(InputError) as caught:
        refuse("lora", base, Wishes(targets=("query",)))
    assert "down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj" in caught.value.fix


def test_adaption_prompt_is_refused_on_an_encoder(tmp_path: Path) -> None:
    encoder = open_base(str(save_base(tmp_path, bert())))
    with pytest.raises(InputError, match="adaption_prompt cannot be attached to this bert model"):
        refuse("adaption_prompt", encoder, Wishes())


def test_defaults_reach_every_linear_layer_of_the_blocks_and_nothing_else(base: Base) -> None:
    coverage = refuse("lora", base, Wishes())
    assert len(coverage.modules) == 14
    assert all(name.startswith("model.layers.") for name in coverage.modules)
    assert coverage.trained == sum(
        16 * (a + b) for a, b in 2 * [(64, 64), (64, 32), (64, 32), (64, 64), (64, 96), (64, 96), (96, 64)]
    )
    assert 0.99 < coverage.share < 1  # all but the norms


def test_the_pooler_of_an_encoder_is_left_alone() -> None:
    network, coverage = wrap(bert(), "lora", Wishes(), causal=False)
    assert len(coverage.modules) == 12
    assert not any("pooler" in name for name, p in network.named_parameters() if p.requires_grad)
    assert isinstance(network.active_peft_config.target_modules, str)


def test_layers_narrow_to_some_blocks() -> None:
    network, coverage = wrap(llama(num_hidden_layers=12), "oft", Wishes(layers=frozenset({1, 11})), causal=True)
    trained = {name.split(".layers.")[1].split(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {"1", "11"}
    assert len(coverage.modules) == 14


def test_targets_are_endings_in_the_saved_configuration_where_they_can_be() -> None:
    network, _ = wrap(llama(), "lora", Wishes(targets=("q_proj", "self_attn.v_proj")), causal=True)
    assert network.active_peft_config.target_modules == {"q_proj", "v_proj"}


def test_transposed_layers_take_lora() -> None:
    torch.manual_seed(0)
    network = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=64, n_positions=64))
    wrapped, coverage = wrap(network, "lora", Wishes(rank=4), causal=True)
    assert len(coverage.modules) == 8
    assert wrapped.active_peft_config.r == 4


def test_block_sizes_fit_odd_widths() -> None:
    shape: dict[str, Any] = {
        "hidden_size": 60,
        "intermediate_size": 90,
        "num_attention_heads": 3,
        "num_key_value_heads": 3,
    }
    for method in ("oft", "boft", "c3a", "vblora", "road", "gralora", "shira", "waveft", "fourierft", "miss"):
        _, coverage = wrap(llama(**shape), method, Wishes(), causal=True)
        assert coverage.trained > 0


def test_rank_and_alpha_come_from_the_recipe_or_the_method() -> None:
    assert (rank_of("lora", None), alpha_of("lora", None, None)) == (16, 32)
    assert (rank_of("lora", 4), alpha_of("lora", 4, None), alpha_of("lora", 4, 5.0)) == (4, 8, 5)
    assert (rank_of("ia3", None), alpha_of("ia3", None, None)) == (None, None)
    assert virtual_tokens("prefix", {}) == 16
    assert virtual_tokens("prompt", {"num_virtual_tokens": 4}) == 4
    assert virtual_tokens("lora", {}) == 0


@pytest.mark.parametrize("method", PROMPTS)
@pytest.mark.parametrize("causal", [True, False])
def test_prompts_agree_with_the_librarys_own_forward_and_with_rows_alone(method: str, causal: bool) -> None:
    torch.manual_seed(0)
    model = AdaptedModel(llama() if causal else bert(), causal=causal)
    attach(model, method, Wishes(options={"num_virtual_tokens": 5}))
    model.eval()
    rows = batch((9, 5))
    with torch.no_grad():
        ours = model.hidden(rows)
        assert ours.shape == (2, 9, 64)
        extra = {"task_ids": torch.zeros(2, dtype=torch.long)} if method.startswith("multitask") else {}
        if causal or not extra:
            theirs = _forward(model, rows, extra)
            torch.testing.assert_close(ours[rows.mask_BT], theirs[rows.mask_BT], rtol=0, atol=1e-5)
        alone = model.hidden(
            batch((9, 5)).__class__(rows.tokens_BT[1:, :5], rows.weights_BT[1:, :5], rows.mask_BT[1:, :5])
        )
        torch.testing.assert_close(ours[1, :5], alone[0], rtol=0, atol=1e-5)
        bare = AdaptedModel(model.plain, causal=causal).hidden(rows)
        if causal:  # the library cannot switch prompts off on an encoder
            with model.network.disable_adapter():
                assert model.virtual_tokens == 0
                assert torch.equal(model.hidden(rows), bare)
    assert (ours - bare)[rows.mask_BT].abs().max() > 1e-4


def _forward(model: AdaptedModel, rows: Batch, extra: dict[str, Any]) -> torch.Tensor:
    """Hidden states from the library's own call, with the mask given."""
    mask = rows.mask_BT.long()
    output = model.network(input_ids=rows.tokens_BT, attention_mask=mask, output_hidden_states=True, **extra)
    return output.hidden_states[-1][:, -rows.tokens_BT.shape[1] :]
