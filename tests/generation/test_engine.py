"""The engine writes what the model says: as transformers does, with or without cache, alone or in company."""

from __future__ import annotations

import copy
import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model

from affinage.data.batches import Row, collate
from affinage.device import machine
from affinage.errors import InputError, RunError
from affinage.generation import engine
from affinage.generation.cache import CachedRows, opened
from affinage.generation.engine import LocalGenerator
from affinage.generation.sampling import Sampling
from affinage.models.adapted import AdaptedModel
from affinage.models.loading import load_network, open_base
from affinage.models.packed.decode import DecodedRows

CONTEXT, STOP = 64, 256
PROMPTS = [list(text.encode()) for text in ("The", "a cat sat on", "x", "once upon a time there was", "why?", "to be")]
ADAPTERS: dict[str, Any] = {
    "bare": None,
    "lora": LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False),
    "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
    "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
}


def generator(model: AdaptedModel, tokenizer: Any, **changed: Any) -> LocalGenerator:
    return LocalGenerator(model, tokenizer, **{"stop_ids": {STOP}, "pad_id": 0, "context": CONTEXT, **changed})


def adapted(network: Any, adapter: str = "bare") -> AdaptedModel:
    torch.manual_seed(1)
    if ADAPTERS[adapter] is not None:
        network = get_peft_model(network, copy.deepcopy(ADAPTERS[adapter])).eval()
        for name, tensor in network.named_parameters():
            if "prompt_encoder" in name:
                torch.nn.init.normal_(tensor, std=0.5)
    return AdaptedModel(network, causal=True)


@torch.no_grad()
def without_cache(model: AdaptedModel, prompt: list[int], count: int) -> list[int]:
    """Greedy, the whole row through the model for each token, by the road that training takes."""
    tokens = list(prompt)
    while len(tokens) < len(prompt) + count and (len(tokens) == len(prompt) or tokens[-1] != STOP):
        row = Row(np.array(tokens, np.int32), np.zeros(len(tokens), np.float32))
        tokens.append(int(model.output_head.logits(model.hidden(collate([row], 0))[0, -1]).argmax()))
    return tokens[len(prompt) :]


def test_greedy_equals_transformers(network: Any, byte_tokenizer: Any) -> None:
    ours = generator(adapted(network), byte_tokenizer).generate(PROMPTS, Sampling(max_tokens=24))
    for prompt, completion in zip(PROMPTS, ours, strict=True):
        ids = torch.tensor([prompt])
        theirs = network.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24, pad_token_id=0
        )
        assert list(completion.tokens) == theirs[0, len(prompt) :].tolist()


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
def test_the_cache_changes_nothing(family: str, adapter: str, byte_tokenizer: Any, networks: Any) -> None:
    model = adapted(networks(family), adapter)
    completions = generator(model, byte_tokenizer).generate(PROMPTS, Sampling(max_tokens=16))
    assert [list(c.tokens) for c in completions] == [without_cache(model, prompt, 16) for prompt in PROMPTS]
    assert len({c.tokens for c in completions}) == len(PROMPTS)


