"""Tests of what the simulator remembers and counts."""

from __future__ import annotations

import json
from array import array

from bench_agent.simulator import tokens
from bench_agent.simulator.meters import Histogram, Meters
from bench_agent.simulator.truth import Truth, TruthLog


def truth(number: int, stamps: int = 2) -> Truth:
    """A request that arrived at *number*."""
    return Truth(f"r{number}", number, array("q", range(number, number + stamps)))


def ids(page: bytes) -> list[str]:
    """The requests on a page."""
    return [json.loads(line)["request_id"] for line in page.splitlines()]


def test_the_truth_is_told_in_json_lines() -> None:
    """One a request: when it came, and when each token went."""
    log = TruthLog()
    log.add(truth(5))

    assert {"request_id": "r5", "arrived_ns": 5, "sent_ns": [5, 6]} == json.loads(log.dump())


def test_memory_is_bounded() -> None:
    """The oldest requests are forgotten; the newest is kept, however long."""
    log = TruthLog(max_stamps=7)
    for number in range(4):
        log.add(truth(number))
    kept = ids(log.dump())
    log.add(truth(9, stamps=50))

    assert (["r2", "r3"], ["r9"]) == (kept, ids(log.dump()))


def test_the_truth_can_be_asked_for_in_parts_and_cleared() -> None:
    """Since a moment, and then no more."""
    log = TruthLog()
    for number in range(3):
        log.add(truth(number))

    assert (["r1", "r2"], []) == (ids(log.dump(1, clear=True)), ids(log.dump()))


def test_a_histogram_counts_by_upper_bounds() -> None:
    """Each bucket holds all that is not above its bound."""
    histogram = Histogram([1.0, 2.0])
    histogram.observe(0.5, 1.0, 1.5, 9.0)

    assert [
        'h_bucket{le="1.0",a="b"} 2.0',
        'h_bucket{le="2.0",a="b"} 3.0',
        'h_bucket{le="+Inf",a="b"} 4.0',
        'h_count{a="b"} 4.0',
        'h_sum{a="b"} 12.0',
    ] == list(histogram.lines("h", 'a="b"'))


def test_a_request_that_ended_is_in_all_figures() -> None:
    """Under vLLM's names and labels."""
    meters = Meters(running=1, generation_tokens=3)
    meters.finish("length", 0, 0, [50_000_000, 60_000_000, 70_000_000], 8)
    meters.finish("abort", 0, 0, [], 8)
    page = meters.render("m")

    for line in (
        'vllm:num_requests_running{engine="0",model_name="m"} 1.0',
        'vllm:generation_tokens_total{engine="0",model_name="m"} 3.0',
        'vllm:request_success_total{engine="0",finished_reason="length",model_name="m"} 1.0',
        'vllm:request_success_total{engine="0",finished_reason="abort",model_name="m"} 1.0',
        'vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 1.0',
        'vllm:inter_token_latency_seconds_count{engine="0",model_name="m"} 2.0',
        'vllm:e2e_request_latency_seconds_sum{engine="0",model_name="m"} 0.07',
    ):
        assert line in page.splitlines()


def test_a_word_is_a_token() -> None:
    """With the same id in every process."""
    assert (2, [6907, 9681]) == (tokens.count(" a  b "), tokens.ids("a b"))
