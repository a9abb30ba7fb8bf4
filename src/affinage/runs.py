"""Run folders: a folder that explains itself."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from affinage.errors import InputError
from affinage.files import clear_sides, is_empty, write_json, write_text, writing
from affinage.recipe import Recipe, dump_recipe, load_recipe, make_recipe

SCHEMA = 1
INTERRUPTED = "interrupted"  # how a training ended that a person stopped


@dataclass(frozen=True, slots=True)
class Run:
    """One run on disk. Reads are fresh each time; nothing is kept in memory."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def recipe(self) -> Recipe:
        return make_recipe(load_recipe(self.folder / "recipe.yaml"), where=str(self.folder / "recipe.yaml"))

    @property
    def plan(self) -> dict[str, Any]:
        return self.read("plan.json")

    @property
    def ledger(self) -> dict[str, Any]:
        return self.read("ledger.json")

    @property
    def evaluation(self) -> dict[str, Any]:
        return self.read("evaluation.json")

    @property
    def model_folder(self) -> Path:
        return self.folder / "model"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def finished(self) -> bool:
        """Whether the result was saved, scored and explained, and nobody stopped it on the way there."""
        whole = (self.folder / "evaluation.json").exists() and self.model_folder.is_dir()
        if not whole or self.checkpoints.exists():  # they go last
            return False
        return (self.evaluation.get("training") or {}).get("ended") != INTERRUPTED

    def read(self, name: str) -> dict[str, Any]:
        """One of the run's JSON files.

        Raises:
            InputError: the run does not hold that file, or it is broken.
        """
        path = self.folder / name
        try:
            value = orjson.loads(path.read_bytes())
        except OSError:
            raise InputError(
                f"{self.folder} holds no {name}", fix=f"finish it: affinage tune --resume {self.folder}"
            ) from None
        except orjson.JSONDecodeError as error:
            raise InputError(f"{path} is not valid JSON: {error}") from None
        return dict(value)

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Write one of the run's JSON files, its schema number in front."""
        write_json(self.folder / name, {"schema": SCHEMA, **value})

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        path = self.folder / "metrics.jsonl"
        return [orjson.loads(line) for line in path.read_bytes().splitlines() if line] if path.exists() else []


def create_run(recipe: Recipe, folder: Path) -> Run:
    """A fresh folder with the recipe in it.

    Raises:
        InputError: the folder already holds something, or cannot be written.
    """
    with writing(folder):
        if folder.exists() and not is_empty(folder):
            other = "a finished run" if Run(folder).finished else "a run" if is_run(folder) else "files"
            raise InputError(f"{folder} already holds {other}", fix="name another --out (nothing is overwritten)")
        folder.mkdir(parents=True, exist_ok=True)
        clear_sides(folder)
        write_text(folder / "recipe.yaml", dump_recipe(recipe.model_copy(update={"out": folder})))
    return Run(folder)


def open_run(folder: Path | str) -> Run:
    """An existing run.

    Raises:
        InputError: there is none in this folder.
    """
    path = Path(folder)
    if not is_run(path):
        raise InputError(f"there is no run in {path}", fix="`affinage runs` lists the runs below this folder")
    return Run(path)


def is_run(folder: Path) -> bool:
    return (folder / "recipe.yaml").is_file()


def find_runs(below: Path) -> list[Run]:
    """All runs below a folder, oldest first."""
    found = [path.parent for path in below.glob("**/recipe.yaml") if "checkpoints" not in path.parts]
    return [Run(folder) for folder in sorted(found, key=lambda folder: (folder / "recipe.yaml").stat().st_mtime)]


def delete_run(run: Run) -> None:
    """Remove the folder."""
    shutil.rmtree(run.folder)


def free_name(stem: str, below: Path = Path("runs")) -> Path:
    """`runs/<stem>-1`, or the next number that is free."""
    number = 1
    while (below / f"{stem}-{number}").exists():
        number += 1
    return below / f"{stem}-{number}"
