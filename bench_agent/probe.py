"""One request before the load: what the server does not do, and what is done instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from bench_agent.client import Client, FetchError, StoppedError
from bench_agent.http1 import Head
from bench_agent.load.plan import (
    Load,
    LoadError,
    Prompt,
    Request,
    encode_body,
    encode_head,
    endpoint,
)
from bench_agent.load.sse import EventStream

Tick = Callable[[], bool]
#: Parts of a request that are left out, and what the server said of each.
Without = dict[str, str]

#: Tokens that the probe asks for; seconds that a look at a page may take.
_TOKENS = 8
_LOOK_S = 10.0
_LENGTHS = ("max_tokens", "max_completion_tokens", "min_tokens")
_TEXT = "hello hello hello hello"
#: Statuses that may mean a part of the request rather than the whole.
_REFUSALS = (400, 422, 500, 501)
#: What each part is called, and what is done without it.
_REFUSED = {
    "ignore_eos": ("ignore_eos", "it is left out, and replies may be shorter than asked for"),
    "stream_options": ("stream_options", "they are left out"),
    "token_ids": (
        "prompts of token ids",
        "text is sent, and a prompt is as long as the server's tokenizer makes it",
    ),
    "request_id": ("X-Request-Id", "requests that bear one will fail"),
}


class ProbeError(LoadError):
    """No load can be put on this server: what happened, and what to do."""


@dataclass(frozen=True)
class Server:
    """What a server does; true of what was not asked of it. `notes`: a sentence for each lack.

    `usage`: streams bear token counts. `done`: streams end with ``[DONE]``. `metrics`: vLLM's
    series. `max_model_len` is in tokens; None where the server does not say.
    """

    usage: bool = True
    done: bool = True
    ignore_eos: bool = True
    stream_options: bool = True
    token_ids: bool = True
    request_id: bool = True
    metrics: bool = True
    tokenize: bool = True
    max_model_len: int | None = None
    version: str | None = None
    notes: tuple[str, ...] = ()

    def adapt(self, load: Load) -> Load:
        """*load* as this server can take it; prompts of text are the workload's to make."""
        by_tokenizer = self.tokenize and not self.usage
        return replace(
            load,
            ignore_eos=load.ignore_eos and self.ignore_eos,
            usage=load.usage and self.stream_options and not by_tokenizer,
            keep_texts=load.keep_texts or by_tokenizer,
        )


def probe(load: Load, tick: Tick) -> Server:
    """Send request 0 of *load*, cut to a few tokens, to its first server, and look around there.

    *tick* is called often; False ends the wait.

    Raises:
        ProbeError: no such request succeeds, or the tick said so.
    """
    try:
        made = Client(
            load.base_urls[0],
            key=load.api_key,
            ca_file=load.ca_file,
            insecure=load.insecure,
            timeout_s=_LOOK_S,
            tick=tick,
        )
        with closing(made) as client:
            return _Prober(load, client).run()
    except StoppedError as error:
        raise ProbeError(str(error)) from None
    except FetchError as error:
        raise ProbeError(f"{error} Start the server, or correct the target's base_urls.") from None


@dataclass(frozen=True)
class _Reply:
    """What one request came to. `choices`: events that hold one; `error`: an event of that."""

    head: Head
    body: bytes
    choices: int = 0
    finish: str | None = None
    usage: dict[str, Any] | None = None
    done: bool = False
    error: bool = False

    @property
    def works(self) -> bool:
        return self.head.status == 200 and self.choices > 0 and not self.error

    @property
    def refused(self) -> bool:
        return self.head.status in _REFUSALS or self.error


def _read(head: Head, body: bytes) -> _Reply:
    events = EventStream()
    found = events.feed(body) + events.close() if head.status == 200 else []
    data = [_json(event) for event in found]
    choices = [choice for each in data if (choice := _choice(each)) is not None]
    usages = [each["usage"] for each in data if _is_usage(each.get("usage"))]
    return _Reply(
        head,
        body,
        choices=len(choices),
        finish=next((end for choice in choices if (end := choice.get("finish_reason"))), None),
        usage=usages[-1] if usages else None,
        done=b"[DONE]" in found,
        error=any(each.get("error") or each.get("object") == "error" for each in data),
    )


