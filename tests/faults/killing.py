"""Kill `affinage tune` again and again at chosen moments and resume it each time; run as a process of its own.

One import of torch serves all: every run is a fork of this process, which itself never computes. Usage:
`python -m tests.faults.killing SETTINGS.json`, where the settings name `out`, `words` (the command line after `tune`)
and `moments`; the last line on stdout is a JSON list with what became of each moment.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from affinage.cli.main import main
from affinage.data.records import Text
from affinage.evaluation.forgetting import general_records
from affinage.files import write_text
from affinage.runs import Run

PATHS = {
    "open": (0,),
    "os.rename": (0, 1),
    "os.remove": (0,),
    "os.mkdir": (0,),
    "os.rmdir": (0,),
    "shutil.rmtree": (0,),
}


def import_all() -> None:
    """All that a run imports late, so that each fork has it already."""
    import peft  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import torch

    from affinage.generation import engine  # noqa: F401
    from affinage.reports import card, html
    from affinage.tuning import classification, language, run  # noqa: F401

    torch.set_num_threads(1)
    short = [Text(text=record.text[:150]) for record in general_records()[:2]]
    language.general_records = lambda part="measure": short
    html.write_report = lambda folder: write_text(folder / "report.html", "drawn elsewhere")
    assert card


def fork(work: Callable[[], int], log: Path, kill_after: float | None = None) -> tuple[int, float]:
    """Run `work` in a fork: its exit code (-9: killed) and the seconds it took. Its words go to `log`."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        os._exit(work())
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), time.monotonic() - began


def touching(out: Path, act: Callable[[str, str], None]) -> None:
    """Call `act(event, path)` before each thing that this process does to a file below `out`."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in PATHS:
            paths = [str(arguments[n]) for n in PATHS[event]]
            found = next((path for path in paths if path.startswith(str(out))), None)
            if found:
                act(event, found)

    sys.addaudithook(hook)


def listed(out: Path, words: list[str], log: Path) -> tuple[list[str], float]:
    """The uninterrupted run: each touch of a file, in order, and its seconds."""
    seen = out.with_suffix(".touched")

    def work() -> int:
        stream = os.open(seen, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        touching(out, lambda event, path: os.write(stream, f"{event} {path[len(str(out)) :]}\n".encode()) and None)
        return main([*words, "--out", str(out)])

    code, seconds = fork(work, log)
    assert code == 0, log.read_text()
    return seen.read_text().splitlines(), seconds


def killed_at_touch(out: Path, words: list[str], number: int) -> int:
    """Die right before the touch of that number."""
    count = 0

    def act(event: str, path: str) -> None:
        nonlocal count
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    touching(out, act)
    return main([*words, "--out", str(out)])


def killed_in_a_tensor_file(out: Path, words: list[str], number: int) -> int:
    """Die with the tensor file of that number half written."""
    from affinage.training import checkpoints

    count = 0

    def torn(tensors: Any, path: Path) -> None:
        nonlocal count
        save_file(tensors, path)
        if count == number:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    checkpoints.save_file = torn
    return main([*words, "--out", str(out)])


def moments_of(touched: list[str], seconds: float, wanted: dict[str, int], seed: int) -> list[tuple[str, float]]:
    """Seeded moments: touches inside checkpoints and outside, half-written tensor files, and plain delays."""
    draw = random.Random(seed)
    inside = [n for n, line in enumerate(touched) if "/checkpoints/" in line]
    outside = [n for n, line in enumerate(touched) if "/checkpoints/" not in line]
    halves = [n for n in outside if touched[n].startswith("os.rename")]  # written beside, not yet in place
    files = sum(1 for line in touched if line.startswith("os.mkdir") and "/.step-" in line) * 3
    chosen = [("checkpoint", n) for n in draw.sample(inside, wanted["checkpoint"])]
    chosen += [("elsewhere", n) for n in draw.sample(outside, wanted["elsewhere"] // 2)]
    chosen += [("elsewhere", n) for n in draw.sample(halves, wanted["elsewhere"] - wanted["elsewhere"] // 2)]
    chosen += [("tensor file", n) for n in draw.sample(range(files), wanted["tensor file"])]
    return [*chosen, *(("delay", draw.uniform(0.0, 0.9 * seconds)) for _ in range(wanted["delay"]))]


def kill_and_resume(kind: str, at: float, out: Path, words: list[str], straight: Path) -> dict[str, Any]:
    """One moment: kill, go on, compare with the run that was never stopped."""
    log = out.with_suffix(".log")
    works = {"tensor file": killed_in_a_tensor_file, "delay": lambda *args: main([*words, "--out", str(out)])}
    work = works.get(kind, killed_at_touch)
    killed, _ = fork(lambda: work(out, words, int(at)), log, at if kind == "delay" else None)
    while kind == "delay" and killed == 0:  # this run was faster than the one that was timed: it had ended already
        shutil.rmtree(out)
        at /= 2
        killed, _ = fork(lambda: work(out, words, 0), log, at)
    begun, whole = (out / "recipe.yaml").exists(), Run(out).finished
    steps = sorted(path.name for path in out.glob("checkpoints/step-*"))
    left = sorted(path.name for path in out.iterdir()) if out.exists() else []
    again = ["tune", "--resume", str(out)] if begun else [*words, "--out", str(out)]
    resumed, _ = fork(lambda: main(again), log)
    return {
        "kind": kind, "at": at, "killed": killed, "begun": begun, "whole": whole, "checkpoints": steps, "left": left,
        "resumed": resumed, "differs": [] if resumed and not whole else differences(straight, out), "said": log.read_text()[-200:],
    }  # fmt: skip


def differences(straight: Path, out: Path) -> list[str]:
    """Files that only one of the runs has, files of the model that differ in a byte, and steps of the log."""
    ours, theirs = ({str(p.relative_to(run)) for p in run.rglob("*")} for run in (straight, out))
    model = [name for name in ours & theirs if name.startswith("model/") and (straight / name).is_file()]
    found = sorted(ours ^ theirs)
    found += [name for name in model if (straight / name).read_bytes() != (out / name).read_bytes()]
    logs = [[_logged(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (straight, out)]
    found += ["metrics.jsonl"] if logs[0] != logs[1] else []
    ledgers = [(run / "ledger.json").read_bytes() for run in (straight, out)]
    return found + (["ledger.json"] if ledgers[0] != ledgers[1] else [])


def _logged(line: str) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(line)
    row.pop("tokens_per_second", None)
    return row


def work(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every moment in turn."""
    folder, words = Path(settings["folder"]), ["tune", *settings["words"]]
    import_all()
    straight = folder / "straight"
    touched, seconds = listed(straight, words, folder / "straight.log")
    moments = moments_of(touched, seconds, settings["moments"], settings["seed"])
    return [
        kill_and_resume(kind, at, folder / f"killed-{number}", words, straight)
        for number, (kind, at) in enumerate(moments)
    ]


if __name__ == "__main__":
    print(json.dumps(work(json.loads(Path(sys.argv[1]).read_text()))))
