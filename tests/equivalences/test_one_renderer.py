"""Equivalence: training, evaluation, samples, chat, predict and the Python face see the same token ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from affinage.cli.main import main
from affinage.generation.engine import LocalGenerator
from affinage.runs import Run
from affinage.tuning import fit, language
from affinage.use import load
from tests.small import save_decoder

CHATS = [
    [
        {"role": "user", "content": f"Do you keep rind {n}?"},
        {"role": "assistant", "content": f"Yes, {n} of it."},
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": f"Cellar {n % 3}, naïve one."},
    ]
    for n in range(10)
]
OWN = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
SYSTEM = "Be brief."


class Ids:
    """Token ids that each part of the project hands to a model."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained: list[list[int]] = []
        self.scored: list[list[int]] = []
        self.prompts: list[list[int]] = []
        train, score = fit.train, language.score_language
        generate, stream = LocalGenerator.generate, LocalGenerator.stream

        def watched_train(model: Any, objective: Any, batches: Any, *rest: Any, **named: Any) -> Any:
            self.trained += [row.tokens_T.tolist() for row in batches.rows]
            return train(model, objective, batches, *rest, **named)

        def watched_score(model: Any, rows: Any, **named: Any) -> Any:
            self.scored += [row.tokens_T.tolist() for row in rows]
            return score(model, rows, **named)

        def watched_generate(generator: Any, prompts: Any, *rest: Any, **named: Any) -> Any:
            self.prompts += [list(ids) for ids in prompts]
            return generate(generator, prompts, *rest, **named)

        def watched_stream(generator: Any, ids: Any, *rest: Any, **named: Any) -> Any:
            self.prompts.append(list(ids))
            return stream(generator, ids, *rest, **named)

        monkeypatch.setattr(fit, "train", watched_train)
        monkeypatch.setattr(language, "score_language", watched_score)
        monkeypatch.setattr(LocalGenerator, "generate", watched_generate)
        monkeypatch.setattr(LocalGenerator, "stream", watched_stream)


@pytest.mark.parametrize(("template", "system"), [(None, None), (None, SYSTEM), (OWN, SYSTEM)])
def test_every_part_sees_the_same_ids(
    template: str | None, system: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affinage.reports.html.write_report", lambda folder: None)
    monkeypatch.setattr(language.LanguageWork, "general", lambda self, model: None)
    base = save_decoder(tmp_path / "base")
    if template:
        tokenizer = AutoTokenizer.from_pretrained(base)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(base)
    data = tmp_path / "chats.jsonl"
    data.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in CHATS))
    ids = Ids(monkeypatch)
    run = _tuned(base, data, tmp_path / "run", system)

    wanted = Wanted(run, system)
    everything = sorted(wanted.whole(chat) for chat in CHATS)
    held_out = [row for row in everything if row not in ids.trained]
    assert sorted(ids.trained + held_out) == everything
    assert len(held_out) == 3
    examples_before = [row for row in ids.scored if row not in everything]  # the few-shot alternative's
    assert sorted(row for row in ids.scored if row in everything) == sorted(held_out * 2)  # before and after
    assert all(any(row[-20:] == whole[-20:] for whole in held_out) for row in examples_before)
    sampled = [wanted.prompt(chat) for chat in CHATS if wanted.whole(chat) in held_out]
    assert sorted(ids.prompts) == sorted(sampled * 2)

    ids.prompts.clear()
    chat = CHATS[0]
    load(run.folder).generate(chat[:3], max_tokens=1)
    assert main(["predict", str(run.folder), str(data), "--out", str(tmp_path / "out.jsonl"), "--max-tokens", "1"]) == 0
    assert ids.prompts == [wanted.prompt(chat), *(wanted.prompt(chat) for chat in CHATS)]

    ids.prompts.clear()
    question = chat[0]["content"]
    assert main(["chat", str(run.folder), "--prompt", question, "--max-tokens", "1"]) == 0
    assert ids.prompts[0] == wanted.prompt(chat[:2])
    assert wanted.whole(chat)[: len(ids.prompts[0])] == ids.prompts[0]


TOOL = {"name": "look", "parameters": {}}


