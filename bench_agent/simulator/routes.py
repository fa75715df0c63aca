"""What each path answers."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from typing import Any

from bench_agent import __version__
from bench_agent.simulator import jobs, replies, tokens
from bench_agent.simulator.engine import Engine, Stream
from bench_agent.simulator.link import Link, Request
from bench_agent.simulator.meters import Meters
from bench_agent.simulator.options import Options
from bench_agent.simulator.refusal import Refusal, no_such_path, unauthorized, wrong_method
from bench_agent.simulator.truth import TruthLog

_METHODS = {
    "/health": "GET",
    "/version": "GET",
    "/metrics": "GET",
    "/truth": "GET",
    "/v1/models": "GET",
    "/tokenize": "POST",
    "/v1/completions": "POST",
    "/v1/chat/completions": "POST",
}
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Routes:
    """Answers requests: at once, or by handing them to the engine."""

    def __init__(self, options: Options, engine: Engine, meters: Meters, truth: TruthLog) -> None:
        self._options = options
        self._engine = engine
        self._meters = meters
        self._truth = truth
        self._created = int(time.time())
        self._serial = 0
        self._pages: dict[str, Callable[[Request], bytes]] = {
            "/health": lambda _: replies.whole(200, b""),
            "/version": lambda _: _json({"version": f"{__version__}+simulator"}),
            "/metrics": self._metrics,
            "/truth": self._truth_page,
            "/v1/models": lambda _: _json(self._models()),
            "/tokenize": lambda request: _json(self._tokenize(request.body)),
        }

    def answer(self, link: Link, request: Request) -> bytes | None:
        """The whole reply; None when the engine will send it.

        Raises:
            Refusal: the request is answered with an error.
        """
        self._check(request)
        page = self._pages.get(request.path)
        if page is not None:
            return page(request)
        self._generate(link, request)
        return None

    def _metrics(self, _request: Request) -> bytes:
        page = self._meters.render(self._options.model).encode()
        return replies.whole(200, page, _PROMETHEUS)

    def _check(self, request: Request) -> None:
        method = _METHODS.get(request.path)
        if request.path.startswith("/v1/") and not self._authorized(request):
            raise unauthorized()
        if method is None:
            raise no_such_path()
        if request.method != method:
            raise wrong_method()

    def _authorized(self, request: Request) -> bool:
        key = self._options.api_key
        given = request.head.fields.get("authorization", "")
        return not key or hmac.compare_digest(given.encode(), f"Bearer {key}".encode())

    def _models(self) -> dict[str, Any]:
        model = {
            "id": self._options.model,
            "object": "model",
            "created": self._created,
            "owned_by": "vllm",
            "root": self._options.model,
            "parent": None,
            "max_model_len": self._options.max_model_len,
        }
        return {"object": "list", "data": [model]}

    def _tokenize(self, body: bytes) -> dict[str, Any]:
        data = jobs.read_object(body)
        jobs.check_model(data, self._options)
        text = jobs.chat_text(data) if "messages" in data else data.get("prompt")
        if not isinstance(text, str):
            raise Refusal(400, "prompt must be a text.", "prompt")
        found = tokens.ids(text)
        limit = self._options.max_model_len
        return {"count": len(found), "max_model_len": limit, "tokens": found, "token_strs": None}

    def _truth_page(self, request: Request) -> bytes:
        pairs = dict(part.partition("=")[::2] for part in request.query.split("&") if part)
        since = pairs.get("since", "0")
        if not since.isdigit():
            raise Refusal(400, "since must be nanoseconds since the epoch.", "since")
        page = self._truth.dump(int(since), clear=pairs.get("clear") == "1")
        return replies.whole(200, page, "application/jsonl")

    def _generate(self, link: Link, request: Request) -> None:
        data = jobs.read_object(request.body)
        chat = request.path == "/v1/chat/completions"
        job = jobs.read_job(data, self._options, chat=chat)
        self._serial += 1
        request_id = request.head.fields.get("x-request-id") or f"{self._serial:032x}"
        script = replies.script(job, self._options.model, request_id, int(time.time()))
        self._engine.submit(Stream(link, job, script, request_id, request.arrived_ns))


def _json(data: Any) -> bytes:
    return replies.whole(200, replies.dump(data))
