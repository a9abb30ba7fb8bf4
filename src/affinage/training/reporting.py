"""What a person sees while a run works: a plan, progress, a closing summary. Quiet when piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from affinage.training.loop import Step


class Reporter(Protocol):
    """Where a run tells what it does. Words go to stderr; stdout belongs to `--json`."""

    def note(self, text: str) -> None: ...
    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None: ...
    @contextmanager
    def stage(self, text: str, total: int) -> Iterator[Any]:
        """A piece of work of `total` parts; yields `progress(done, text)`."""
        ...


class Silent:
    """Says nothing (the library's default)."""

    def note(self, text: str) -> None:
        return

    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        return

    @contextmanager
    def stage(self, text: str, total: int) -> Iterator[Any]:
        yield lambda done, text="": None


class Console:
    """Rich on a terminal; without one, plain lines, at most one every few seconds."""

    def __init__(self, *, every: float = 8.0) -> None:
        from rich.console import Console as RichConsole

        self.console = RichConsole(file=sys.stderr, highlight=False, soft_wrap=True)
        self.every = every

    def note(self, text: str) -> None:
        self.console.print(text, markup=False)

    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        wide = max(len(name) for name, _ in rows)
        self.console.print(title, style="bold", markup=False)
        for name, text in rows:
            self.console.print(f"  {name:<{wide}}  {text}", markup=False)

    @contextmanager
    def stage(self, text: str, total: int) -> Iterator[Any]:
        if self.console.is_terminal:
            with self._bar(text, total) as advance:
                yield advance
        else:
            yield self._lines(text, total)

    @contextmanager
    def _bar(self, text: str, total: int) -> Iterator[Any]:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, TextColumn("{task.fields[said]}"), console=self.console, transient=True) as progress:
            task = progress.add_task(text, total=max(1, total), said="")
            yield lambda done, said="": progress.update(task, completed=done, said=said)

    def _lines(self, text: str, total: int) -> Any:
        last = time.monotonic()

        def advance(done: int, said: str = "") -> None:
            nonlocal last
            if time.monotonic() - last >= self.every and done < total:
                last = time.monotonic()
                self.note(f"{text}: {100 * done // max(1, total)} %  {said}")

        return advance


def step_line(step: Step, speed: float) -> str:
    """`loss 2.31  1,240 tokens/s`."""
    rate = f"  {speed:,.0f} tokens/s" if speed else ""
    return f"loss {step.loss:.3f}{rate}"
