"""A server that can be made to lack what real ones lack, and a load for it."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from typing import Any

from bench_agent.load.plan import Load, Request
from bench_agent.protocol import Point
from tests.bench_agent.serving import requests


class Prompts:
    """The same prompt for ever."""

    count = None

    def __init__(self, prompt: str | list[int], max_tokens: int = 64) -> None:
        self._request = Request(prompt, max_tokens)

    def __call__(self, index: int) -> Request:
        return self._request


@dataclass
class Engine:
    """A server that can be made to lack what a real one may lack.

    `refuses`: parts of a request that it refuses, each by itself. `usage`: asked, always, never.
    """

    refuses: tuple[str, ...] = ()
    status: int = 400
    usage: str = "asked"
    done: bool = True
    finish: str | None = "length"
    metrics: str = "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 0\n"
    version: str | None = "0.33.0"
    tokenizer: bool = True
    models: dict[str, int | None] | None = field(default_factory=lambda: {"m": 4096})
    key: str | None = None
    longest_prompt: int = 1000
    instead: bytes | None = None  # said to every completion
    log: list[tuple[str, bytes, Any]] = field(default_factory=list)

    def __call__(self, sock: socket.socket) -> None:
        for raw in requests(sock):
            head, _, body = raw.partition(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            data = json.loads(body) if body else None
            self.log.append((path, head, data))
            sock.sendall(self.answer(path, head, data))

    @property
    def sent(self) -> list[Any]:
        """The bodies of all completions."""
        return [data for path, _head, data in self.log if "completions" in path]

    def answer(self, path: str, head: bytes, data: Any) -> bytes:
        if self.key and f"Bearer {self.key}".encode() not in head:
            return whole(401, {"error": "who are you?"})
        if path in ("/v1/completions", "/v1/chat/completions"):
            return self.instead or self.complete(head, data)
        page = self.pages().get(path)
        return whole(200, page) if page else whole(404, {"detail": "Not Found"})

    def pages(self) -> dict[str, Any]:
        models = [{"id": name, "max_model_len": n} for name, n in (self.models or {}).items()]
        tokens = {"count": 2, "max_model_len": 4096, "tokens": [1, 2]}
        return {
            "/metrics": self.metrics,
            "/version": self.version and {"version": self.version},
            "/tokenize": self.tokenizer and tokens,
            "/v1/models": None if self.models is None else {"data": models},
        }

    def complete(self, head: bytes, data: Any) -> bytes:
        there = {
            "ignore_eos": "ignore_eos" in data,
            "stream_options": "stream_options" in data,
            "token_ids": isinstance(data.get("prompt"), list),
            "request_id": b"X-Request-Id" in head,
            "everything": True,
        }
        for part in self.refuses:
            if there[part]:
                return whole(self.status, {"error": f"{part}, no thanks, {self.key}"})
        if len(data.get("prompt", "")) > self.longest_prompt:
            return whole(400, {"error": "too long"})
        if self.models is not None and data["model"] not in self.models:
            return whole(404, {"error": "no such model"})
        return self.stream("messages" in data, there["stream_options"])

    def stream(self, chat: bool, asked: bool) -> bytes:
        def event(finish: str | None) -> dict[str, Any]:
            said = {"delta": {"content": " a"}} if chat else {"text": " a"}
            return {"choices": [{"index": 0, **said, "finish_reason": finish}]}

        events = [event(None), event(self.finish)]
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        if self.usage == "always":
            events[-1]["usage"] = usage
        elif self.usage == "asked" and asked:
            events.append({"choices": [], "usage": usage})
        texts = [json.dumps(each) for each in events] + ["[DONE]"] * self.done
        body = "".join(f"data: {text}\n\n" for text in texts)
        return whole(200, body, "text/event-stream")


def whole(status: int, body: Any, kind: str = "application/json", more: str = "") -> bytes:
    """A reply with its length."""
    text = (body if isinstance(body, str) else json.dumps(body)).encode()
    head = f"HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\n{more}content-length: {len(text)}"
    return f"{head}\r\n\r\n".encode() + text


def load(base: str, **changes: Any) -> Load:
    """A load of token ids on the server at *base*."""
    values: dict[str, Any] = {
        "name": "run/probe",
        "point": Point("probe", num_prompts=1),
        "base_urls": (base,),
        "model": "m",
        "api": "completions",
        "requests": Prompts([5, 6, 7]),
        "timeout_s": 10.0,
    }
    return Load(**{**values, **changes})
