"""Tests of verdicts: each rule fires, and holds its peace just below its limit."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bench_agent import workloads
from bench_agent.observed import Observed
from bench_agent.protocol import (
    Limits,
    Point,
    PointSummary,
    RequestRecord,
    RunSpec,
    Target,
    Verdict,
    Workload,
)
from bench_agent.summary import Measured, run_summary, summarise
from bench_agent.traffic import Traffic
from bench_agent.verdict import client_faults
from tests.bench_agent.records import MS, failed, record, run_spec

GOOD = [record(0), record(1)]
CHATTY = record(0, output_tokens=2, chunk_ns=(1, 2, 3, 4))
CALIBRATION = {"ttft_error_ms": {"mean": 0.5, "p99": 1.0, "max": 2.0}}
CHAT = Target(base_urls=("http://h:1",), model="m", api="chat")
Records = list[RequestRecord]
Changes = dict[str, Any]
SPEC_FIELDS = set(RunSpec.__dataclass_fields__)


def summed(
    records: list[RequestRecord],
    *,
    calibration: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    gpu: dict[str, Any] | None = None,
    **changes: Any,
) -> PointSummary:
    """The summary over one second; changes of the spec, else of what was measured."""
    spec = run_spec(**{k: v for k, v in changes.items() if k in SPEC_FIELDS})
    known = {k: v for k, v in changes.items() if k not in SPEC_FIELDS}
    measured = Measured(**{"started_ns": 0, "ended_ns": 1000 * MS, "workers": 1, **known})
    return summarise(
        spec,
        spec.points[0],
        Traffic.of(records),
        measured,
        calibration=calibration,
        observed=Observed(server=server, gpu=gpu),
    )


def each(count: int, **changes: Any) -> list[RequestRecord]:
    return [record(i, **changes) for i in range(count)]


def one_of(count: int) -> tuple[Point, ...]:
    return (Point("p", count, max_concurrency=2),)


EXPIRES = {"expires_at": "1970-01-01T00:01:04Z"}  # runs end a minute before
THROTTLED = {"sw_power_cap": 1.0, "hw_slowdown": 0.0, "sw_thermal": 0.25, "hw_thermal": 0.1}

#: The reason, what brings it about, and what just does not.
RULES: list[tuple[str, Records, Changes, Records, Changes]] = [
    (
        "No request was completed.",
        [failed(0), failed(1)],
        {},
        [failed(0), record(1)],
        {"limits": Limits(max_failed_share=0.5)},
    ),
    (
        "1 of 2 requests failed (reset 1); the limit is 0.0%.",
        [record(0), failed(1)],
        {},
        [record(0), failed(1)],
        {"limits": Limits(max_failed_share=0.5)},
    ),
    ("The point was cut short: 1 of 2 requests were sent.", [record(0)], {}, GOOD, {}),
    (
        "The point was cut short: 1 of 2 requests were sent.",
        [record(0)],
        {"stopped": True},
        [record(0)],  # the workload had no more
        {"stopped": False},
    ),
    (
        "The point was cut short after 1.0 s and 2 requests.",
        GOOD,
        {"stopped": True, "points": (Point("p", duration_s=9.0, max_concurrency=2),)},
        GOOD,
        {"points": (Point("p", 500, duration_s=9.0, max_concurrency=2),)},
    ),
    (
        "The machine was about to go, at 1970-01-01T00:01:04Z, before the point was over.",
        [record(0)],
        {**EXPIRES, "stopped": True},
        [record(0)],
        {"expires_at": "1970-01-01T00:02:00Z", "stopped": True},
    ),
    (
        "The client sent late: P99 of the send delay is 20.0 ms, the limit is 10 ms.",
        each(2, due_ns=-19 * MS),
        {},
        each(2, due_ns=-9 * MS),
        {},
    ),
    (
        "The client was late: P99 of its loop's lag is 21.0 ms, the limit is 20 ms.",
        GOOD,
        {"lag_ms": {"p50": 1.0, "p99": 21.0, "max": 30.0}},
        GOOD,
        {"lag_ms": {"p50": 1.0, "p99": 20.0, "max": 30.0}},
    ),
    (
        (
            "The client was the bottleneck: its busiest process used 0.95 of a core, "
            "the limit is 0.9."
        ),
        GOOD,
        {"busiest_cpu": 0.95},
        GOOD,
        {"busiest_cpu": 0.9},
    ),
    (
        (
            "The client read late or the server sent tokens in bundles: 50.0% of reads held "
            "several events, the limit is 20.0%."
        ),
        each(2, reads=2, coalesced=1),
        {},
        each(2, reads=5, coalesced=1),
        {},
    ),
    (
        "The clock of the host was set by 6.0 ms during the point, the limit is 5 ms.",
        GOOD,
        {"clock_step_ms": 6.0},
        GOOD,
        {"clock_step_ms": 5.0},
    ),
    (
        "The client's own error is unknown: the calibration failed.",
        GOOD,
        {"calibrate": True},
        GOOD,
        {"calibrate": True, "calibration": CALIBRATION},
    ),
    (
        "The client's own TTFT error on this host is 0.50 ms, the limit is 0.4 ms.",
        GOOD,
        {"calibrate": True, "calibration": CALIBRATION, "limits": Limits(max_client_error_ms=0.4)},
        GOOD,
        {"calibrate": True, "calibration": CALIBRATION, "limits": Limits(max_client_error_ms=0.5)},
    ),
    (
        "8 chunks came, but the server counts only 4 tokens; the limit is 1.0%.",
        [CHATTY] * 2,
        {"ignore_eos": False},
        [record(0, output_tokens=2)] * 2,  # the last chunk of each may be empty
        {"ignore_eos": False},
    ),
    (
        "6 output tokens were asked for, but the server counts 4; the limit is 1.0%.",
        each(2, output_tokens=2),
        {},
        each(2, output_tokens=2),
        {"ignore_eos": False},
    ),
    (
        "8 output tokens were asked for, but the server counts 6; the limit is 1.0%.",
        each(2, asked_tokens=4),
        {},
        each(2, asked_tokens=3),
        {"workload": Workload(input_len=8, output_len=99)},
    ),
    (
        "16 prompt tokens were sent, but the server counts 18; the limit is 1.0%.",
        each(2, prompt_tokens=9),
        {},
        each(2, prompt_tokens=9),
        {"target": CHAT},  # the template adds some
    ),
    (
        "20 prompt tokens were sent, but the server counts 16; the limit is 1.0%.",
        each(2, asked_tokens=3, asked_prompt_tokens=10),
        {"target": CHAT},
        each(2, asked_tokens=3),  # the workload does not say how many
        {"workload": Workload(input_len=99, output_len=3)},
    ),
    (
        "The server's replies say 6 output tokens, its metrics 5; the limit is 1.0%.",
        GOOD,
        {"server": {"generation_tokens": 5}},
        GOOD,
        {"server": {"generation_tokens": 6}},
    ),
    (
        "The server's replies say 6 output tokens, its metrics 7; the limit is 1.0%.",
        GOOD,
        {"server": {"generation_tokens": 7, "requests": {"length": 2}}},
        GOOD,
        {"server": {"generation_tokens": 7, "requests": {"length": 3}}},  # another client's
    ),
    (
        "The server's replies say 3 output tokens, its metrics 2; the limit is 1.0%.",
        [record(0), failed(1)],
        {"server": {"generation_tokens": 2, "requests": {"length": 2}}},
        [record(0), failed(1)],  # which the server did not see fail
        {"server": {"generation_tokens": 6, "requests": {"length": 2}}},
    ),
    (
        "The server preempted 1 requests, the limit is 0.",
        GOOD,
        {"server": {"preemptions": 1}},
        GOOD,
        {"server": {"preemptions": 1}, "limits": Limits(max_preemptions=1)},
    ),
    (
        "The server was restarted during the point.",
        GOOD,
        {"server": {"restarted": True}},
        GOOD,
        {"server": {"restarted": False, "preemptions": None, "generation_tokens": None}},
    ),
    (
        (
            "The prefix cache held 35.0% of the prompt tokens, the workload means 30.0%; "
            "the limit is 2.0% more."
        ),
        GOOD,
        {"server": {"prefix_cache_hit_ratio": 0.35}},
        GOOD,
        {"server": {"prefix_cache_hit_ratio": 0.32}},
    ),
    (
        "A GPU was slowed down (sw_thermal) in 25.0% of samples, the limit is 0.0%.",
        GOOD,
        {"gpu": {"throttled_share": THROTTLED}},
        GOOD,
        {"gpu": {"throttled_share": {"sw_power_cap": 1.0, "hw_slowdown": 0.0}}},
    ),
    (
        "P99 was asked for, but only 99 requests completed, and it takes 100.",
        each(99),
        {"percentiles": (99,), "points": one_of(99)},
        each(100),
        {"percentiles": (99,), "points": one_of(100)},
    ),
    (
        "P99.9 was asked for, but only 999 requests completed, and it takes 1000.",
        each(999),
        {"percentiles": (99.9,), "points": one_of(999)},
        each(1000),
        {"percentiles": (99.9,), "points": one_of(1000)},
    ),
]  # fmt: skip


@pytest.fixture(autouse=True)
def thirty_percent_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """A workload of which three tenths repeat."""

    def share(_workload: Workload, template: int | None) -> float | None:
        return None if template is None else 0.3

    monkeypatch.setattr(workloads, "cache_hit_share", share)


@pytest.mark.parametrize(("reason", "records", "changes"), [rule[:3] for rule in RULES])
def test_each_rule_makes_a_point_invalid(
    reason: str, records: list[RequestRecord], changes: dict[str, Any]
) -> None:
    """With one sentence that has the figure and the limit."""
    verdict = summed(records, **changes).verdict

    assert not verdict.valid
    assert [reason] == [said for said in verdict.reasons if said == reason]


def pattern(reason: str) -> str:
    """A reason less its figures."""
    return re.sub(r"\d[\d.]*", "N", reason)


@pytest.mark.parametrize(("reason", "records", "changes"), [(r[0], r[3], r[4]) for r in RULES])
def test_each_rule_has_a_limit(
    reason: str, records: list[RequestRecord], changes: dict[str, Any]
) -> None:
    """What is just within it is no reason, whatever its figures."""
    said = [pattern(each) for each in summed(records, **changes).verdict.reasons]

    assert pattern(reason) not in said


def test_what_is_within_the_limits_is_valid() -> None:
    """A good point has no reason at all, whatever was looked at."""
    server = {
        "preemptions": 0,
        "prefix_cache_hit_ratio": 0.0,
        "generation_tokens": 6,
        "requests": {"length": 2},
    }
    gpu = {"energy_valid": False, "energy_reason": "gap", "throttled_share": None}
    point = (Point("p", 2, max_concurrency=2),)
    found = summed(GOOD, server=server, gpu=gpu, stopped=False, points=point)

    assert Verdict(valid=True) == found.verdict


def test_the_usual_percentiles_are_no_reason() -> None:
    """They are shown in any case, and named where they are from too few requests."""
    found = summed(GOOD)

    assert (True, ("p90", "p95", "p99")) == (found.verdict.valid, found.unsupported_percentiles)


def test_a_chat_whose_template_is_unknown_is_not_judged_by_its_cache() -> None:
    """The template is in every prompt; with its length known, it is judged."""
    server = {"prefix_cache_hit_ratio": 0.9}
    unknown, known = (
        summed(GOOD, server=server, target=CHAT, template=template) for template in (None, 4)
    )

    assert (True, False) == (unknown.verdict.valid, known.verdict.valid)


def test_a_workload_whose_file_is_gone_is_not_judged_by_its_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when a dead run is sealed on the next day."""

    def gone(*_args: object) -> float:
        raise workloads.WorkloadError("workload.options.path: there is no file")

    monkeypatch.setattr(workloads, "cache_hit_share", gone)

    assert summed(GOOD, server={"prefix_cache_hit_ratio": 0.9}).verdict.valid


