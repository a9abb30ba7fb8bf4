"""Writing files so that a kill or a full disk leaves the old one or the new one, never a part."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from safetensors import SafetensorError

from affinage.errors import InputError, RunError

_SIDE = re.compile(r"\.(recipe\.yaml|.+\.jsonl?|.+\.md|.+\.html|model|checkpoints)\.(\d+|old)")


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


def remove_folder(path: Path) -> None:
    """Remove `path` as a whole: killed half-way, nothing is left under its name."""
    old = path.with_name(f".{path.name}.old")
    with writing(path):
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)
        shutil.rmtree(old, ignore_errors=True)


def clear_sides(folder: Path) -> None:
    """Remove what a killed process has left half written in `folder`."""
    for path in folder.iterdir():
        if _SIDE.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def is_empty(folder: Path) -> bool:
    """Whether nothing but such leftovers stands in `folder`."""
    return all(_SIDE.fullmatch(path.name) for path in folder.iterdir())


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's write errors into messages that say what to do."""
    try:
        yield
    except PermissionError as error:
        raise InputError(f"no permission to write {error.filename or path}", fix="name another --out") from None
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{error.filename or path} is in the way: it is a file", fix="name another --out") from None
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(
            f"cannot write {path}: {reason}", fix="free some space; what was saved before is intact"
        ) from None


def append_line(path: Path, row: dict[str, Any]) -> None:
    """One JSON line at the end of a log."""
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(orjson.dumps(row).decode() + "\n")
