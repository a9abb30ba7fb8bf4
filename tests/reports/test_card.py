from __future__ import annotations

from pathlib import Path

import yaml

from affinage.reports.card import write_card


def front(text: str) -> dict[str, object]:
    return dict(yaml.safe_load(text.split("---")[1]))


def test_an_adapters_card(folder: Path) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "adapter_config.json").write_text("{}")
    text = write_card(folder).read_text()
    values = front(text)
    assert values["base_model"] == "some/base"
    assert values["library_name"] == "peft"
    assert values["pipeline_tag"] == "text-generation"
    assert "license" not in values
    assert "AutoPeftModelForCausalLM" in text
    for heading in ("How to use", "Data", "Results", "Forgetting", "Settings", "What is not known"):
        assert f"\n## {heading}\n" in text
    assert "| loss, nats per token | 3.000 (2.900 to 3.100) | 2.000 (1.900 to 2.100) |" in text
    assert "| counting &lt;tokens> $5_x | 5.000 (4.900 to 5.100) |" in text
    assert "7 tokens were cut off" in text


def test_a_base_on_this_machine_is_not_named_by_its_path(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(f"model: {folder / 'inner' / 'my-base'}\n")
    text = write_card(folder).read_text()
    assert "base_model" not in front(text)
    assert front(text)["library_name"] == "transformers"
    assert "`my-base`" in text
    assert str(folder) not in text


def test_an_empty_folder_claims_nothing(tmp_path: Path) -> None:
    text = write_card(tmp_path).read_text()
    assert "has not been evaluated" in text
    assert "nothing about this model is proven" in text
    assert "## Results" not in text
