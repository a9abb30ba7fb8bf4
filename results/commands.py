"""From an entry of runs.yaml to the commands that a reader types in the repository's root, and how entries are named."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

HERE = Path(__file__).parent
RUNS = "runs/results"  # where the run folders and cut files go; not kept
NAMED = ("model", "objective", "train")  # recipe keys that have an option of their own
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """One run: its name, the section it belongs to, and what runs.yaml says."""

    name: str
    section: str
    recipe: dict[str, Any]
    cut: dict[str, Any] | None = None
    test: str | None = None

    def commands(self, data: str) -> list[list[str]]:
        """What to run, in order; `data` is the folder of real data."""
        first = []
        if self.cut:
            source, target = f"{data}/{self.cut['file']}", self._data(data)
            first = [["python", "results/cut.py", source, target, str(self.cut["characters"])]]
        test = [["affinage", "eval", self.folder, "--data", f"{data}/{self.test}"]] if self.test else []
        return [*first, self._tune(data), *test]

    @property
    def folder(self) -> str:
        """The run's folder."""
        return f"{RUNS}/{self.name}"

    def _data(self, data: str) -> str:
        return f"{RUNS}/{self.recipe['data']}" if self.cut else f"{data}/{self.recipe['data']}"

    def _tune(self, data: str) -> list[str]:
        command = ["affinage", "tune", self._data(data)]
        for key in NAMED:
            if key in self.recipe:
                value = str(self.recipe[key])
                command += [f"--{key}", in_data(value, data)]
        command += ["--out", self.folder]
        for key, value in self.recipe.items():
            if key not in (*NAMED, "data"):
                pairs = {f"{key}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {key: value}
                command += [word for k, v in pairs.items() for word in ("--set", f"{k}={v}")]
        return command


def in_data(value: str, data: str) -> str:
    """A model's place in the folder of real data; other values as they are."""
    return f"{data}/{value}" if value.startswith("models/") else value


def parser(about: str | None, names: str) -> argparse.ArgumentParser:
    """What every script is asked: names (none: all) and the folder of real data."""
    made = argparse.ArgumentParser(description=about)
    made.add_argument("names", nargs="*", help=f"{names} (default: all)")
    made.add_argument("--data", default="../shared", help="folder of real data, as seen from the repository's root")
    return made


def chosen(names: Sequence[str], known: Mapping[str, T]) -> list[T]:
    """Those of `known` that are named, or all.

    Raises:
        SystemExit: a name is unknown.
    """
    if unknown := set(names) - set(known):
        raise SystemExit(f"no such name: {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    return [known[name] for name in names or known]


def entries(path: Path = HERE / "runs.yaml") -> list[Entry]:
    """The runs in order."""
    sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        Entry(name, section, about["recipe"], about.get("cut"), about.get("test"))
        for section, part in sections.items()
        for name, about in part["runs"].items()
    ]


def titles(path: Path = HERE / "runs.yaml") -> dict[str, str]:
    """Section -> title, in order."""
    return {section: part["title"] for section, part in yaml.safe_load(path.read_text(encoding="utf-8")).items()}