def _choice(event: dict[str, Any]) -> dict[str, Any] | None:
    found = event.get("choices")
    choice = found[0] if isinstance(found, list) and found else None
    return choice if isinstance(choice, dict) else None


def _is_usage(value: Any) -> bool:
    names = ("prompt_tokens", "completion_tokens")
    return isinstance(value, dict) and all(isinstance(value.get(name), int) for name in names)


def _json(text: bytes) -> dict[str, Any]:
    """The object in *text*; empty where there is none."""
    try:
        data = json.loads(text)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


class _Prober:
    def __init__(self, load: Load, client: Client) -> None:
        extra = {
            key: min(value, _TOKENS) if key in _LENGTHS and isinstance(value, int) else value
            for key, value in load.extra_body.items()
        }
        self._load = replace(load, extra_body=extra)
        self._client = client
        self._where = endpoint(load.base_urls[0], load.api)
        self._asked = load.requests(0)

    def run(self) -> Server:
        reply, without = self._find()
        unheeded = self._load.ignore_eos and "ignore_eos" not in without and reply.finish == "stop"
        status, page = self._look("GET", "/metrics")
        tokenize, longest = self._tokenizer()
        server = Server(
            usage=reply.usage is not None,
            done=reply.done,
            ignore_eos="ignore_eos" not in without and not unheeded,
            stream_options="stream_options" not in without,
            token_ids="token_ids" not in without,
            request_id="request_id" not in without,
            metrics=status == 200 and b"vllm:" in page,
            tokenize=tokenize,
            max_model_len=longest,
            version=self._version(),
        )
        notes = [_refusal(part, said) for part, said in without.items()]
        if unheeded:
            notes.append(
                "The server takes ignore_eos but does not heed it: replies may be shorter than "
                "asked for."
            )
        notes += [*_lacks(server, reply), *self._too_long(server, reply)]
        return replace(server, notes=tuple(notes))

    def _find(self) -> tuple[_Reply, Without]:
        """A reply that works, and the fewest parts of the request to leave out for it."""
        reply = first = self._ask({})
        without: Without = {}
        for part in self._parts():
            if not reply.refused:
                break
            without[part] = self._said(reply, 120)
            reply = self._ask(without)
        if not reply.works:
            raise ProbeError(self._why(first if reply.refused else reply))
        for part in list(without)[:-1]:  # the last one made the difference
            fewer = {each: said for each, said in without.items() if each != part}
            again = self._ask(fewer)
            if again.works:
                reply, without = again, fewer
            else:
                without[part] = self._said(again, 120)
        if "token_ids" in without and self._takes_few_ids(without):
            raise ProbeError(self._why(first))  # they were too many, or one of them none
        return reply, without

    def _takes_few_ids(self, without: Without) -> bool:
        fewer = {part: said for part, said in without.items() if part != "token_ids"}
        return self._ask(fewer, self._asked.prompt[:4]).works

    def _parts(self) -> list[str]:
        """What can be left out, likeliest first."""
        load = self._load
        there = {
            "ignore_eos": load.ignore_eos,
            "stream_options": load.usage,
            "token_ids": not isinstance(self._asked.prompt, str),
            "request_id": True,
        }
        return [part for part, is_there in there.items() if is_there]

    def _ask(self, without: Without, prompt: Prompt | None = None) -> _Reply:
        load = replace(
            self._load,
            ignore_eos=self._load.ignore_eos and "ignore_eos" not in without,
            usage=self._load.usage and "stream_options" not in without,
        )
        prompt = _TEXT if "token_ids" in without else prompt or self._asked.prompt
        body = encode_body(load, Request(prompt, min(self._asked.max_tokens, _TOKENS)))
        head = encode_head(load, self._where, 0, len(body))
        if "request_id" in without:
            lines = head.split(b"\r\n")
            head = b"\r\n".join(each for each in lines if not each.startswith(b"X-Request-Id:"))
        return _read(*self._client.exchange(head + body, self._load.timeout_s))

    def _look(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        try:
            return self._client.request(method, path, body)
        except StoppedError:
            raise
        except FetchError:
            return 0, b""

    def _version(self) -> str | None:
        status, page = self._look("GET", "/version")
        found = _json(page).get("version") if status == 200 else None
        return found if isinstance(found, str) else None

    def _tokenizer(self) -> tuple[bool, int | None]:
        """Whether there is one, and the most tokens that the model takes."""
        body = {"model": self._load.model, "prompt": _TEXT, "add_special_tokens": False}
        status, page = self._look("POST", "/tokenize", body)
        found = _json(page) if status == 200 else {}
        there = isinstance(found.get("tokens"), list)
        longest = found.get("max_model_len") if there else self._models().get(self._load.model)
        return there, longest if isinstance(longest, int) else None

    def _models(self) -> dict[str, Any]:
        """What the server serves, and the most tokens that each takes."""
        status, page = self._look("GET", "/v1/models")
        data = _json(page).get("data") if status == 200 else None
        entries = (
            [each for each in data if isinstance(each, dict)] if isinstance(data, list) else []
        )
        return {str(each["id"]): each.get("max_model_len") for each in entries if each.get("id")}

    def _too_long(self, server: Server, reply: _Reply) -> list[str]:
        prompt = self._asked.prompt_tokens
        if prompt is None and reply.usage is not None:
            prompt = reply.usage["prompt_tokens"]
        tokens = (prompt or 0) + self._asked.max_tokens
        if server.max_model_len is None or tokens <= server.max_model_len:
            return []
        return [f"A request comes to {tokens} tokens, but the model takes {server.max_model_len}."]

    def _why(self, reply: _Reply) -> str:
        """Why *reply* is no success, and what to do."""
        url, status, said = self._where.url, reply.head.status, self._said(reply, 300)
        if status in (401, 403):
            if self._load.api_key:
                return f"{url} refuses the key ({said}). Correct the file that api_key_file names."
            return f"{url} asks for a key ({said}). Name a file that holds it as api_key_file."
        if status == 404 or reply.refused:
            models = self._models()
            if models and self._load.model not in models:
                names = ", ".join(list(models)[:8])
                return f"{url} has no model {self._load.model} ({said}), it has {names}. Name one."
        if status == 404:
            ways = "Try the other api, and base_urls without /v1."
            return f"{url} has nothing at {self._where.path} ({said}). {ways}"
        return _why_no_tokens(url, reply, said)

    def _said(self, reply: _Reply, shown: int) -> str:
        """Status, and the first *shown* characters of the body, without the key."""
        text = " ".join(reply.body.decode(errors="replace").split())
        text = reply.head.fields.get("location") or text
        if self._load.api_key:
            text = text.replace(self._load.api_key, "[REDACTED]")
        return f"{reply.head.status}: {text[:shown]}" if text else str(reply.head.status)


def _why_no_tokens(url: str, reply: _Reply, said: str) -> str:
    if reply.refused:
        return f"{url} refuses the requests of this load ({said}). Correct what they ask for."
    if reply.head.status != 200:
        return f"{url} answers requests with {said}. See what runs there, and what it logs."
    if reply.body.lstrip().startswith((b"data:", b"event:", b":")):
        return f"{url} ends its stream without a token ({said}). See what it logs."
    return f"{url} answers with no event stream ({said}). Give a server that streams."


def _refusal(part: str, said: str) -> str:
    name, remedy = _REFUSED[part]
    return f"The server refuses {name} ({said}): {remedy}."


def _lacks(server: Server, reply: _Reply) -> list[str]:
    notes = []
    if not server.usage and server.tokenize:
        notes.append(
            "Streams bear no token counts: replies are kept, and the server's /tokenize counts "
            "their tokens."
        )
    elif not server.usage:
        notes.append(
            "Streams bear no token counts and there is no /tokenize: token figures cannot be had, "
            "and requests will count as failed with no_usage."
        )
    elif not server.tokenize:
        notes.append("There is no /tokenize: prompts of text cannot be cut to exact lengths.")
    if not server.done:
        notes.append(
            "Streams end without [DONE]: the finish reason and the end of the reply stand for it."
        )
    if reply.finish is None:
        notes.append("Streams bear no finish reason: requests will count as failed with truncated.")
    if not server.metrics:
        notes.append(
            "There are no vLLM series at /metrics: queue, cache and preemptions are not seen, and "
            "tokens are not compared."
        )
    if server.version is None:
        notes.append("There is no /version: the engine's is not known.")
    return notes
