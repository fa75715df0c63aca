"""Tests of summaries."""

from __future__ import annotations

from typing import Any

from bench_agent.observed import Observed
from bench_agent.protocol import Point, PointSummary, RampUp, RequestRecord
from bench_agent.summary import Measured, measured_from, run_summary, summarise
from bench_agent.traffic import Traffic
from tests.bench_agent.records import MS, failed, record, run_spec

GOOD = [record(0), record(1)]


def summed(
    records: list[RequestRecord], *, observed: Observed | None = None, **changes: Any
) -> PointSummary:
    """The summary of these records over one second."""
    spec = run_spec(**changes)
    measured = Measured(0, 1000 * MS, workers=1, cpu_s=0.1, clock_step_ms=0.0)
    traffic = Traffic.of(records)
    return summarise(spec, spec.points[0], traffic, measured, calibration=None, observed=observed)


def test_a_point_in_figures() -> None:
    """Two requests of 8 and 3 tokens within one second."""
    found = summed(GOOD)

    assert (1.0, 2, 2, 0, {}) == (
        found.duration_s,
        found.requested,
        found.completed,
        found.failed,
        found.failures,
    )
    assert (16, 6, 2.0, 6.0, 22.0, 2, 6.0) == (
        found.total_input_tokens,
        found.total_output_tokens,
        found.request_throughput,
        found.output_throughput,
        found.total_token_throughput,
        found.peak_concurrency,
        found.peak_output_throughput,
    )
    names = ("ttft", "tpot", "itl", "e2el", "ttft_content", "queue")
    means = [getattr(found, f"{name}_ms").mean for name in names]
    assert [50.0, 10.0, 10.0, 70.0, 50.0, 1.0] == means
    assert (True, (), None) == (found.verdict.valid, found.verdict.reasons, found.steady)


def test_failed_requests_are_in_no_distribution() -> None:
    """A request that broke after its first token was not a fast one."""
    found = summed([record(0), failed(1, chunk_ns=(MS,), first_chunk_ns=2 * MS)])
    names = ("ttft", "tpot", "e2el", "ttft_content", "e2el_from_due", "queue")

    assert (1, 1, {"reset": 1}, 3) == (
        found.completed,
        found.failed,
        found.failures,
        found.total_output_tokens,
    )
    assert [1] * 6 == [getattr(found, f"{name}_ms").count for name in names]
    assert found.itl_ms is not None
    assert 2 == found.itl_ms.count


def test_without_successes_there_are_no_distributions() -> None:
    """None instead of zeros, and no rate out of nothing."""
    found = summed([failed(0), failed(1)], goodput={"ttft": 1.0}, percentiles=(99.9,))

    assert (None, None, 0.0, 0.0) == (
        found.ttft_ms,
        found.itl_ms,
        found.output_throughput,
        found.peak_output_throughput,
    )
    assert (0.0, 0.0, ()) == (
        found.request_goodput,
        found.good_share,
        found.unsupported_percentiles,
    )


def test_the_wait_in_the_client_counts_from_the_due_time() -> None:
    """And is no part of what vLLM calls the latency."""
    found = summed([record(0, due_ns=-29 * MS)])

    assert found.e2el_ms is not None
    assert found.e2el_from_due_ms is not None
    assert found.queue_ms is not None
    assert (70.0, 100.0, 30.0) == (
        found.e2el_ms.mean,
        found.e2el_from_due_ms.mean,
        found.queue_ms.mean,
    )


def test_goodput_is_over_time_and_its_share_over_all_that_was_sent() -> None:
    """One of three is slow, one of three failed."""
    records = [record(0), record(1, first_chunk_ns=61 * MS), failed(2)]
    found = summed(records, goodput={"ttft": 55.0})

    assert (1.0, 1 / 3) == (found.request_goodput, found.good_share)
    assert (None, None) == (summed(records).request_goodput, summed(records).good_share)


def test_percentiles_that_were_asked_for_stand_beside_the_usual_ones() -> None:
    """Those that two requests cannot tell are named."""
    found = summed(GOOD, percentiles=(99.9, 75))

    assert found.itl_ms is not None
    assert ["p50", "p75", "p90", "p95", "p99", "p99.9"] == list(found.itl_ms.percentiles)
    assert ("p75", "p90", "p95", "p99", "p99.9") == found.unsupported_percentiles


