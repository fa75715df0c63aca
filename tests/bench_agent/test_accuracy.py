"""The client against a server of known timing that shares no code with it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench_agent import storage
from bench_agent.fetch import get
from bench_agent.load.pool import Outcome, drive
from bench_agent.protocol import RequestRecord
from tests.bench_agent.load.loads import load

pytestmark = pytest.mark.integration
SERVER = Path(__file__).parent / "timing_server.py"
Truth = dict[str, dict[str, Any]]


@contextmanager
def timing_server(ttft_ms: float, itl_ms: float) -> Iterator[str]:
    """A process that knows when it sent each token; it ends with its standard input."""
    command = [sys.executable, str(SERVER), "--ttft-ms", str(ttft_ms), "--itl-ms", str(itl_ms)]
    with subprocess.Popen(
        [*command, "--model", "simulated"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
        server.communicate(timeout=10)


def measured(
    path: Path, *, ttft_ms: float = 50.0, itl_ms: float = 10.0, **changes: Any
) -> tuple[list[RequestRecord], Truth, Outcome]:
    """Records, the server's truth by request id, and the outcome."""
    with timing_server(ttft_ms, itl_ms) as url:
        outcome = drive(load(url, **changes), path, lambda _: True)
        page = get(url, "/truth", timeout_s=30.0)[1]
    truth = {each["request_id"]: each for each in map(json.loads, page.splitlines())}
    return list(storage.read_records(path)), truth, outcome


def late_ms(record: RequestRecord, truth: Truth) -> list[float]:
    """The client's stamp of each token less the server's."""
    sent = truth[record.request_id]["sent_ns"]
    stamps = [record.sent_ns + offset for offset in record.chunk_ns]
    return [(mine - his) / 1e6 for mine, his in zip(stamps, sent, strict=True)]


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_first_tokens_are_stamped_when_they_came(records_path: Path, api: str) -> None:
    """Within 3 ms in the mean, and never before they were sent."""
    records, truth, _ = measured(
        records_path, api=api, num_prompts=128, max_concurrency=64, output_len=64
    )
    errors = [late_ms(record, truth)[0] for record in records]

    assert 128 == len(errors)
    assert 0.0 < min(errors)
    assert sum(errors) / len(errors) <= 3.0


def test_every_token_is_counted_and_none_is_stamped_before_it_was_sent(records_path: Path) -> None:
    """Several workers, streams that start at different times."""
    records, truth, _ = measured(
        records_path,
        num_prompts=200,
        max_concurrency=None,
        request_rate=200.0,
        output_len=40,
        workers=2,
    )
    late = [each for record in records for each in late_ms(record, truth)]

    assert (200, 8000) == (len(records), len(late))
    assert all(record.success for record in records)
    assert min(late) > 0.0


def test_thousands_of_slow_streams_are_no_trouble(records_path: Path) -> None:
    """4096 at once, ten tokens a second each: all succeed, and the client was not late."""
    records, truth, outcome = measured(
        records_path,
        itl_ms=100.0,
        num_prompts=4096,
        max_concurrency=4096,
        output_len=20,
        workers=2,
        timeout_s=120.0,
    )
    errors = [late_ms(record, truth)[0] for record in records]

    assert (4096, 0) == (outcome.tally.completed, outcome.tally.failed)
    assert 4096 == metrics_peak(records)
    assert sum(errors) / len(errors) <= 10.0


def metrics_peak(records: list[RequestRecord]) -> int:
    """Most requests in flight at one moment."""
    edges = sorted([(r.sent_ns, 1) for r in records] + [(r.done_ns, -1) for r in records])
    now = peak = 0
    for _, step in edges:
        now += step
        peak = max(peak, now)
    return peak


def test_memory_does_not_grow_with_the_load(
    records_path: Path, peak_memory: Callable[..., int]
) -> None:
    """Five times the tokens, the same memory: what is measured is written and forgotten."""
    with timing_server(5.0, 1.0) as url:
        small, large = (
            peak_memory(load(url, num_prompts=n, max_concurrency=32, output_len=128), records_path)
            for n in (300, 1500)
        )

    assert small > 5_000
    assert large < small + 4_000


@pytest.fixture
def peak_memory() -> Callable[..., int]:
    """Put a load on from a process of its own; the largest of its processes in KiB."""

    def run(made: Any, path: Path) -> int:
        readable, writable = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                drive(made, path, lambda _: True)
                usage = resource.getrusage(resource.RUSAGE_CHILDREN)
                os.write(writable, b"%d" % usage.ru_maxrss)
            finally:
                os._exit(0)
        os.close(writable)
        os.waitpid(pid, 0)
        with os.fdopen(readable) as answer:
            return int(answer.read())

    return run
