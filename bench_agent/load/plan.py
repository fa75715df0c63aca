"""One load, as the client needs it: where, what, how many at once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from bench_agent.protocol import Point

#: Text, or token ids (completions alone).
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
    tls: bool = False


@dataclass(frozen=True)
class Request:
    """What a workload says of one request. `due_s`: seconds from the start, in a trace."""

    prompt: Prompt
    max_tokens: int
    prompt_tokens: int | None = None
    due_s: float | None = None


class Requests(Protocol):
    """A workload's requests by index; `count` None: there is no end to them."""

    count: int | None

    def __call__(self, index: int) -> Request:
        """Request *index*: the same at any time, in any process."""


@dataclass(frozen=True)
class Load:
    """Everything a worker needs to know. `name` (run and point) makes request ids unique.

    `point` says how much, how fast and when (see `protocol.Point`); `seed` makes the arrivals.
    `usage` asks the server for token counts in the stream; `keep_texts` keeps the replies.
    """

    name: str
    point: Point
    base_urls: tuple[str, ...]
    model: str
    api: str
    requests: Requests
    seed: int = 0
    api_key: str | None = None
    routing: str = "round_robin"
    ca_file: str | None = None
    insecure: bool = False
    timeout_s: float = 600.0
    stall_timeout_s: float = 120.0
    ignore_eos: bool = True
    usage: bool = True
    keep_texts: bool = False
    temperature: float | None = None
    extra_body: dict[str, Any] = field(default_factory=dict)
    workers: int = 1

    @property
    def total(self) -> int | None:
        """How many requests there can be at the most; None: until the time is over."""
        ends = [n for n in (self.point.num_prompts, self.requests.count) if n is not None]
        return min(ends, default=None)


def endpoint(base_url: str, api: str) -> Endpoint:
    """Where requests of *api* go below *base_url*.

    Raises:
        LoadError: not an http or https URL, or one with a password in it.
    """
    try:
        parts = urlsplit(base_url)
        secure = parts.scheme == "https"
        port = (443 if secure else 80) if parts.port is None else parts.port
        good = parts.scheme in ("http", "https") and parts.hostname and port
    except ValueError:
        good = None
    if not good or "@" in parts.netloc:  # not repeated where it may hold a password
        shown = "The server's URL" if "@" in base_url else base_url
        raise LoadError(
            f"{shown} is not a plain http:// or https:// URL. Give one like http://127.0.0.1:8000."
        )
    tail = "/v1/chat/completions" if api == "chat" else "/v1/completions"
    address = (parts.hostname or "", port)
    return Endpoint(base_url, address, parts.netloc, parts.path.rstrip("/") + tail, secure)


def request_id(name: str, index: int) -> str:
    """The id of request *index*, in the shape of a UUID: some servers refuse any other."""
    h = hashlib.sha256(f"{name}/{index}".encode()).hexdigest()
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-8{h[17:20]}-{h[20:32]}"


def encode_body(load: Load, request: Request) -> bytes:
    """The JSON of *request*."""
    body: dict[str, Any] = {"model": load.model}
    if load.api == "chat":
        body["messages"] = [{"role": "user", "content": request.prompt}]
    else:
        body["prompt"] = request.prompt
    body |= {"max_tokens": request.max_tokens, "stream": True}
    if load.usage:
        body["stream_options"] = {"include_usage": True}
    if load.ignore_eos:
        body["ignore_eos"] = True
    if load.temperature is not None:
        body["temperature"] = load.temperature
    return json.dumps(body | load.extra_body, separators=(",", ":")).encode()


def encode_head(load: Load, where: Endpoint, index: int, length: int) -> bytes:
    """What goes before the *length* bytes of request *index*."""
    fields = [
        f"POST {where.path} HTTP/1.1",
        f"Host: {where.host}",
        "User-Agent: bench-agent",
        "Accept: text/event-stream",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        f"X-Request-Id: {request_id(load.name, index)}",
    ]
    if load.api_key:
        fields.append(f"Authorization: Bearer {load.api_key}")
    return "\r\n".join([*fields, "", ""]).encode("latin-1")