def test_chats_with_tools_are_trained_and_scored_as_transformers_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affinage.reports.html.write_report", lambda folder: None)
    monkeypatch.setattr(language.LanguageWork, "general", lambda self, model: None)
    tools = [{"type": "function", "function": TOOL}]
    chats = []
    for n, (ask, _, _, told) in enumerate(CHATS):
        call = {"type": "function", "id": f"c{n}", "function": {"name": "look", "arguments": {"a": f"é{n}"}}}
        asked = {"role": "assistant", "content": "", "tool_calls": [call]}
        chats.append([ask, asked, {"role": "tool", "name": "look", "tool_call_id": f"c{n}", "content": "9 °C"}, told])
    data = tmp_path / "chats.jsonl"
    data.write_text("".join(json.dumps({"messages": chat, "tools": tools}) + "\n" for chat in chats))
    ids = Ids(monkeypatch)
    run = _tuned(save_decoder(tmp_path / "base"), data, tmp_path / "run", None)
    wanted = Wanted(run, None)
    everything = sorted(wanted.whole(chat, tools) for chat in chats)
    held_out = [row for row in everything if row not in ids.trained]
    assert sorted(ids.trained + held_out) == everything
    assert sorted(row for row in ids.scored if row in everything) == sorted(held_out * 2)
    sampled = [wanted.prompt(chat, tools) for chat in chats if wanted.whole(chat, tools) in held_out]
    assert len(ids.prompts) == 6  # before and after; shown samples are cut to leave room for the answer
    assert all(any(prompt[-len(found) :] == found for prompt in sampled) for found in ids.prompts)

    ids.prompts.clear()
    bare = tmp_path / "bare.jsonl"  # the same without the last answers
    bare.write_text("".join(json.dumps({"messages": chat[:-1], "tools": tools}) + "\n" for chat in chats))
    for name, path in (("whole", data), ("bare", bare)):
        out = tmp_path / f"{name}.out.jsonl"
        assert main(["predict", str(run.folder), str(path), "--out", str(out), "--max-tokens", "1"]) == 0
    load(run.folder).generate({"messages": chats[0][:-1], "tools": tools}, max_tokens=1)
    prompts = [wanted.prompt(chat, tools) for chat in chats]
    assert ids.prompts == [*prompts, *prompts, prompts[0]]
    assert (tmp_path / "whole.out.jsonl").read_bytes() == (tmp_path / "bare.out.jsonl").read_bytes()

    ids.prompts.clear()
    functions = tmp_path / "tools.json"
    functions.write_text(json.dumps(tools))
    words = ["--tools", str(functions), "--prompt", chats[0][0]["content"], "--max-tokens", "1"]
    assert main(["chat", str(run.folder), *words]) == 0
    assert ids.prompts == [wanted.prompt(chats[0][:2], tools)]
    assert main(["eval", str(run.folder), "--data", str(data)]) == 0


class Wanted:
    """Ids by transformers' own template code, from the tokenizer that the run has saved."""

    def __init__(self, run: Run, system: str | None) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(run.model_folder)
        self.before = [{"role": "system", "content": system}] if system else []

    def whole(self, chat: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> list[int]:
        return self._ids([*self.before, *chat], False, tools)

    def prompt(self, chat: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> list[int]:
        """Up to where the last answer begins."""
        found = self._ids([*self.before, *chat[:-1]], True, tools)
        assert self.whole(chat, tools)[: len(found)] == found
        return found

    def _ids(self, turns: list[dict[str, Any]], prompt: bool, tools: list[dict[str, Any]] | None = None) -> list[int]:
        text = self.tokenizer.apply_chat_template(turns, tools=tools, tokenize=False, add_generation_prompt=prompt)
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        start = self.tokenizer.bos_token_id
        return found if found[0] == start or not self.adds_start else [start, *found]

    @property
    def adds_start(self) -> bool:
        return bool(self.tokenizer("a")["input_ids"][0] == self.tokenizer.bos_token_id)


def _tuned(base: Path, data: Path, out: Path, system: str | None) -> Run:
    settings = {"folds": 1, "held_out": 3, "validation": 0, "steps": 1, "samples": 3, "threads": 1, "train": "lora"}
    words = ["tune", str(data), "--model", str(base), "--out", str(out)]
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    assert main([*words, *(["--set", f"system_prompt={system}"] if system else [])]) == 0
    return Run(out)
