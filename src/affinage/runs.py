"""Run folders: a folder that explains itself. Everything is written to a side file first and renamed into place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from affinage.errors import InputError, RunError
from affinage.recipe import Recipe, dump_recipe, load_recipe, make_recipe

SCHEMA = 1


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
        """Whether the result was saved and scored."""
        return (self.folder / "evaluation.json").exists() and self.model_folder.is_dir()

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
        if folder.exists() and any(folder.iterdir()):
            other = "a finished run" if Run(folder).finished else "a run" if is_run(folder) else "files"
            raise InputError(f"{folder} already holds {other}", fix="name another --out (nothing is overwritten)")
        folder.mkdir(parents=True, exist_ok=True)
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


def write_json(path: Path, value: Any) -> None:
    """Atomic; numpy scalars and paths are taken, a value that is not a number becomes null."""
    raw = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY, default=str)
    write_bytes(path, raw + b"\n")


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, raw: bytes) -> None:
    """Atomic: a reader sees the old file or the new one, never a part."""
    with writing(path):
        side = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with side.open("wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            side.replace(path)
        finally:
            side.unlink(missing_ok=True)


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """A side folder to fill, renamed to `path` when all went well and removed when not."""
    side = path.with_name(f".{path.name}.{os.getpid()}")
    shutil.rmtree(side, ignore_errors=True)
    with writing(path):
        side.mkdir(parents=True)
        try:
            yield side
            old = path.with_name(f".{path.name}.old")
            if path.exists():
                shutil.rmtree(old, ignore_errors=True)
                path.rename(old)
            side.rename(path)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(side, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's write errors into messages that say what to do."""
    try:
        yield
    except PermissionError as error:
        raise InputError(f"no permission to write {error.filename or path}", fix="name another --out") from None
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{error.filename or path} is in the way: it is a file", fix="name another --out") from None
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}", fix="free some space; what was saved before is intact"
        ) from None


def append_line(path: Path, row: dict[str, Any]) -> None:
    """One JSON line at the end of a log."""
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
