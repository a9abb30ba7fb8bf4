"""Runs and models in use from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import affinage
from affinage.errors import InputError
from affinage.use import Adapted


@pytest.fixture(scope="module")
def talker(writer: Path) -> Adapted:
    found: Adapted = affinage.run(writer).load(threads=1)
    return found


def test_each_form_of_a_prompt_gives_its_answers(talker: Adapted) -> None:
    turn = {"role": "user", "content": "Say 1"}
    alone = talker.generate("Say 1", max_tokens=6)
    assert len(alone) == 1
    assert talker.generate(["Say 1", "Say 2"], max_tokens=6)[0] == alone[0]
    assert talker.generate([turn], max_tokens=6) == alone
    assert talker.generate([[turn], [turn]], max_tokens=6) == alone * 2


def test_a_stream_joins_to_the_answer(talker: Adapted) -> None:
    settings = {"max_tokens": 12, "temperature": 1.0, "seed": 5}
    assert "".join(talker.stream("Say 1", **settings)) == talker.generate("Say 1", **settings)[0]


def test_an_unknown_setting_is_named(talker: Adapted) -> None:
    with pytest.raises(InputError, match="Did you mean 'temperature'"):
        talker.generate("Say 1", temprature=1.0)


def test_the_runs_system_prompt_stands_before_each_prompt(base: Path, questions: Path, tmp_path: Path) -> None:
    values = {"data": str(questions), "model": str(base), "out": tmp_path / "run", "steps": 1, "folds": 1, "threads": 1}
    run = affinage.tune(affinage.make_recipe({**values, "samples": 0, "system_prompt": "Be brief."}))
    loaded = run.load(threads=1)
    ids = loaded._prompt_ids("Say 1", raw=False)
    assert "Be brief." in loaded.renderer.tokenizer.decode(ids)


def test_a_classifier_classifies_and_encodes(classifier: Path) -> None:
    model = affinage.load(classifier, threads=1)
    found = model.classify(["milk milk", "oven oven"])
    assert [sum(one["probabilities"].values()) for one in found] == pytest.approx([1, 1])
    assert model.classify("milk milk") == found[:1]
    assert set(found[0]["probabilities"]) == set(model.labels) == {"cheese", "bread"}
    head = model.model.heads["classifier"]
    import torch

    probabilities = head.answers(head(torch.from_numpy(model.encode(["milk milk"]))))
    assert float(probabilities.max()) == pytest.approx(found[0]["probability"])
    with pytest.raises(InputError, match="text 2 of 2: empty-text"):
        model.classify(["milk", ""])


def test_a_language_model_has_no_labels(talker: Adapted) -> None:
    with pytest.raises(InputError, match="no classification head"):
        talker.classify("milk")


def test_likelihood_is_the_loss_of_the_text(base: Path) -> None:
    model = affinage.load(base, threads=1)
    texts = ["short", "a much longer text " * 40]
    found = model.likelihood(texts)
    assert model.likelihood(texts[1]) == [pytest.approx(found[1], rel=1e-5)]
    # random weights foresee next to nothing: about log2(vocabulary) bits for each byte and for the end of the text
    for text, one in zip(texts, found, strict=True):
        assert one["bits_per_byte"] == pytest.approx(np.log2(259) * (len(text) + 1) / len(text), rel=0.1)


def test_a_plain_model_continues_the_text(base: Path) -> None:
    model = affinage.load(base, threads=1)
    assert not model.talks
    ids = model._prompt_ids("milk", raw=True)
    assert ids[0] == model.renderer.tokenizer.bos_token_id
    assert model.renderer.tokenizer.decode(ids[1:]) == "milk"
