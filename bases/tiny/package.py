"""Put a trained ``tiny`` into the package: the weights of a run in bfloat16, its tokenizer and configuration.

Usage::

    python package.py RUN OUT_DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

LIMIT = 12 * 2**20  # bytes of weights that the package may carry


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("run", type=Path, help="the last stage's run folder")
    parser.add_argument("out", type=Path, help="where the package keeps its base")
    args = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(args.run / "model", dtype=torch.bfloat16)
    model.save_pretrained(args.out)
    AutoTokenizer.from_pretrained(args.run / "model").save_pretrained(args.out)
    for path in args.out.iterdir():
        path.chmod(0o644)
    size = (args.out / "model.safetensors").stat().st_size
    if size > LIMIT:
        raise SystemExit(f"the weights take {size:,} bytes, more than {LIMIT:,}")
    print(f"{args.out}: {size:,} bytes of weights")


if __name__ == "__main__":
    main()
