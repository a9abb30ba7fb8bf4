"""The address of an OpenAI-compatible server: checked, told without its key, and opened."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from affinage.errors import InputError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible address.

    Attributes:
        url: base URL, `/v1` included where the server has it.
        key: sent as a bearer token; never shown.
    """

    url: str
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{self.url!r} is not the URL of an endpoint", fix="such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password:
            raise InputError("the URL holds a password", fix="put the key into an environment variable: --key-env NAME")

    @property
    def host(self) -> str:
        """Name and port."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    @property
    def encrypted(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    @property
    def here(self) -> bool:
        """Whether the endpoint is on this machine, so that nothing leaves it."""
        name = str(urlsplit(self.url).hostname)
        if name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or address.is_unspecified

    def client(self, timeout: float) -> Any:
        """An `openai.OpenAI` that asks this address and no other: no redirects, and no proxy to this machine.

        It tries nothing again by itself. `timeout` is in seconds.

        Raises:
            InputError: the openai client is not installed.
        """
        try:
            import openai
        except ImportError:
            raise InputError(
                "other models are reached with the openai client", fix="pip install 'affinage[synthesis]'"
            ) from None
        http = openai.DefaultHttpxClient(follow_redirects=False, trust_env=not self.here)
        return openai.OpenAI(
            api_key=self.key or "none", base_url=self.url, timeout=timeout, max_retries=0, http_client=http
        )

    def hide(self, text: str) -> str:
        """`text` without the key."""
        return text.replace(self.key, "***") if self.key else text
