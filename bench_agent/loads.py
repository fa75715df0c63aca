"""From a spec to the loads of its points."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from bench_agent import workloads
from bench_agent.client import Client
from bench_agent.load.plan import Load, LoadError, Requests
from bench_agent.load.pool import STREAMS_A_WORKER
from bench_agent.probe import Server
from bench_agent.protocol import Point, RunSpec, Search
from bench_agent.recount import recount
from bench_agent.specs import at_once
from bench_agent.tokenizer import ServerTokenizer, Tokenizer
from bench_agent.workloads import WorkloadError

WARM_UP = "warm-up"


def workers(spec: RunSpec) -> int:
    """How many processes the load takes."""
    if spec.workers is not None:
        return spec.workers
    return max(
        1, min(os.cpu_count() or 1, -(-most_at_once(spec.points, spec.search) // STREAMS_A_WORKER))
    )


def most_at_once(points: Sequence[Point], search: Search | None) -> int:
    """Most requests at once in any point or step of the search."""
    steps = [search_point(search, 0)] if search else []
    return max(map(at_once, [*points, *steps]))


def search_point(search: Search, number: int, value: float | None = None) -> Point:
    """Point *number*, which tries *value* (by default the highest)."""
    value = search.high if value is None else value
    whole = search.over == "max_concurrency"
    label = f"c{value:.0f}" if whole else f"qps{value:.6g}"
    return Point(
        f"{number:02d}-search-{label}",
        num_prompts=search.num_prompts,
        duration_s=search.duration_s,
        max_concurrency=int(value) if whole else None,
        request_rate=None if whole else value,
        burstiness=search.burstiness,
    )


class Loads:
    """Makes the loads of a run as its server can take them (`server`, once it was probed)."""

    def __init__(self, spec: RunSpec, secret: str | None, tick: Callable[[], bool]) -> None:
        self.server = Server()
        self.template: int | None = None  # tokens of the chat template, once a load was made
        self._spec = spec
        self._secret = secret
        self._tick = tick
        self._client: Client | None = None
        self._tokens: ServerTokenizer | None = None

    def of(self, point: Point) -> Load:
        """The load of a point.

        Raises:
            LoadError: the workload cannot be put on.
        """
        requests = self._requests(point.name)
        self.template = getattr(requests, "template", None)
        return self.server.adapt(self._load(point, requests))

    def warm_up(self, point: Point) -> Load:
        """The requests before *point*, at its concurrency and as fast as it lets."""
        name = f"{WARM_UP}/{point.name}"
        first = Point(name, self._spec.num_warmups, point.max_concurrency)
        return self.server.adapt(self._load(first, self._requests(name)))

    def probing(self) -> Load:
        """What the probe sends: a request that is like no other."""
        return self._load(Point("probe", 1), self._requests("probe", alone=True))

    def recount(self, records: Path) -> None:
        """Have the server's tokenizer count what its streams did not, stopped or not."""
        with closing(self._new_client(None)) as client:
            recount(records, ServerTokenizer(client, self._spec.target.model))

    def close(self) -> None:
        """End the connection to the tokenizer."""
        if self._client is not None:
            self._client.close()

    def _requests(self, stream: str, *, alone: bool = False) -> Requests:
        """*alone*: without asking the server for its tokenizer."""
        spec = self._spec
        ids = self.server.token_ids or spec.target.api == "chat"
        tokens = self._tokenizer() if self.server.tokenize and not alone and ids else None
        try:
            api = spec.target.api if ids else "chat"  # text is what chat prompts are
            return workloads.requests(spec.workload, api, stream, tokens)
        except WorkloadError as error:
            raise LoadError(str(error)) from None

    def _tokenizer(self) -> Tokenizer:
        """One for the run: what it was asked once, it need not be asked again."""
        if self._tokens is None:
            self._client = self._new_client(self._tick)
            model = self._spec.target.model
            self._tokens = ServerTokenizer(self._client, model, self._spec.extra_body)
        return self._tokens

    def _new_client(self, tick: Callable[[], bool] | None) -> Client:
        target = self._spec.target
        return Client(
            target.base_urls[0],
            key=self._secret,
            ca_file=target.ca_file,
            insecure=target.insecure,
            tick=tick,
        )

    def _load(self, point: Point, requests: Requests) -> Load:
        spec = self._spec
        return Load(
            # Streams of their own: a prompt that was sent before would be in the prefix cache.
            name=f"{spec.run_id}/{point.name}",
            point=point,
            base_urls=spec.target.base_urls,
            model=spec.target.model,
            api=spec.target.api,
            requests=requests,
            seed=spec.workload.seed,
            api_key=self._secret,
            routing=spec.target.routing,
            ca_file=spec.target.ca_file,
            insecure=spec.target.insecure,
            timeout_s=spec.limits.request_timeout_s,
            stall_timeout_s=spec.limits.stall_timeout_s,
            ignore_eos=spec.ignore_eos,
            keep_texts=spec.keep_texts,
            temperature=spec.temperature,
            extra_body=spec.extra_body,
            workers=workers(spec),
        )
