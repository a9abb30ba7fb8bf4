"""Who answers in a synthesis: an OpenAI-compatible endpoint, or a run or model on this machine."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from affinage.errors import InputError

if TYPE_CHECKING:
    from affinage.generation.chats import Generator
    from affinage.generation.endpoint import Endpoint

KEY = "OPENAI_API_KEY"


@dataclass(slots=True)
class Teacher:
    """A teacher as it was named on the command line; `open` makes it ready.

    Attributes:
        endpoint: None for a run or model on this machine.
        key_name: the environment variable whose value is sent; empty where none is.
    """

    name: str
    model: str | None
    endpoint: Endpoint | None
    key_name: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def here(self) -> bool:
        """Whether nothing leaves this machine."""
        return self.endpoint is None or self.endpoint.here

    @property
    def words(self) -> str:
        """`gpt-x at api.example.com (https, key from OPENAI_API_KEY)`."""
        if self.endpoint is None:
            return f"{self.name}, on this machine"
        about = ["https" if self.endpoint.encrypted else "http, not encrypted"]
        about = ["this machine"] if self.endpoint.here else about
        about += [f"key from {self.key_name}"] if self.key_name else []
        return f"{self.model or 'the one model'} at {self.endpoint.host} ({', '.join(about)})"

    def open(self, *, retries: int, timeout: float, device: str | None, threads: int | None) -> Generator:
        """The model behind the name.

        Raises:
            InputError: it does not exist, cannot write, or it is not clear which model of an endpoint is meant.
        """
        if self.endpoint is None:
            return _local(self.name, device, threads)
        from affinage.generation.remote import RemoteGenerator

        remote = RemoteGenerator(self.endpoint, self.model or "", retries=retries, timeout=timeout, stop=self.stop)
        if not self.model:
            remote.model = self.model = _only(remote.models(), self.endpoint.host)
        return remote


def find_teacher(name: str, model: str | None, key_env: str | None) -> Teacher:
    """What `--teacher` names.

    The usual key goes to other machines over an encrypted connection only; anything else gets a key when its variable
    was named.

    Raises:
        InputError: no such thing, a key is missing, or an option does not go with it.
    """
    if "://" not in name:
        if name.partition(":")[0] in ("localhost", "127.0.0.1") and not Path(name).exists():
            raise InputError(f"--teacher {name}: a URL begins with http://", fix=f"--teacher http://{name}")
        if model or key_env:
            option = "--teacher-model" if model else "--key-env"
            raise InputError(f"{option} is for endpoints; {name} is on this machine", fix="leave it out")
        return Teacher(name, None, None)
    from affinage.generation.endpoint import Endpoint

    endpoint = Endpoint(name)
    variable = key_env or (KEY if endpoint.encrypted and not endpoint.here else "")
    key = os.environ.get(variable, "").strip() if variable else ""
    if variable and not key:
        raise InputError(
            f"{endpoint.host} needs a key, and the environment variable {variable} is not set",
            fix=f"export {variable}=..., or name another variable with --key-env",
        )
    if not key.isascii() or any(char.isspace() for char in key):
        raise InputError(f"the key in {variable} holds spaces or characters that no key has", fix="set it again")
    return Teacher(name, model, Endpoint(name, key), variable)


def _only(models: list[str], host: str) -> str:
    if len(models) == 1:
        return models[0]
    said = f"{host} serves {', '.join(models[:8])}" if models else f"{host} does not say which models it serves"
    raise InputError(said, fix="choose one with --teacher-model NAME")


def _local(name: str, device: str | None, threads: int | None) -> Generator:
    from affinage.data.records import digest
    from affinage.generation.engine import LocalGenerator
    from affinage.models.fingerprints import hash_base
    from affinage.runs import open_run
    from affinage.synthesis.local import LocalTeacher
    from affinage.use import load

    adapted = load(name, device=device, threads=threads)
    if adapted.objective not in (None, "sft", "pretrain", "dpo"):
        raise InputError(f"{name} was tuned to {adapted.objective} and cannot write", fix="name another --teacher")
    renderer, base = adapted.renderer, adapted.base
    writer = LocalGenerator(
        adapted.model, renderer.tokenizer, stop_ids=renderer.stop_ids, pad_id=renderer.pad_id, context=renderer.context
    )
    # the weights belong to the name: answers of a run that was tuned anew are no longer its own
    mark = open_run(base.run).read("fingerprint.json") if base.run is not None else hash_base(base)
    return LocalTeacher(writer, renderer, f"{name}#{digest(mark)[:8]}")
