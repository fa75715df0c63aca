"""The server's /metrics, under vLLM's names."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from bench_agent.client import Client, FetchError
from bench_agent.protocol import Target

TIMEOUT_S = 1.5
#: A server without /metrics is asked again only after so long.
BACK_OFF_S = 10.0
GAUGES = ("running", "waiting", "kv_cache_usage")
_PREFIX = "vllm:"
_NAMES = {
    "num_requests_running": "running",
    "num_requests_waiting": "waiting",
    "kv_cache_usage_perc": "kv_cache_usage",
    "num_preemptions_total": "preemptions",
    "prefix_cache_queries_total": "prefix_cache_queries",
    "prefix_cache_hits_total": "prefix_cache_hits",
    "prompt_tokens_total": "prompt_tokens",
    "generation_tokens_total": "generation_tokens",
    "request_success_total": "requests.",
    "spec_decode_num_drafts_total": "spec_decode.num_drafts",
    "spec_decode_num_draft_tokens_total": "spec_decode.num_draft_tokens",
    "spec_decode_num_accepted_tokens_total": "spec_decode.num_accepted_tokens",
    "spec_decode_num_accepted_tokens_per_pos_total": "spec_decode.per_pos.",
} | {
    f"{name}_seconds_{part}": f"{short}_{part}"
    for name, short in (
        ("time_to_first_token", "ttft"),
        ("request_queue_time", "queue"),
        ("request_prefill_time", "prefill"),
        ("e2e_request_latency", "e2el"),
    )
    for part in ("sum", "count")
}
#: What tells the series of one name apart, beside the engine. Names that need it end in a dot.
_LABEL = re.compile(r'(?:finished_reason|position)="([^"]*)"')


def parse(page: bytes) -> dict[str, float]:
    """The figures that are watched, all engines together, out of a page in text format.

    ``requests.stop``: that counter with that label; ``ttft_sum`` (s) and ``ttft_count``.
    """
    found: dict[str, float] = {}
    for line in page.decode(errors="replace").split("\n"):
        if not line.startswith(_PREFIX):
            continue
        name, brace, rest = line[len(_PREFIX) :].partition("{")
        if not brace:
            name, _, rest = name.partition(" ")
        key = _NAMES.get(name)
        if key is None:
            continue
        labels, _, text = rest.rpartition("}") if brace else ("", "", rest)
        if key.endswith("."):
            label = _LABEL.search(labels)
            key += label[1] if label else "unknown"
        _add(found, key, _number(text))
    return found


def _number(text: str) -> float:
    """The value; a time stamp may follow it."""
    try:
        return float(text.split(maxsplit=1)[0])
    except (ValueError, IndexError):
        return math.nan


def _add(found: dict[str, float], key: str, value: float) -> None:
    if math.isfinite(value):
        mix = max if key == "kv_cache_usage" else float.__add__
        found[key] = mix(found[key], value) if key in found else value


def together(pages: Iterable[dict[str, float]]) -> dict[str, float]:
    """Several instances as one: sums, and the fullest KV cache."""
    total: dict[str, float] = {}
    for page in pages:
        for key, value in page.items():
            _add(total, key, value)
    return total


class Server:
    """The instances under load."""

    def __init__(self, target: Target, key: str | None) -> None:
        trust = {"ca_file": target.ca_file, "insecure": target.insecure}
        self._clients = [
            Client(url, key=key, timeout_s=TIMEOUT_S, **trust)  # type: ignore[arg-type]  # mixed values
            for url in target.base_urls
        ]
        self._before: list[dict[str, float]] = [{} for _ in self._clients]
        self._pool = ThreadPoolExecutor(len(self._clients))
        self._after = 0.0

    def scrape(self, *, urgent: bool = False) -> dict[str, float] | None:
        """All instances at once; None if one of them tells nothing. Takes `TIMEOUT_S` at most.

        ``restarted`` stands in it when a counter fell since the last scrape. After a refusal
        the server is left alone for a while, unless it is *urgent*.
        """
        start = time.monotonic()
        if start < self._after and not urgent:
            return None
        pages = [page for page in self._pool.map(_page, self._clients) if page]
        if len(pages) < len(self._clients):
            late = time.monotonic() - start > 0.9 * TIMEOUT_S  # it is busy, but it is there
            self._after = 0.0 if late else start + BACK_OFF_S
            return None
        fell = any(map(_fell, self._before, pages))
        self._before = pages
        return together(pages) | ({"restarted": True} if fell else {})

    def close(self) -> None:
        """End the connections."""
        self._pool.shutdown()
        for client in self._clients:
            client.close()


def _page(client: Client) -> dict[str, float]:
    try:
        status, page = client.request("GET", "/metrics")
    except FetchError:
        return {}
    return parse(page) if status == 200 else {}


def _fell(before: dict[str, float], after: dict[str, float]) -> bool:
    """Whether a counter lost something: the server was started anew."""
    return any(after.get(k, 0.0) < value for k, value in before.items() if k not in GAUGES)
