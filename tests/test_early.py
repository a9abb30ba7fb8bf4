"""The native libraries are told before they load, and a person's own settings stay."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHOW = "import affinage, os; print(os.environ.get('GOMP_SPINCOUNT'), os.environ['LRU_CACHE_CAPACITY'])"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "1000 32"),
        ({"GOMP_SPINCOUNT": "7", "LRU_CACHE_CAPACITY": "9"}, "7 9"),
        ({"OMP_WAIT_POLICY": "active"}, "None 32"),
    ],
)
def test_what_nobody_has_set_is_set(settings: dict[str, str], told: str) -> None:
    names = ("GOMP_SPINCOUNT", "LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "OMP_WAIT_POLICY")
    environment = {key: value for key, value in os.environ.items() if key not in names} | settings
    done = subprocess.run([sys.executable, "-c", SHOW], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == told
