"""What a run leaves: readable by others, bound to its base, never broken, never half written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from affinage.device import Machine
from affinage.errors import GateError, InputError, RunError
from affinage.files import write_json, write_text
from affinage.models.adapted import AdaptedModel
from affinage.models.fingerprints import fingerprint, hash_tokenizer, hash_weights
from affinage.models.heads import CLASSIFIER, ClassifierHead
from affinage.models.loading import load_network, open_base
from affinage.models.merging import merge_run
from affinage.models.saving import load_run, save_model
from affinage.models.trainables import mark
from affinage.recipe import HeadSettings, dump_recipe, make_recipe
from tests.models.networks import TEMPLATE, batch, bert, llama, save_base, tokenizer

MACHINE = Machine("cpu", "float32", 1, 2**30)


@pytest.fixture
def base_folder(tmp_path: Path) -> Path:
    return save_base(tmp_path / "base", llama())


def trained(base_name: str, train: str, *, head: bool = False, nudge: float = 0.05) -> AdaptedModel:
    """A model whose trainable weights all moved a little."""
    base = open_base(base_name)
    heads = {CLASSIFIER: ClassifierHead(["a", "b"], base.width, HeadSettings(depth=2, width=8))} if head else {}
    model = AdaptedModel(load_network(base, MACHINE), causal=base.causal, heads=heads)
    torch.manual_seed(0)
    mark(model, make_recipe({"train": train}), train)
    with torch.no_grad():
        for _, tensor in model.trainable_parameters():
            tensor.add_(torch.randn_like(tensor), alpha=nudge)
    return model.eval()


def leave(model: AdaptedModel, base_name: str, run: Path, train: str) -> Path:
    """A run folder as `tune` leaves it, as far as models/ is concerned."""
    base = open_base(base_name)
    save_model(model, base, run / "model", base.tokenizer)
    write_json(run / "fingerprint.json", fingerprint(base, run / "model", base.tokenizer, method=train))
    write_text(run / "recipe.yaml", dump_recipe(make_recipe({"train": train})))
    return run


def logits(model: AdaptedModel) -> torch.Tensor:
    with torch.no_grad():
        hidden = model.hidden(batch())
        return model.output_head.logits(hidden) if model.causal else hidden


@pytest.mark.parametrize("train", ["lora", "ia3", "prefix", "rslora", "pissa"])
def test_an_adapter_loads_in_the_library_as_it_is(base_folder: Path, tmp_path: Path, train: str) -> None:
    model = trained(str(base_folder), train)
    leave(model, str(base_folder), tmp_path / "run", train)
    plain = AutoModelForCausalLM.from_pretrained(base_folder)
    network = peft.PeftModel.from_pretrained(plain, tmp_path / "run" / "model")
    theirs = logits(AdaptedModel(network.eval(), causal=True))
    torch.testing.assert_close(theirs, logits(model), rtol=0, atol=1e-5)
    config = json.loads((tmp_path / "run" / "model" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base_folder)
    assert config["task_type"] == "CAUSAL_LM"
    assert config.get("init_lora_weights", True) is True


def test_an_encoders_adapter_loads_in_the_library(tmp_path: Path) -> None:
    folder = save_base(tmp_path / "base", bert())
    model = trained(str(folder), "lora")
    leave(model, str(folder), tmp_path / "run", "lora")
    network = peft.PeftModel.from_pretrained(AutoModel.from_pretrained(folder), tmp_path / "run" / "model")
    assert torch.equal(logits(AdaptedModel(network.eval(), causal=False)), logits(model))


@pytest.mark.parametrize("train", ["full", "last:1"])
def test_full_weights_stand_in_the_usual_layout(base_folder: Path, tmp_path: Path, train: str) -> None:
    model = trained(str(base_folder), train)
    run = leave(model, str(base_folder), tmp_path / "run", train)
    plain = AutoModelForCausalLM.from_pretrained(run / "model")
    assert torch.equal(logits(AdaptedModel(plain, causal=True)), logits(model))
    assert torch.equal(logits(load_run(run, MACHINE)), logits(model))
    assert AutoTokenizer.from_pretrained(run / "model").chat_template == TEMPLATE
    assert str(tmp_path) not in "".join(path.read_text() for path in (run / "model").glob("*.json"))


def test_a_head_comes_back_with_its_labels(base_folder: Path, tmp_path: Path) -> None:
    model = trained(str(base_folder), "head", head=True)
    run = leave(model, str(base_folder), tmp_path / "run", "head")
    assert not list((run / "model").glob("*model*.safetensors"))
    again = load_run(run, MACHINE)
    head, same = model.heads[CLASSIFIER], again.heads[CLASSIFIER]
    assert same.settings == head.settings
    assert all(torch.equal(a, b) for a, b in zip(head.state_dict().values(), same.state_dict().values(), strict=True))


def test_weights_that_are_not_numbers_are_never_saved(base_folder: Path, tmp_path: Path) -> None:
    model = trained(str(base_folder), "lora")
    with torch.no_grad():
        next(tensor for _, tensor in model.trainable_parameters()).view(-1)[3] = torch.nan
    with pytest.raises(RunError, match="not numbers"):
        leave(model, str(base_folder), tmp_path / "run", "lora")
    assert not (tmp_path / "run").exists()


def test_a_model_that_did_not_change_is_not_saved_unless_asked_for(base_folder: Path, tmp_path: Path) -> None:
    model = trained(str(base_folder), "lora", nudge=0.0)
    base = open_base(str(base_folder))
    with pytest.raises(RunError, match="changed no tensor"):
        save_model(model, base, tmp_path / "model", base.tokenizer)
    save_model(model, base, tmp_path / "model", base.tokenizer, allow_unchanged=True)


def test_another_base_is_refused(base_folder: Path, tmp_path: Path) -> None:
    run = leave(trained(str(base_folder), "lora"), str(base_folder), tmp_path / "run", "lora")
    shutil.rmtree(base_folder)
    save_base(base_folder, llama(seed=1))
    with pytest.raises(GateError, match="trained on other weights"):
        load_run(run, MACHINE)


def test_a_tensor_too_few_or_too_many_is_refused(base_folder: Path, tmp_path: Path) -> None:
    run = leave(trained(str(base_folder), "lora"), str(base_folder), tmp_path / "run", "lora")
    file = run / "model" / "adapter_model.safetensors"
    whole = load_file(file)
    name = next(iter(whole))
    save_file({key: value for key, value in whole.items() if key != name}, file)
    with pytest.raises(InputError, match="1 tensors are not on both sides"):
        load_run(run, MACHINE)
    save_file(whole | {name.replace("layers.0", "layers.7"): whole[name].clone()}, file)
    with pytest.raises(InputError, match="1 tensors are not on both sides"):
        load_run(run, MACHINE)
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(InputError, match="cannot be attached"):
        load_run(run, MACHINE)


def test_an_adapter_on_top_of_a_run_knows_what_lies_below(base_folder: Path, tmp_path: Path) -> None:
    first = leave(trained(str(base_folder), "lora"), str(base_folder), tmp_path / "first", "lora")
    model = trained(str(first), "ia3")
    second = leave(model, str(first), tmp_path / "second", "ia3")
    mark_below = json.loads((second / "fingerprint.json").read_text())["base"]
    assert mark_below["name"] == str(first)
    assert mark_below["adapters_below"] == [hash_weights([first / "model" / "adapter_model.safetensors"])]
    assert torch.equal(logits(load_run(second, MACHINE)), logits(model))
    leave(trained(str(base_folder), "lora", nudge=0.1), str(base_folder), first, "lora")
    with pytest.raises(GateError, match="trained on other weights"):
        load_run(second, MACHINE)


def test_the_hash_of_weights_knows_no_order_and_no_files_but_every_bit(tmp_path: Path) -> None:
    a, b = torch.arange(6.0).reshape(2, 3), torch.ones(4, dtype=torch.bfloat16)
    save_file({"a": a, "b": b}, tmp_path / "one.safetensors", metadata={"format": "pt"})
    save_file({"b": b}, tmp_path / "two.safetensors")
    save_file({"a": a}, tmp_path / "three.safetensors")
    whole = hash_weights([tmp_path / "one.safetensors"])
    assert whole == hash_weights([tmp_path / "two.safetensors", tmp_path / "three.safetensors"])
    for changed in ({"a": a.reshape(3, 2), "b": b}, {"a": a + 1e-6, "b": b}, {"c": a, "b": b}, {"a": a}):
        save_file(changed, tmp_path / "other.safetensors")
        assert hash_weights([tmp_path / "other.safetensors"]) != whole


def test_the_hash_of_a_tokenizer_survives_saving_and_sees_a_new_token(tmp_path: Path) -> None:
    own = tokenizer()
    own.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert hash_tokenizer(again) == hash_tokenizer(own)
    again(["ab", "c"], padding=True, truncation=True, max_length=1)
    assert hash_tokenizer(again) == hash_tokenizer(own)
    again.add_tokens(["<new>"])
    assert hash_tokenizer(again) != hash_tokenizer(own)


def test_merging_full_weights_copies_them_and_says_so(base_folder: Path, tmp_path: Path) -> None:
    run = leave(trained(str(base_folder), "full"), str(base_folder), tmp_path / "run", "full")
    report = merge_run(run, tmp_path / "out", MACHINE)
    assert not report.merged
    assert report.difference == 0
    assert "Nothing needed merging" in (tmp_path / "out" / "README.md").read_text()


def test_a_merge_above_tolerance_leaves_nothing(base_folder: Path, tmp_path: Path) -> None:
    run = leave(trained(str(base_folder), "lora", nudge=0.5), str(base_folder), tmp_path / "run", "lora")
    with pytest.raises(GateError, match="logits differ by up to"):
        merge_run(run, tmp_path / "out", MACHINE, tolerance=1e-12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "run"]


def test_a_merge_overwrites_nothing(base_folder: Path, tmp_path: Path) -> None:
    run = leave(trained(str(base_folder), "lora"), str(base_folder), tmp_path / "run", "lora")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds something"):
        merge_run(run, tmp_path / "out", MACHINE)
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_a_merge_is_written_in_the_card_with_heads_and_loads_as_a_model(base_folder: Path, tmp_path: Path) -> None:
    model = trained(str(base_folder), "lora", head=True)
    run = leave(model, str(base_folder), tmp_path / "run", "lora")
    report = merge_run(run, tmp_path / "out", MACHINE, texts=["a text of the run's own"])
    assert (report.probes, report.agreement) == (7, 1.0)
    assert report.positions > 300
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"{report.difference:.2e}" in card
    assert "heads.safetensors" in card
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(logits(AdaptedModel(plain, causal=True)), logits(model), rtol=0, atol=1e-4)
