"""How much the derived learning rate costs against a third and three times of it: `rates.py [NAME...] [--data FOLDER]`.

Each rate is one `affinage tune` of a run of runs.yaml; the regret is the held-out loss of the derived rate above the best
of the three.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import Any

from commands import HERE, Entry, chosen, entries, parser
from run import ROOT, call

FACTORS = {"third": 1 / 3, "derived": 1.0, "triple": 3.0}
KEPT = HERE / "rates.json"


def main() -> None:
    """Measure, print a table, keep the figures."""
    options = parser(__doc__, "runs of runs.yaml")
    options.add_argument("--steps", type=int, help="optimizer steps, where not those of runs.yaml")
    asked = options.parse_args()
    found = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    for entry in chosen(asked.names, {entry.name: entry for entry in entries()}):
        found[entry.name] = _sweep(_shortened(entry, asked.steps), asked.data)
        KEPT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("| run | steps | rate | loss at a third | derived | triple | regret |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, one in found.items():
        losses = " | ".join(f"{one['loss'][factor]:.3f}" for factor in FACTORS)
        print(f"| {name} | {one['steps']} | {one['learning_rate']:.2g} | {losses} | {one['regret']:.3f} |")


def _shortened(entry: Entry, steps: int | None) -> Entry:
    return replace(entry, recipe={**entry.recipe, "samples": 0, **({"steps": steps} if steps else {})})


def _sweep(entry: Entry, data: str) -> dict[str, Any]:
    """One run a rate."""
    loss, derived, steps = {}, 0.0, 0
    for name, factor in sorted(FACTORS.items(), key=lambda item: item[1] != 1.0):  # the derived one comes first
        rate = {} if factor == 1.0 else {"learning_rate": f"{factor * derived:.3g}"}
        short = replace(entry, name=f"rate-{entry.name}-{name}", recipe={**entry.recipe, **rate})
        shutil.rmtree(ROOT / short.folder, ignore_errors=True)
        answers = [call(command) for command in replace(short, test=None).commands(data)]
        answer = next(said for said in answers if said)
        loss[name] = answer["evaluation"]["after"]["value"]
        plan = json.loads((ROOT / short.folder / "plan.json").read_text(encoding="utf-8"))
        derived = derived or plan["settings"]["learning_rate"]["value"]
        steps = answer["evaluation"]["training"]["steps"]
    return {"steps": steps, "learning_rate": derived, "loss": loss, "regret": loss["derived"] - min(loss.values())}


if __name__ == "__main__":
    main()
