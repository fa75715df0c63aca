"""Tests of one worker, run in this process."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from bench_agent.load.lag import percentiles
from bench_agent.load.tally import Tally, encode_record
from tests.bench_agent.load.loads import load, worked
from tests.bench_agent.misbehaving import (
    EXPECTED,
    HEAD,
    REPLIES,
    misbehaving,
    read_request,
    token,
)
from tests.bench_agent.records import failed

pytestmark = pytest.mark.integration
Simulate = Callable[..., str]


def work(
    url: str,
    control: int,
    *,
    report: Callable[[Tally], None] = lambda _tally: None,
    **changes: Any,
) -> tuple[list[dict[str, Any]], Tally]:
    """Put a load on from this process; the records and the tally."""
    made = load(url, **{"num_prompts": 4, "timeout_s": 0.4, **changes})
    lines: list[bytes] = []
    worker = worked(made, control, lines.append, report)
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


def test_the_least_busy_endpoint_is_next(simulate: Simulate, pipe: tuple[int, int]) -> None:
    """A slow instance gets fewer requests than a quick one."""
    slow, quick = simulate(ttft_ms=300.0), simulate()
    records, _ = work(
        slow,
        pipe[0],
        base_urls=(slow, quick),
        routing="least_busy",
        num_prompts=12,
        timeout_s=5.0,
    )
    sent = [r["endpoint"] for r in records]

    assert sent.count(quick) > 2 * sent.count(slow) > 0


def test_silence_inside_a_stream_is_a_stall(faulty: str, pipe: tuple[int, int]) -> None:
    """Told apart from a request that takes its time to begin."""
    records, _ = work(f"{faulty}/stalls", pipe[0], stall_timeout_s=0.3, timeout_s=20.0)
    queued, _ = work(f"{faulty}/silent", pipe[0], stall_timeout_s=0.1, timeout_s=0.8)

    assert {"stalled"} == {r["failure"] for r in records}
    assert {"timeout"} == {r["failure"] for r in queued}


def test_a_load_by_duration_ends_by_the_clock(simulate: Simulate, pipe: tuple[int, int]) -> None:
    """No request is due later, and those in flight end well."""
    records, tally = work(simulate(), pipe[0], num_prompts=None, duration_s=0.5, timeout_s=5.0)
    first = min(r["due_ns"] for r in records)

    assert (len(records), 0) == (tally.completed, tally.failed)
    assert len(records) > 10
    assert max(r["due_ns"] for r in records) - first < 0.6e9


def test_an_open_loop_sends_when_requests_are_due(
    simulate: Simulate, pipe: tuple[int, int]
) -> None:
    """Whatever becomes of those before."""
    url = simulate(ttft_ms=400.0)
    records, _ = work(
        url, pipe[0], max_concurrency=None, request_rate=50.0, num_prompts=20, timeout_s=5.0
    )
    records.sort(key=lambda r: r["index"])

    assert [True] * 20 == [r["success"] for r in records]
    assert records[0]["done_ns"] > records[-1]["due_ns"] > records[0]["due_ns"]


def test_a_stream_without_end_is_ended(pipe: tuple[int, int]) -> None:
    """More reads than the tokens that were asked for could ever need."""
    with misbehaving(endless) as url:
        records, _ = work(url, pipe[0], num_prompts=1, timeout_s=60.0)

    assert ["bad_reply"] == [r["failure"] for r in records]


def endless(sock: socket.socket) -> None:
    """Token after token, until the client hangs up."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.recv(65536)
    sock.sendall(HEAD)
    with suppress(OSError):
        while True:
            sock.sendall(token())
            time.sleep(0.0001)


def test_lag_is_counted(simulate: Simulate, pipe: tuple[int, int]) -> None:
    """How late the loop was, for at least one look."""
    _, tally = work(simulate(), pipe[0])
    found = percentiles(tally.lag)

    assert found is not None
    assert 0 <= found["p50"] <= found["p99"] <= found["max"] < 5000


def test_a_server_that_thinks_and_hangs_up_has_failed(pipe: tuple[int, int]) -> None:
    """Only a connection that had been closed before the request is replaced without a word."""
    with misbehaving(hangs_up) as url:
        records, _ = work(url, pipe[0], num_prompts=3, max_concurrency=1, timeout_s=10.0)

    assert [None, "reset", None] == [r["failure"] for r in records]


def hangs_up(sock: socket.socket) -> None:
    """One good reply; the next request is thought about, and then the server is gone."""
    read_request(sock)
    sock.sendall(REPLIES["good"])
    read_request(sock)
    sock.settimeout(0.5)
    with suppress(OSError):
        sock.recv(1)  # the client waits


def test_a_server_that_is_gone_is_not_flooded(pipe: tuple[int, int]) -> None:
    """Refused at once, a slot waits a little before it tries again."""
    records, _ = work(
        "http://127.0.0.1:1", pipe[0], num_prompts=None, duration_s=1.0, max_concurrency=4
    )

    assert {"refused"} == {r["failure"] for r in records}
    assert 4 < len(records) <= 44
