"""Tests of one worker, run in this process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from bench_agent import workloads
from bench_agent.load.arrivals import ClosedLoop
from bench_agent.load.plan import Load, endpoint
from bench_agent.load.worker import Tally, Worker, encode_record
from bench_agent.protocol import Workload
from tests.bench_agent.misbehaving import EXPECTED
from tests.bench_agent.records import failed

Simulate = Callable[..., str]


def work(
    url: str,
    control: int,
    *,
    report: Callable[[Tally], None] = lambda _tally: None,
    **changes: Any,
) -> tuple[list[dict[str, Any]], Tally]:
    """Put a load on from this process; the records and the tally."""
    values: dict[str, Any] = {
        "name": "x",
        "base_urls": (url,),
        "model": "simulated",
        "api": "completions",
        "output_len": 2,
        "num_prompts": 4,
        "max_concurrency": 2,
        "timeout_s": 0.4,
    }
    values |= changes
    shape = Workload(input_len=8, output_len=values["output_len"])
    load = Load(prompt=workloads.prompts(shape, values["api"], "p"), **values)
    lines: list[bytes] = []
    worker = Worker(
        load,
        [endpoint(each, load.api) for each in load.base_urls],
        range(load.num_prompts),
        ClosedLoop(load.num_prompts, load.streams),
        number=0,
        control=control,
        write=lines.append,
        report=report,
    )
    worker.prepare(load.streams)
    worker.run(time.time_ns())
    return [json.loads(line) for line in lines], worker.tally


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_all_requests_are_done(simulate: Simulate, pipe: tuple[int, int], api: str) -> None:
    """Each once, with its counts, over as few connections as streams."""
    records, tally = work(simulate(), pipe[0], api=api, output_len=5, num_prompts=9)

    assert list(range(9)) == sorted(r["index"] for r in records)
    assert {(True, 5, 8, 5, "length")} == {
        (
            r["success"],
            len(r["chunk_ns"]),
            r["prompt_tokens"],
            r["output_tokens"],
            r["finish_reason"],
        )
        for r in records
    }
    assert {"kernel"} == {r["stamped_by"] for r in records}
    assert (9, 9, 0, 45) == (tally.requested, tally.completed, tally.failed, tally.output_tokens)


def test_the_cap_is_kept(simulate: Simulate, pipe: tuple[int, int]) -> None:
    """At no time more requests in flight than allowed, and all slots are used."""
    records, _ = work(simulate(), pipe[0], num_prompts=8, max_concurrency=3)
    edges = sorted([(r["sent_ns"], 1) for r in records] + [(r["done_ns"], -1) for r in records])
    level, levels = 0, []
    for _at, step in edges:
        level += step
        levels.append(level)

    assert 3 == max(levels)


@pytest.mark.parametrize("behaviour", sorted(EXPECTED))
def test_each_failure_has_its_class(faulty: str, pipe: tuple[int, int], behaviour: str) -> None:
    """Whatever the server does, every request ends, and is called what it was."""
    records, tally = work(f"{faulty}/{behaviour}", pipe[0])

    assert [EXPECTED[behaviour]] * 4 == [r["failure"] for r in records]
    assert 4 == tally.requested == tally.completed + tally.failed


def test_nobody_listening_is_refused(pipe: tuple[int, int]) -> None:
    """All requests at once, each with the reason."""
    records, _ = work("http://127.0.0.1:1", pipe[0])

    assert [("refused", "Connection refused")] * 4 == [(r["failure"], r["error"]) for r in records]


def test_a_name_that_does_not_resolve_is_refused(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker does not fall over it."""

    def no_such_name(*_args: object, **_options: object) -> None:
        raise OSError("no such name")

    monkeypatch.setattr("socket.getaddrinfo", no_such_name)
    records, _ = work("http://nowhere.invalid:1", pipe[0], num_prompts=1)

    assert ["refused"] == [r["failure"] for r in records]


def test_endpoints_take_turns(simulate: Simulate, pipe: tuple[int, int]) -> None:
    """Two instances get every other request."""
    urls = (simulate(), simulate())
    records, _ = work(urls[0], pipe[0], base_urls=urls)

    assert [urls[0], urls[1]] * 2 == [
        r["endpoint"] for r in sorted(records, key=lambda r: r["index"])
    ]


def test_a_large_request_is_sent_in_parts(simulate: Simulate, pipe: tuple[int, int]) -> None:
    """More than a socket's buffer holds."""
    records, _ = work(
        simulate(max_model_len=10_000_000),
        pipe[0],
        num_prompts=1,
        extra_body={"padding": "x" * 8_000_000},
        timeout_s=10.0,
    )

    assert [None] == [r["failure"] for r in records]


def test_a_stop_ends_what_is_in_flight(simulate: Simulate, pipe: tuple[int, int]) -> None:
    """What was sent is recorded as stopped; what was not, is not."""

    def stop(tally: Tally) -> None:
        if tally.streaming:
            os.write(pipe[1], b"stop")

    records, tally = work(
        simulate(itl_ms=50.0), pipe[0], output_len=100, num_prompts=9, timeout_s=30.0, report=stop
    )

    assert ["stopped", "stopped"] == [r["failure"] for r in records]
    assert 2 == tally.failed


def test_a_kept_connection_that_the_server_closed_is_replaced(
    pipe: tuple[int, int], faulty: str
) -> None:
    """Closing after a whole reply without saying so is no failure of the next request."""
    records, _ = work(f"{faulty}/good-then-close", pipe[0], num_prompts=3, max_concurrency=1)

    assert [None] * 3 == [r["failure"] for r in records]


def test_a_key_in_an_error_is_not_recorded() -> None:
    """A server may repeat what it was sent."""
    line = encode_record(failed(error="bad key sesame"), "sesame")

    assert "bad key [REDACTED]" == json.loads(line)["error"]
