"""The simulator's figures under vLLM's Prometheus names."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, repeat

_TTFT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
_ITL = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_LONG = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)


class Histogram:
    """Counts by upper bound, as Prometheus has them."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, *values: float) -> None:
        """Count *values*."""
        for at in map(bisect_left, repeat(self._bounds), values):
            self._counts[at] += 1
        self._sum += sum(values)

    def lines(self, name: str, labels: str) -> Iterable[str]:
        """The text exposition of this histogram."""
        total = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            le = "+Inf" if bound == float("inf") else str(float(bound))
            yield f'{name}_bucket{{le="{le}",{labels}}} {float(total)}'
        yield f"{name}_count{{{labels}}} {float(total)}"
        yield f"{name}_sum{{{labels}}} {self._sum}"


@dataclass
class Meters:
    """Everything that is counted. Gauges are set when they are asked for."""

    running: int = 0
    waiting: int = 0
    kv_cache_usage: float = 0.0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    finished: dict[str, int] = field(
        default_factory=lambda: {"stop": 0, "length": 0, "abort": 0, "error": 0}
    )
    ttft: Histogram = field(default_factory=lambda: Histogram(_TTFT))
    itl: Histogram = field(default_factory=lambda: Histogram(_ITL))
    e2e: Histogram = field(default_factory=lambda: Histogram(_LONG))
    queued: Histogram = field(default_factory=lambda: Histogram(_LONG))
    prompt_len: Histogram = field(default_factory=lambda: Histogram(_TOKENS))
    output_len: Histogram = field(default_factory=lambda: Histogram(_TOKENS))

    def finish(
        self, reason: str, arrived_ns: int, started_ns: int, sent_ns: Sequence[int], prompt: int
    ) -> None:
        """Count a request that ended."""
        self.finished[reason] += 1
        self.prompt_len.observe(prompt)
        self.output_len.observe(len(sent_ns))
        self.queued.observe((started_ns - arrived_ns) / 1e9)
        if not sent_ns:
            return
        self.ttft.observe((sent_ns[0] - arrived_ns) / 1e9)
        self.e2e.observe((sent_ns[-1] - arrived_ns) / 1e9)
        self.itl.observe(*[(b - a) / 1e9 for a, b in pairwise(sent_ns)])

    def render(self, model: str) -> str:
        """The page that Prometheus reads."""
        labels = f'engine="0",model_name="{model}"'
        lines: list[str] = []
        for name, gauge in (
            ("num_requests_running", float(self.running)),
            ("num_requests_waiting", float(self.waiting)),
            ("kv_cache_usage_perc", self.kv_cache_usage),
        ):
            lines += [f"# TYPE vllm:{name} gauge", f"vllm:{name}{{{labels}}} {gauge}"]
        for name, counter in (
            ("prompt_tokens", self.prompt_tokens),
            ("generation_tokens", self.generation_tokens),
            ("num_preemptions", 0),
        ):
            lines += [
                f"# TYPE vllm:{name}_total counter",
                f"vllm:{name}_total{{{labels}}} {float(counter)}",
            ]
        lines.append("# TYPE vllm:request_success_total counter")
        for reason, count in self.finished.items():
            tag = f'engine="0",finished_reason="{reason}",model_name="{model}"'
            lines.append(f"vllm:request_success_total{{{tag}}} {float(count)}")
        for name, histogram in (
            ("time_to_first_token_seconds", self.ttft),
            ("inter_token_latency_seconds", self.itl),
            ("e2e_request_latency_seconds", self.e2e),
            ("request_queue_time_seconds", self.queued),
            ("request_prompt_tokens", self.prompt_len),
            ("request_generation_tokens", self.output_len),
        ):
            lines.append(f"# TYPE vllm:{name} histogram")
            lines += histogram.lines(f"vllm:{name}", labels)
        return "\n".join(lines) + "\n"
