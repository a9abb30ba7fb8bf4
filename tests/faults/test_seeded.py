"""Every fault of the catalogue, planted in a small file, is found by name before a model loads, and nothing is touched.

Of the faults that are known to spoil trainings silently, these are about data: a supervised prompt, nothing supervised
after truncation, a doubled start token, odd role order, an empty assistant turn, equal preferred and rejected answers,
copies on both sides of the split, a row above the context, a stale cache after an edited template, a misspelt key.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from affinage.inspection.catalogue import CATALOGUE
from tests.cli.calling import Call
from tests.faults.seeded import CHATS, FAULTS, TALKS, Fault, turns, write

PLAIN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
TEMPLATES = {
    "doubled": "{{ bos_token }}{{ bos_token }}" + PLAIN,
    "picky": "{% if messages[0].role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}" + PLAIN,
    "torn": PLAIN,
}


@pytest.fixture(scope="session")
def models(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The small base, and copies of it with one fault in the tokenizer each."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("models")
    made = {"base": base}
    for name in (*TEMPLATES, "padded", "words"):
        made[name] = Path(shutil.copytree(base, folder / name))
    for name, template in TEMPLATES.items():
        tokenizer = AutoTokenizer.from_pretrained(base)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(made[name])
    _set(made["torn"] / "tokenizer_config.json", chat_template=PLAIN + "\n\nEnd")
    _set(made["padded"] / "tokenizer_config.json", pad_token="</s>")
    _words_only(made["words"])
    return made


def _set(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _words_only(folder: Path) -> None:
    """A tokenizer that knows five words, and has one token for all others."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "<s>", "</s>", "<unk>", "How", "old", "is", "It", "weeks"]
    inner = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=256, **special).save_pretrained(folder)


def state(folder: Path) -> dict[str, str]:
    """Every file below, by its digest."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def planted(fault: Fault, folder: Path) -> str:
    """The fault's files beside an older run and something else of the person's; the name to give."""
    write(folder, fault.files)
    write(folder, {"run/evaluation.json": "{}", "run/model/weights": b"\0\1", "notes.txt": "mine"})
    return "data" if (folder / "data").is_dir() else "data.jsonl"


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_nothing_is_touched(
    name: str, call: Call, models: dict[str, Path], tmp_path: Path
) -> None:
    fault = FAULTS[name]
    data = planted(fault, tmp_path)
    before = state(tmp_path)
    result = call("inspect", data, "--model", models[fault.model], "--json", *fault.words)
    assert "Traceback" not in result.err
    findings = result.json["findings"]
    same = [finding for finding in findings if finding["code"] == fault.code]
    assert same, f"{fault.code} is not among {[finding['code'] for finding in findings]}"
    assert fault.severity in {finding["severity"] for finding in same}, same
    assert result.code == fault.leaves_with, findings
    assert state(tmp_path) == before


ERRORS = [name for name, fault in FAULTS.items() if fault.leaves_with == 2]


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_stops_a_run_before_anything_is_written(
    name: str, call: Call, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = FAULTS[name]
    data = planted(fault, tmp_path)
    before = state(tmp_path)
    monkeypatch.setattr("affinage.tuning.run.load_network", _never)
    words = [word for word in fault.words if word != "--redact"]
    result = call("tune", data, "--model", models[fault.model], "--out", "new", "--set", "threads=1", *words)
    assert (result.code, "Traceback" in result.err) == (2, False), result.err
    assert state(tmp_path) == before
    result = call("tune", data, "--model", models[fault.model], "--out", "run", *words)
    assert result.code == 2
    assert state(tmp_path) == before


def _never(*_: object, **__: object) -> None:
    raise AssertionError("the model was loaded")


def test_every_finding_of_the_catalogue_is_planted() -> None:
    # `left-out` is for reasons that have no entry of their own, `unsupported` for readers that are not installed.
    assert {fault.code for fault in FAULTS.values()} == set(CATALOGUE) - {"left-out", "unsupported"}


def test_clean_files_give_no_warning(call: Call, base: Path, tmp_path: Path) -> None:
    write(tmp_path, {"data.jsonl": CHATS})
    result = call("inspect", "data.jsonl", "--model", base, "--json")
    assert result.code == 0
    assert [finding for finding in result.json["findings"] if finding["severity"] != "note"] == []


def test_an_edited_template_never_meets_old_tokens(call: Call, base: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    model = Path(shutil.copytree(base, tmp_path / "model"))
    write(tmp_path, {"data.jsonl": TALKS})
    shown = []
    for header in ("[{{ m.role }}]", "<{{ m.role }}>", "[{{ m.role }}]"):
        tokenizer = AutoTokenizer.from_pretrained(base)
        tokenizer.chat_template = PLAIN.replace("[{{ m.role }}]", header)
        tokenizer.save_pretrained(model)
        result = call("inspect", "data.jsonl", "--model", "model", "--rows", 1, "--json")
        shown.append("".join(token["text"] for token in result.json["rows"][0]["tokens"]))
    assert shown[0].startswith("[user]How old is 0?")
    assert shown[1].startswith("<user>How old is 0?")
    assert shown[2] == shown[0]


def test_a_misspelt_key_is_refused(call: Call, base: Path, tmp_path: Path) -> None:
    write(tmp_path, {"data.jsonl": TALKS, "recipe.yaml": f"data: data.jsonl\nmodel: {base}\nlearn_form: all\n"})
    before = state(tmp_path)
    for command in ("inspect", "tune"):
        result = call(command, "recipe.yaml")
        assert result.code == 2
        assert "'learn_form'" in result.err
        assert "'learn_from'" in result.err
    assert state(tmp_path) == before


def test_what_is_learned_from_is_the_answer_and_its_end(call: Call, base: Path, tmp_path: Path) -> None:
    write(tmp_path, {"data.jsonl": [*TALKS, turns("user: And?", "assistant: One.", "user: Then?", "assistant: Two.")]})
    result = call("inspect", "data.jsonl", "--model", base, "--row", 13, "--json")
    (row,) = result.json["rows"]
    assert "".join(token["text"] for token in row["tokens"] if token["learned"]) == "One.</s>Two.</s>"
