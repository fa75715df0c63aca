"""Tests of fetching pages and of telemetry."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench_agent import telemetry
from bench_agent.fetch import FetchError, get
from bench_agent.layout import RunDir
from bench_agent.protocol import Target
from bench_agent.telemetry import Telemetry, gauges

Simulate = Callable[..., str]


def test_a_page_is_fetched(simulate: Simulate) -> None:
    """With the key where one is needed."""
    url = simulate(api_key="sesame")

    assert (401, 200) == (get(url, "/v1/models")[0], get(url, "/v1/models", key="sesame")[0])


@pytest.mark.parametrize("behaviour", ["silent", "cut", "garbage", "closes-before-reply"])
def test_no_page_is_an_error(faulty: str, behaviour: str) -> None:
    """Within its time, whatever the server does."""
    with pytest.raises(FetchError):
        get(f"{faulty}/{behaviour}", "", timeout_s=0.2)


def test_a_page_may_end_with_the_connection(faulty: str) -> None:
    """As HTTP/1.0 servers do it."""
    status, body = get(f"{faulty}/good-until-close", "")

    assert (200, True) == (status, b"[DONE]" in body)


def test_nobody_there_is_an_error() -> None:
    """So is what is no URL."""
    for url in ("http://127.0.0.1:1", "https://h"):
        with pytest.raises(FetchError):
            get(url, "/metrics")


def test_gauges_are_summed_over_engines() -> None:
    """Other lines and unreadable ones are skipped."""
    page = (
        b"# HELP vllm:num_requests_running x\n"
        b'vllm:num_requests_running{engine="0"} 3.0\n'
        b'vllm:num_requests_running{engine="1"} 2.0 1700000000\n'
        b"vllm:num_requests_waiting 7\n"
        b'vllm:kv_cache_usage_perc{engine="0"} nonsense\n'
        b'vllm:num_requests_running_total{engine="0"} 99\n'
    )

    assert {"running": 5.0, "waiting": 7.0} == gauges(page)


def lines(run: RunDir) -> list[dict[str, object]]:
    """What was written."""
    return [json.loads(line) for line in run.telemetry.read_text().splitlines()]


def test_a_line_a_second(
    simulate: Simulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is asked; with the server's gauges and the client's own load."""
    monkeypatch.setattr(telemetry, "EVERY_S", 1000.0)
    run = RunDir(tmp_path)
    watch = Telemetry(run, Target((simulate(),), "m"), None)
    watch.sample("p")
    watch.sample("p")
    watch._next = 0.0
    watch.sample("q")
    first, second = lines(run)

    assert ["p", "q"] == [first["point"], second["point"]]
    assert {"running": 0.0, "waiting": 0.0, "kv_cache_usage": 0.0} == first["server"]
    assert (None, float) == (first["client_cpu"], type(second["client_cpu"]))


def test_a_server_without_metrics_is_left_alone(tmp_path: Path) -> None:
    """For a while, rather than asked each second."""
    run = RunDir(tmp_path)
    watch = Telemetry(run, Target(("http://127.0.0.1:1",), "m"), None)
    for _ in range(2):
        watch._next = 0.0
        watch.sample("p")

    assert [None, None] == [line["server"] for line in lines(run)]
    assert watch._scrape_after > 0
