"""From a file of instructions to token ids with weights on disk: affinage and `datasets.map`; and how memory grows.

Usage::

    python benchmarks/tokenising.py                  # speed, three rounds in turns
    python benchmarks/tokenising.py --large 2000000  # memory and time to the first step on that many rows

Every measurement is a fresh process; imports are not counted, reading the file and writing the ids are. The peers run
at their best: batches of 1,000, two processes, the same fast tokenizer, the same chat template. "no weights" is given
the whole text as one string and need not tell prompt from answer; "weights" finds the prompt's length as trainers do,
by rendering and tokenising it a second time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "src" / "affinage" / "examples" / "instructions.jsonl"
SYSTEMS = ("affinage", "datasets.map, no weights", "datasets.map, weights")
PROCESSES = 2
SMALL_STEPS = ("batch_tokens=2048", "micro_tokens=1024")  # so that activations do not hide what the data take


def main() -> None:
    """Write the rows, let every system take its turn, print and keep the figures."""
    asked = _arguments()
    if asked.worker:
        print(json.dumps(WORKERS[asked.worker](asked.file, asked.tokenizer)))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = (_large if asked.large else _speed)(Path(folder), asked)
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        name = "streaming" if asked.large else f"tokenising-{asked.data.stem}" if asked.data else "tokenising"
        (asked.out / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare tokenising and rendering with datasets.map.")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--data", type=Path, help="JSON lines with `prompt` and `response`, instead of made rows")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--tokenizer", default=str(HERE.parent / "src" / "affinage" / "models" / "tiny"))
    parser.add_argument("--large", type=int, default=0, metavar="ROWS", help="memory and first step on so many rows")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--worker", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    return parser.parse_args()


def write_rows(path: Path, rows: int) -> int:
    """Different instructions in the words of the examples (a small vocabulary, which flatters any memo of words); bytes
    written."""
    known = [json.loads(line) for line in EXAMPLES.read_text(encoding="utf-8").splitlines()]
    sentences = [part for row in known for part in row["prompt"].split(". ") if len(part) > 20]
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            row = known[number % len(known)]
            prompt = f"{number}. {'. '.join(rng.choices(sentences, k=rng.randint(1, 5)))}"
            file.write(json.dumps({"prompt": prompt, "response": f"{row['response']} ({number})"}) + "\n")
    return path.stat().st_size


def _speed(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    path = folder / "rows.jsonl"
    if asked.data:
        path.write_bytes(asked.data.read_bytes())
        asked.rows = path.read_bytes().count(b"\n")
    else:
        write_rows(path, asked.rows)
    size = path.stat().st_size
    runs: dict[str, list[dict[str, float]]] = {system: [] for system in SYSTEMS}
    for repetition in range(asked.repetitions):
        turn = repetition % len(SYSTEMS)
        for system in (*SYSTEMS[turn:], *SYSTEMS[:turn]):
            runs[system].append(_measure(system, path, folder, asked.tokenizer))
            print(f"{repetition + 1}/{asked.repetitions} {system}: {runs[system][-1]}", file=sys.stderr, flush=True)
    ours = runs["affinage"]
    print(f"{asked.rows:,} rows, {size / 2**20:.0f} MiB\n\n| system | rows/s | affinage is faster by | peak memory |")
    print("| --- | ---: | ---: | ---: |")
    for system, measured in runs.items():
        ratios = [peer["seconds"] / own["seconds"] for own, peer in zip(ours, measured, strict=True)]
        speeds = sorted(asked.rows / one["seconds"] for one in measured)
        times = (
            ""
            if system == "affinage"
            else f"{statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"
        )
        peak = max(one["peak_bytes"] for one in measured) / 2**20
        middle = statistics.median(speeds)
        print(f"| {system} | {middle:,.0f} ({speeds[0]:,.0f} to {speeds[-1]:,.0f}) | {times} | {peak:,.0f} MiB |")
    for system, goal in ((SYSTEMS[2], 3.0), (SYSTEMS[1], 1.0)):
        ratio = statistics.median(p["seconds"] / o["seconds"] for o, p in zip(ours, runs[system], strict=True))
        print(f"- at least {goal:g} x {system}: {'met' if ratio >= goal else 'NOT met'} ({ratio:.2f} x)")
    return {"rows": asked.rows, "bytes": size, "tokenizer": Path(asked.tokenizer).name, "repetitions": runs}


def _measure(system: str, path: Path, folder: Path, tokenizer: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        own = system == "affinage"
        environment = {**os.environ, "AFFINAGE_CACHE": cache, "HF_DATASETS_CACHE": cache, "HF_HUB_OFFLINE": "1"}
        environment |= {"TOKENIZERS_PARALLELISM": "true" if own else "false", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "--worker", system, "--file", str(path), "--tokenizer", tokenizer]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{system} failed:\n{done.stdout}{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def affinage(file: str, tokenizer: str) -> dict[str, float]:
    """Records, one renderer, ids and weights in the token cache."""
    from transformers import AutoTokenizer

    from affinage.data.load import load_records
    from affinage.data.rendering.renderer import Renderer
    from affinage.data.streams.token_cache import TokenCache

    tokens = AutoTokenizer.from_pretrained(tokenizer)
    began = time.perf_counter()
    records = load_records([file]).records
    renderer = Renderer(tokens, system_prompt=None, learn_from="completions", context=1024, too_long="drop")
    TokenCache().rows(renderer, records)
    return _told(began)


def without_weights(file: str, tokenizer: str) -> dict[str, float]:
    """`datasets.map` on one string a row."""
    from transformers import AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(tokenizer)

    def encode(rows: dict[str, list[str]]) -> dict[str, Any]:
        both = zip(rows["prompt"], rows["response"], strict=True)
        texts = [f"### User:\n{prompt}\n\n### Assistant:\n{answer}</s>" for prompt, answer in both]
        return {"input_ids": tokens(texts, add_special_tokens=False)["input_ids"]}

    return _mapped(file, encode)


def with_weights(file: str, tokenizer: str) -> dict[str, float]:
    """`datasets.map` by the chat template, the prompt tokenised once more for the mask."""
    from transformers import AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(tokenizer)

    def encode(rows: dict[str, list[str]]) -> dict[str, Any]:
        asked = [[{"role": "user", "content": prompt}] for prompt in rows["prompt"]]
        answers = ({"role": "assistant", "content": answer} for answer in rows["response"])
        chats = [[*turns, answer] for turns, answer in zip(asked, answers, strict=True)]
        heads = tokens.apply_chat_template(asked, tokenize=True, add_generation_prompt=True, return_dict=False)
        whole = tokens.apply_chat_template(chats, tokenize=True, return_dict=False)
        masks = [[0] * len(head) + [1] * (len(ids) - len(head)) for head, ids in zip(heads, whole, strict=True)]
        return {"input_ids": whole, "completion_mask": masks}

    return _mapped(file, encode)


def _mapped(file: str, encode: Any) -> dict[str, float]:
    import datasets

    datasets.disable_progress_bars()
    began = time.perf_counter()
    rows = datasets.load_dataset("json", data_files=file, split="train")
    rows.map(encode, batched=True, num_proc=PROCESSES, remove_columns=rows.column_names)
    return _told(began)


def _told(began: float) -> dict[str, float]:
    seconds = time.perf_counter() - began
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"seconds": seconds, "peak_bytes": peak * 1024.0}


WORKERS = {SYSTEMS[0]: affinage, SYSTEMS[1]: without_weights, SYSTEMS[2]: with_weights}


def _large(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """`affinage tune` on a small and on a large file, a few steps each: memory must not follow the rows."""
    measured = []
    for rows in (asked.large // 100, asked.large):
        path = folder / f"{rows}.jsonl"
        size = write_rows(path, rows)
        out = folder / f"run-{rows}"
        command = [sys.executable, "-m", "affinage", "tune", str(path), "--out", str(out), "--json"]
        for setting in ("steps=20", "stream=true", "samples=0", "held_out=100", "validation=50", *SMALL_STEPS):
            command += ["--set", setting]
        began = time.time()
        done = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "AFFINAGE_CACHE": str(folder / "cache")},
        )  # fmt: skip
        first = _first_step(out / "metrics.jsonl", done, began)
        _, said = done.communicate()
        if done.returncode:
            raise SystemExit(f"affinage tune failed:\n{said}")
        training = json.loads((out / "evaluation.json").read_text())["training"]
        ledger = json.loads((out / "ledger.json").read_text())
        measured.append(
            {"rows": rows, "bytes": size, "first_step_s": first, "peak_bytes": training["peak_bytes"], "ledger": ledger}
        )
        print(
            f"{rows:,} rows ({size / 2**20:,.0f} MiB): first step after {first:.1f} s (start of the process and scoring "
            f"the untouched model included), peak memory {training['peak_bytes'] / 2**20:,.0f} MiB; ledger: "
            f"{ledger['read']:,} read"
        )
    peak = measured[-1]["peak_bytes"]
    print(f"- {asked.large:,} rows under 1 GiB: {'met' if peak < 2**30 else 'NOT met'} ({peak / 2**20:,.0f} MiB)")
    return {"measured": measured}


def _first_step(log: Path, process: subprocess.Popen[str], began: float) -> float:
    while process.poll() is None and not (log.exists() and b'"loss"' in log.read_bytes()):
        time.sleep(0.05)
    return time.time() - began


if __name__ == "__main__":
    main()