def test_the_client_says_what_it_knows_of_itself() -> None:
    """Telemetry's word on its CPU where the load has none."""
    spec = run_spec()
    lag = {"p50": 0.1, "p99": 2.0, "max": 9.0}
    measured = Measured(0, MS, workers=2, busiest_cpu=0.5, lag_ms=lag)
    seen = Observed(client={"cpu_mean": 0.2, "busiest_cpu_max": 0.7})
    found, told = (
        summarise(
            spec, spec.points[0], Traffic.of(GOOD), known, calibration=None, observed=seen
        ).client
        for known in (measured, Measured(0, MS))
    )

    assert (0.5, lag, 2, ["kernel"], 0.0) == (
        found["busiest_cpu"],
        found["lag_ms"],
        found["workers"],
        found["stamped_by"],
        found["coalesced_share"],
    )
    assert (0.7, None) == (told["busiest_cpu"], told["lag_ms"])
    assert 1.0 == found["send_delay_ms"]["mean"]


def test_energy_is_shared_out_where_it_is_known() -> None:
    """To 6 tokens and 2 requests; not at all where the samples do not bear it."""
    known = Observed(gpu={"energy_j": 30.0, "energy_valid": True, "count": 1})
    unknown = Observed(gpu={"energy_j": 9.0, "energy_valid": False, "energy_reason": "gap"})
    found, nothing = summed(GOOD, observed=known), summed(GOOD, observed=unknown)

    assert found.gpu is not None
    assert nothing.gpu is not None
    assert (5.0, 15.0, 1) == (
        found.gpu["joules_per_output_token"],
        found.gpu["joules_per_request"],
        found.gpu["count"],
    )
    assert (None, None, "gap") == (
        nothing.gpu["joules_per_output_token"],
        nothing.gpu["joules_per_request"],
        nothing.gpu["energy_reason"],
    )
    assert (True, True) == (found.verdict.valid, nothing.verdict.valid)
    assert (None, None) == (summed(GOOD).gpu, summed(GOOD).server)


def waves(count: int) -> list[RequestRecord]:
    """Two streams of requests of 71 ms, one after the other."""
    return [record(i, start_ms=71 * (i // 2)) for i in range(count)]


def test_steady_figures_stand_beside_the_whole() -> None:
    """Between the first send and the last; not where the rate is meant to change."""
    point = Point("p", 60, max_concurrency=2)
    ramp = Point("p", 60, ramp_up=RampUp("linear", 1.0, 2.0))
    found = summed(waves(60), points=(point,))

    assert found.steady is not None
    # To the end of the last round but one; the last one drains.
    assert (MS, 29 * 71 * MS) == (found.steady["from_ns"], found.steady["to_ns"])
    assert 58 == found.steady["requests"] == found.steady["e2el_ms"]["count"]
    assert summed(waves(60), points=(ramp,)).steady is None


def test_what_is_left_of_a_dead_point() -> None:
    """Its records tell when it began and ended; the rest is unknown."""
    spec = run_spec()
    found, nothing = (
        summarise(spec, spec.points[0], traffic, measured_from(traffic), calibration=None)
        for traffic in (Traffic.of(GOOD), Traffic.of([]))
    )

    assert (0, 71 * MS, 1, None) == (
        found.started_ns,
        found.ended_ns,
        found.client["workers"],
        found.client["cpu_s"],
    )
    assert (0, 0.0, None) == (nothing.requested, nothing.request_throughput, nothing.good_share)


def test_the_summary_of_a_run_has_what_the_probe_and_the_search_found() -> None:
    """None where there was neither."""
    spec = run_spec()
    whole = run_summary(
        spec,
        "done",
        started_ns=0,
        ended_ns=1,
        points=[summed(GOOD)],
        calibration=None,
        server={"usage": True},
        search={"highest": 4},
    )
    plain = run_summary(spec, "done", started_ns=0, ended_ns=1, points=[], calibration=None)

    assert ({"usage": True}, {"highest": 4}) == (whole.server, whole.search)
    assert (None, None) == (plain.server, plain.search)
