"""Foreign noise, silenced in one place: warnings, advice, progress bars and telemetry of the libraries below."""

from __future__ import annotations

import logging
import os
import warnings

_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
_LOGGERS = ("transformers", "peft", "huggingface_hub", "datasets", "torch", "matplotlib", "httpx", "py.warnings")


def silence(*, debug: bool) -> None:
    """Call before anything heavy is imported. What stands in the environment stays; `--debug` hides nothing."""
    for name in ("HF_HUB_DISABLE_TELEMETRY", "TOKENIZERS_PARALLELISM"):
        os.environ.setdefault(name, _ENVIRONMENT[name])
    if debug:
        return
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
