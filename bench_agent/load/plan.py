"""One load, as the client needs it: where, what, how many at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

#: Text for chat, token ids for completions.
Prompt = str | list[int]


class LoadError(Exception):
    """The load cannot be put on as it is asked for."""


@dataclass(frozen=True)
class Endpoint:
    """One server: `address` for the connection, `host` for the head, `path` for the request."""

    url: str
    address: tuple[str, int]
    host: str
    path: str


@dataclass(frozen=True)
class Load:
    """Everything a worker needs to know. `name` (run and point) makes request ids unique."""

    name: str
    base_urls: tuple[str, ...]
    model: str
    api: str
    prompt: Callable[[int], Prompt]
    output_len: int
    num_prompts: int
    max_concurrency: int | None = None
    request_rate: float | None = None
    api_key: str | None = None
    timeout_s: float = 600.0
    ignore_eos: bool = True
    temperature: float | None = None
    extra_body: dict[str, Any] = field(default_factory=dict)
    workers: int = 1

    @property
    def streams(self) -> int:
        """Most requests at once."""
        return min(self.num_prompts, self.max_concurrency or self.num_prompts)


def endpoint(base_url: str, api: str) -> Endpoint:
    """Where requests of *api* go below *base_url*.

    Raises:
        LoadError: not a plain http URL.
    """
    parts = urlsplit(base_url)
    try:
        port = 80 if parts.port is None else parts.port
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        raise LoadError(
            f"{base_url} is not a plain http:// URL. Give one like http://127.0.0.1:8000."
        )
    tail = "/v1/chat/completions" if api == "chat" else "/v1/completions"
    address = (parts.hostname, port)
    return Endpoint(base_url, address, parts.netloc, parts.path.rstrip("/") + tail)


def request_id(name: str, index: int) -> str:
    """The id of request *index*, in the shape of a UUID: some servers refuse any other."""
    h = hashlib.sha256(f"{name}/{index}".encode()).hexdigest()
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-8{h[17:20]}-{h[20:32]}"


def encode_request(load: Load, index: int, where: Endpoint) -> bytes:
    """The bytes of request *index*."""
    prompt = load.prompt(index)
    body: dict[str, Any] = {"model": load.model}
    if load.api == "chat":
        body["messages"] = [{"role": "user", "content": prompt}]
    else:
        body["prompt"] = prompt
    body |= {
        "max_tokens": load.output_len,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if load.ignore_eos:
        body["ignore_eos"] = True
    if load.temperature is not None:
        body["temperature"] = load.temperature
    payload = json.dumps(body | load.extra_body, separators=(",", ":")).encode()
    fields = [
        f"POST {where.path} HTTP/1.1",
        f"Host: {where.host}",
        "User-Agent: bench-agent",
        "Accept: text/event-stream",
        "Content-Type: application/json",
        f"Content-Length: {len(payload)}",
        f"X-Request-Id: {request_id(load.name, index)}",
    ]
    if load.api_key:
        fields.append(f"Authorization: Bearer {load.api_key}")
    return "\r\n".join([*fields, "", ""]).encode("latin-1") + payload
