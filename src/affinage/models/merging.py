"""Merging a run's adapter into its base, proven on logits or refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from affinage.data.batches import Batch
from affinage.device import Machine
from affinage.errors import GateError, InputError
from affinage.files import fresh_folder, write_text
from affinage.models.adapted import AdaptedModel
from affinage.models.adapters import no_warnings
from affinage.models.loading import Base, load_network, open_base
from affinage.models.methods import METHODS
from affinage.models.saving import load_heads, load_run, read_fingerprint, save_heads, save_network, save_tokenizer

PROBES = (
    "The cellar was cold and the cheese was slow to ripen.",
    "It was a bright morning, and nobody in the village had slept well.",
    "Question: Which of the two orders was sent first?\nAnswer: The smaller one, on Monday.",
    "In 1897 the company had 12 workers, 3 carts and a debt of 4,500 francs.",
    "def area(width, height):\n    return width * height\n",
    "Les caves sont fraîches, et le fromage attend son heure.",
)
PROBE_TOKENS = 128  # per probe


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What was compared. `difference`: largest absolute difference of logits (of hidden states for an encoder) between
    the adapter attached and what was saved merged; `agreement`: share of positions with the same most likely token
    (None for an encoder); `merged`: whether there was an adapter to merge."""

    out: Path
    merged: bool
    probes: int
    positions: int
    difference: float
    agreement: float | None
    tolerance: float

    def sentence(self) -> str:
        """What the card and the command line say."""
        if not self.merged:
            difference = f"Largest difference after saving: {self.difference:.2e}."
            return f"Nothing needed merging: the run left no adapter. {difference}"
        said = f"Merged and attached differ by at most {self.difference:.2e} (tolerance {self.tolerance:.0e})"
        said += f" over {self.positions} positions of {self.probes} probe texts, in float32"
        if self.agreement is not None:
            said += f"; the most likely token is the same at {self.agreement:.2%} of the positions"
        return f"{said}."


def merge_run(
    run: Path, out: Path, machine: Machine, *, texts: Sequence[str] = (), tolerance: float = 1e-4
) -> MergeReport:
    """Merge the adapter of `run` into its base and save full float32 weights in Hugging Face's layout to `out`.

    Args:
        texts: probe texts beside the built-in ones, such as the run's held-out rows.
        tolerance: largest absolute difference of logits that passes.

    Raises:
        InputError: `out` holds something already, or the method cannot be merged.
        GateError: merged and attached differ by more than `tolerance`; nothing is left on disk.
    """
    _refuse_full(out)
    _refuse_unmergeable(run)
    exact = dataclasses.replace(machine, dtype="float32")
    model = load_run(run, exact)
    base = open_base(str(run))
    batches = probe_batches(base.tokenizer, [*texts, *PROBES], base.context - model.virtual_tokens)
    attached = _outputs(model, batches)
    has_adapter = hasattr(model.network, "peft_config")
    if has_adapter:
        with no_warnings():
            model.network = _merge(model.network, run)
        _compare(attached, _outputs(model, batches), tolerance, "merging")
    with fresh_folder(out) as side:
        save_network(model.network, side)
        if len(model.heads):
            save_heads(model, side)
        save_tokenizer(base.tokenizer, side)
        difference, agreement = _compare(attached, _outputs(_reload(side, exact), batches), tolerance, "saving")
        positions = sum(len(piece) for piece in attached)
        report = MergeReport(
            out, has_adapter, len(batches), positions, difference, agreement if base.causal else None, tolerance
        )
        write_text(side / "README.md", _card(run, base, report))
    return report


def probe_batches(tokenizer: Any, texts: Sequence[str], context: int) -> list[Batch]:
    """One row per text, cut to what a probe needs."""
    batches = []
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][: min(PROBE_TOKENS, context)]
        if ids:
            tokens_BT = torch.tensor([ids])
            batches.append(Batch(tokens_BT, torch.ones(tokens_BT.shape), torch.ones_like(tokens_BT, dtype=torch.bool)))
    return batches


@torch.no_grad()
def _outputs(model: AdaptedModel, batches: Sequence[Batch]) -> list[Tensor]:
    """Logits (T, V) of each probe, or hidden states (T, H) of an encoder."""
    model.eval()
    model.pack = False  # the packed pass folds adapters in itself: it would compare merging with merging
    found = []
    for batch in batches:
        hidden = model.hidden(batch.to(model.device))[0]
        found.append((model.output_head.logits(hidden) if model.causal else hidden.float()).cpu())
    return found


def _compare(before: list[Tensor], after: list[Tensor], tolerance: float, deed: str) -> tuple[float, float]:
    """Largest absolute difference, and the share of positions with the same largest entry."""
    difference = float(torch.stack([(a - b).abs().max() for a, b in zip(before, after, strict=True)]).max())
    same = torch.cat([a.argmax(-1) == b.argmax(-1) for a, b in zip(before, after, strict=True)])
    if not difference <= tolerance:  # a difference that is not a number fails too
        raise GateError(
            f"{deed} changes what the model says: logits differ by up to {difference:.2e}, more than {tolerance:.0e}; "
            "nothing was written",
            fix="serve the run with its adapter attached, or raise the tolerance knowingly",
        )
    return difference, float(same.float().mean())


def _merge(network: Any, run: Path) -> Any:
    try:
        return network.merge_and_unload(safe_merge=True)
    except (ValueError, TypeError, AttributeError, NotImplementedError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise GateError(
            f"the adapter of {run} cannot be merged: {reason}", fix="serve the run with its adapter attached"
        ) from None


def _reload(folder: Path, machine: Machine) -> AdaptedModel:
    base = open_base(str(folder))
    model = AdaptedModel(load_network(base, machine), causal=base.causal)
    load_heads(model, folder)
    return model


def _refuse_full(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} already holds something", fix="name another --out (nothing is overwritten)")


def _refuse_unmergeable(run: Path) -> None:
    """Refuse methods that live beside the weights, before anything loads."""
    path = run / "model" / "adapter_config.json"
    if not path.exists():
        read_fingerprint(run)
        return
    library = json.loads(path.read_text()).get("peft_type")
    for name, method in METHODS.items():
        if method.library == library and method.merges:
            raise InputError(f"{name} cannot be merged: {method.merges}", fix="serve the run with its adapter attached")


def _card(run: Path, base: Base, report: MergeReport) -> str:
    kind = "merged model" if report.merged else "model"
    heads = (
        "\nHeads of the run stand in `heads.safetensors`, described by `heads.json`.\n"
        if (run / "model" / "heads.json").exists()
        else ""
    )
    return f"""# {run.name}, {kind}

Full weights in float32, in Hugging Face's layout, from the run `{run.name}` on the base `{_base_name(run)}`.

{report.sentence()}
{heads}"""


def _base_name(run: Path) -> str:
    return str(read_fingerprint(run)["base"]["name"])