@pytest.mark.parametrize("sampling", [Sampling(max_tokens=20), Sampling(20, 1.0, 0.95, seed=4)])
def test_in_a_batch_as_alone(network: Any, byte_tokenizer: Any, sampling: Sampling) -> None:
    writer = generator(adapted(network), byte_tokenizer)
    together = writer.generate(PROMPTS, sampling)
    alone = [writer.generate([prompt], sampling)[0] for prompt in PROMPTS]
    assert [c.tokens for c in together] == [c.tokens for c in alone]
    assert [c.text for c in together] == [c.text for c in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    small = generator(writer.model, byte_tokenizer, batch_tokens=60).generate(PROMPTS, sampling)
    assert [c.tokens for c in small] == [c.tokens for c in together]


@pytest.mark.parametrize("adapter", ["bare", "lora"])
def test_both_roads_write_the_same(llama: AdaptedModel, byte_tokenizer: Any, adapter: str) -> None:
    model = adapted(llama.network, adapter)
    prompts = [*PROMPTS, PROMPTS[2], PROMPTS[2], PROMPTS[0]]
    for sampling in (Sampling(24), Sampling(24, 1.0, seed=3), Sampling(24, 0.7, 0.9, 40, seed=5)):
        settings = [dataclasses.replace(sampling, max_tokens=6 + 5 * (row % 4)) for row in range(len(prompts))]
        found = []
        for model.pack in (True, False):
            found.append(generator(model, byte_tokenizer, stop_ids={STOP, 101, 32}).generate(prompts, settings))
        assert [c.tokens for c in found[0]] == [c.tokens for c in found[1]]
        assert [c.text for c in found[0]] == [c.text for c in found[1]]
        for one, other in zip(*found, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert len({len(c.tokens) for c in found[0]}) > 3  # rows ended one after the other


def test_which_road_is_taken(networks: Any) -> None:
    def road(model: AdaptedModel, longest: int = 40, tokens: int = 40) -> type:
        return type(opened(model, 0, longest=longest, tokens=tokens)([[1, 2]]))

    llama = networks("llama")
    assert road(adapted(llama)) is road(adapted(llama, "lora")) is DecodedRows
    assert road(adapted(networks("llama"), "prefix")) is CachedRows
    assert road(adapted(networks("gpt2"))) is CachedRows
    assert road(adapted(networks("mistral"))) is CachedRows  # its window is shorter than the text
    assert road(adapted(networks("mistral")), longest=8) is DecodedRows
    assert road(adapted(networks("llama")), tokens=3) is CachedRows


def test_each_row_has_its_own_settings(llama: AdaptedModel, byte_tokenizer: Any) -> None:
    writer = generator(llama, byte_tokenizer)
    samplings = [Sampling(max_tokens=count, temperature=count % 3, seed=count) for count in range(1, 7)]
    together = writer.generate(PROMPTS, samplings)
    alone = [writer.generate([p], s)[0] for p, s in zip(PROMPTS, samplings, strict=True)]
    assert [c.tokens for c in together] == [c.tokens for c in alone]
    assert [c.prompt_tokens for c in together] == [len(prompt) for prompt in PROMPTS]


def test_seeds(llama: AdaptedModel, byte_tokenizer: Any) -> None:
    writer = generator(llama, byte_tokenizer)
    hot = [Sampling(12, 1.0, seed=seed) for seed in (1, 1, 2)]
    texts = [writer.generate(PROMPTS[:1], sampling)[0].tokens for sampling in hot]
    assert texts[0] == texts[1] != texts[2]
    free = {writer.generate(PROMPTS[:1], Sampling(12, 1.0))[0].tokens for _ in range(3)}
    assert len(free) == 3


def test_a_repeated_prompt_is_read_once_and_answered_differently(
    llama: AdaptedModel, byte_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def counting(*given: Any, **named: Any) -> Any:
        open_rows = opened(*given, **named)
        return lambda prompts: (read.append(len(prompts)), open_rows(prompts))[1]

    monkeypatch.setattr(engine, "opened", counting)
    writer = generator(llama, byte_tokenizer)
    prompts = [PROMPTS[0], PROMPTS[1], PROMPTS[0], PROMPTS[0]]
    completions = writer.generate(prompts, Sampling(12, 1.0, seed=3))
    assert read == [2]
    assert len({c.tokens for c in completions}) == 4
    assert completions[0].tokens == writer.generate(prompts[:1], Sampling(12, 1.0, seed=3))[0].tokens
    again = writer.generate([PROMPTS[0]] * 3, Sampling(12, 1.0, seed=3))
    assert [c.tokens for c in again] == [completions[i].tokens for i in (0, 2, 3)]


def test_log_probabilities_are_the_models_own(llama: AdaptedModel, byte_tokenizer: Any) -> None:
    (completion,) = generator(llama, byte_tokenizer).generate(PROMPTS[3:4], Sampling(20, 0.6, 0.9, 50, seed=1))
    tokens = [*PROMPTS[3], *completion.tokens]
    weights = np.array([0] * len(PROMPTS[3]) + [1] * len(completion.tokens), np.float32)
    scores = llama.row_scores(collate([Row(np.array(tokens, np.int32), weights)], 0))
    assert sum(completion.logprobs) == pytest.approx(-scores.nll_B.item(), rel=1e-5)


def test_stop_tokens_and_stop_texts(llama: AdaptedModel, byte_tokenizer: Any) -> None:
    letters = set(range(97, 123))
    (free,) = generator(llama, byte_tokenizer).generate(PROMPTS[:1], Sampling(40, 1.0, seed=8))
    first = next(i for i, token in enumerate(free.tokens) if token in letters)
    (stopped,) = generator(llama, byte_tokenizer, stop_ids=letters).generate(PROMPTS[:1], Sampling(40, 1.0, seed=8))
    assert stopped.finish == "stop"
    assert stopped.tokens == free.tokens[: first + 1]
    assert stopped.text == byte_tokenizer.decode(free.tokens[:first]).rstrip("\ufffd")
    stop = free.text[8:11]
    (cut,) = generator(llama, byte_tokenizer).generate(PROMPTS[:1], Sampling(40, 1.0, seed=8, stop=("@@@", stop)))
    assert cut.finish == "stop"
    assert cut.text == free.text[: free.text.index(stop)]
    assert cut.tokens == free.tokens[: len(cut.tokens)]


@pytest.mark.parametrize("stop", [(), ("e", "ab")])
def test_streaming_gives_the_same_text_in_whole_characters(
    llama: AdaptedModel, byte_tokenizer: Any, stop: tuple[str, ...]
) -> None:
    writer = generator(llama, byte_tokenizer)
    for seed in range(2):
        sampling = Sampling(40, 1.0, stop=stop, seed=seed)
        stream, pieces = writer.stream(PROMPTS[1], sampling), []
        while True:
            try:
                pieces.append(next(stream))
            except StopIteration as end:
                completion = end.value
                break
        assert completion == writer.generate([PROMPTS[1]], sampling)[0]
        assert "".join(pieces) == completion.text
        assert all(pieces)


def test_the_context_is_never_exceeded(network: Any, byte_tokenizer: Any) -> None:
    writer = generator(adapted(network), byte_tokenizer, stop_ids=())
    prompt = list(range(60, 60 + CONTEXT - 3))
    (completion,) = writer.generate([prompt], Sampling(max_tokens=50))
    assert (len(completion.tokens), completion.finish) == (3, "length")
    assert len(writer.generate([[*prompt, 1, 2]], Sampling())[0].tokens) == 1
    with pytest.raises(InputError, match=r"prompt 2 of 2 has 64 tokens; the context of 64"):
        writer.generate([[1], [*prompt, 1, 2, 3]], Sampling())
    with pytest.raises(InputError, match="empty"):
        writer.generate([[]], Sampling())


def test_virtual_tokens_take_room_in_the_context(networks: Any, byte_tokenizer: Any) -> None:
    model = adapted(networks("gpt2"), "prompt")
    writer = generator(model, byte_tokenizer, stop_ids=())
    assert writer.context == CONTEXT - 5
    assert len(writer.generate([[1, 2]], Sampling(max_tokens=CONTEXT))[0].tokens) == CONTEXT - 5 - 2
    with pytest.raises(InputError, match="context of 59"):
        writer.generate([[1] * 59], Sampling())


def test_no_dropout_while_writing_and_the_mode_comes_back(networks: Any, byte_tokenizer: Any) -> None:
    model = adapted(networks("gpt2"))
    writer = generator(model, byte_tokenizer)
    quiet = writer.generate(PROMPTS, Sampling(max_tokens=12))
    model.train()
    model.network.lm_head.eval()
    assert writer.generate(PROMPTS, Sampling(max_tokens=12)) == quiet
    stream = writer.stream(PROMPTS[0], Sampling(max_tokens=12))
    next(stream)
    assert not model.training
    stream.close()
    assert model.training
    assert model.network.transformer.training
    assert not model.network.lm_head.training
    assert torch.is_grad_enabled()


def test_gradients_stay_on_between_the_pieces_of_a_stream(llama: AdaptedModel, byte_tokenizer: Any) -> None:
    stream = generator(llama, byte_tokenizer).stream(PROMPTS[0], Sampling(max_tokens=12))
    next(stream)
    assert torch.is_grad_enabled()


def test_training_goes_on_after_writing_and_what_it_changed_is_seen(llama: AdaptedModel, byte_tokenizer: Any) -> None:
    writer = generator(llama, byte_tokenizer)
    before = writer.generate(PROMPTS, Sampling(max_tokens=12))
    weights = np.array([0, 1, 1, 1], np.float32)
    loss = llama.weighted_nll(collate([Row(np.array([5, 6, 7, 8], np.int32), weights)], 0))
    loss.backward()
    with torch.no_grad():
        for _, tensor in llama.trainable_parameters():
            assert tensor.grad is not None
            tensor.sub_(tensor.grad)
    after = writer.generate(PROMPTS, Sampling(max_tokens=12))
    assert [c.tokens for c in after] != [c.tokens for c in before]
    assert [list(c.tokens) for c in after] == [without_cache(llama, prompt, 12) for prompt in PROMPTS]


def test_broken_weights_are_told(llama: AdaptedModel, byte_tokenizer: Any) -> None:
    with torch.no_grad():
        llama.network.lm_head.weight[3, 3] = torch.nan
    with pytest.raises(RunError, match="not a number"):
        generator(llama, byte_tokenizer).generate(PROMPTS, Sampling())


def test_an_encoder_is_refused(llama: AdaptedModel, byte_tokenizer: Any) -> None:
    with pytest.raises(InputError, match="encoder"):
        generator(AdaptedModel(llama.network, causal=False), byte_tokenizer)


def test_nothing_to_do(llama: AdaptedModel, byte_tokenizer: Any) -> None:
    assert generator(llama, byte_tokenizer).generate([], Sampling()) == []


@pytest.mark.real
def test_a_real_model_tells_its_published_story(shared: Path) -> None:
    folder = shared / "models" / "stories260K"
    story = "\n".join(re.findall(r"^> (.*)$", (folder / "README.md").read_text(), flags=re.MULTILINE))
    base = open_base(str(folder))
    model = AdaptedModel(load_network(base, machine("cpu", threads=1)), causal=True)
    writer = LocalGenerator(model, base.tokenizer, stop_ids={1, 2}, pad_id=0, context=base.context)
    (completion,) = writer.generate([[1]], Sampling(max_tokens=220))
    assert len(story) > 300
    assert completion.text.startswith(story)
    ids = torch.tensor([[1]])
    theirs = model.network.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=220)
    assert list(completion.tokens) == theirs[0, 1:].tolist()
