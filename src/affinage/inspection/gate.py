"""What an error finding means: no run starts."""

from __future__ import annotations

from affinage.errors import InputError
from affinage.inspection.findings import Findings, places


def refuse_errors(findings: Findings) -> None:
    """Let data through that have warnings and notes at most.

    Raises:
        InputError: names every error finding with its code and places, and the first one's way out.
    """
    errors = findings.of("error")
    if not errors:
        return
    told = [f"{found.message} [{found.code}]{_at(found.examples)}" for found in errors]
    raise InputError("\n".join(told), fix=errors[0].fix or f"affinage inspect --explain {errors[0].code}")


def _at(found: tuple[dict[str, object], ...]) -> str:
    return f" at {places(found)}" if found else ""