def test_requests_that_the_end_of_the_machine_stopped_say_so() -> None:
    """Although all had been sent."""
    reasons = summed([record(0), failed(1, failure="stopped")], **EXPIRES).verdict.reasons

    assert reasons[0].startswith("The machine was about to go")


def test_the_client_s_own_faults_are_told_apart() -> None:
    """They say nothing of the server."""
    spec = run_spec()
    late = summed([record(0, due_ns=-19 * MS), failed(1)])

    assert ["The client sent late"] == [
        reason.partition(":")[0] for reason in client_faults(spec, late, None)
    ]
    assert 2 == len(late.verdict.reasons)
    assert [] == client_faults(spec, summed([record(0), failed(1)]), None)


def test_a_run_is_as_good_as_its_points() -> None:
    """Its verdict names the point; a run that is not done is not valid."""
    spec = run_spec()
    good, bad = summed(GOOD), summed([record(0), failed(1)])
    verdicts = [
        run_summary(spec, state, started_ns=0, ended_ns=1, points=points, calibration=None).verdict
        for state, points in (
            ("done", [good]),
            ("done", [good, bad]),
            ("incomplete", [good]),
            ("done", []),
        )
    ]

    assert [True, False, False, False] == [v.valid for v in verdicts]
    assert verdicts[1].reasons[0].startswith("00-c2: 1 of 2 requests failed")
    assert ("The run is incomplete.",) == verdicts[2].reasons
    assert ("No point was measured.",) == verdicts[3].reasons
