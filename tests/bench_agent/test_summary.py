"""Tests of summaries, verdicts and the vLLM result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench_agent.protocol import Limits, Point, PointSummary, RequestRecord, Target
from bench_agent.summary import Measured, measured_from, run_summary, summarise
from bench_agent.vllm_result import vllm_result
from tests.bench_agent.records import MS, failed, record, run_spec

GOOD = [record(0), record(1)]
CHATTY = record(0, output_tokens=2, chunk_ns=(1, 2, 3, 4))
SHORT = record(0, output_tokens=2)
LONG_PROMPT = record(0, prompt_tokens=9)
CALIBRATION = {"ttft_error_ms": {"mean": 0.5, "p99": 1.0, "max": 2.0}}
#: Keys of `vllm bench serve --save-result --save-detailed` (0.33), in file order.
VLLM_KEYS = (
    "date endpoint_type backend label model_id tokenizer_id num_prompts request_rate burstiness "
    "max_concurrency duration completed failed total_input_tokens total_output_tokens "
    "request_throughput request_goodput output_throughput total_token_throughput input_lens "
    "output_lens ttfts itls latencies start_times queue_times generated_texts errors "
    "max_output_tokens_per_s max_concurrent_requests rtfx mean_ttft_ms median_ttft_ms std_ttft_ms "
    "p99_ttft_ms mean_tpot_ms median_tpot_ms std_tpot_ms p99_tpot_ms mean_itl_ms median_itl_ms "
    "std_itl_ms p99_itl_ms mean_e2el_ms median_e2el_ms std_e2el_ms p99_e2el_ms"
)


def summed(
    records: list[RequestRecord],
    *,
    clock_step_ms: float = 0.0,
    calibration: dict[str, Any] | None = None,
    **changes: Any,
) -> PointSummary:
    """The summary of these records over one second."""
    spec = run_spec(**changes)
    measured = Measured(0, 1000 * MS, workers=1, cpu_s=0.1, clock_step_ms=clock_step_ms)
    return summarise(spec, spec.points[0], records, measured, calibration)


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
    assert (16, 6, 2.0, 6.0, 22.0, 2) == (
        found.total_input_tokens,
        found.total_output_tokens,
        found.request_throughput,
        found.output_throughput,
        found.total_token_throughput,
        found.peak_concurrency,
    )
    means = [getattr(found, name).mean for name in ("ttft_ms", "tpot_ms", "itl_ms", "e2el_ms")]
    assert [50.0, 10.0, 10.0, 70.0] == means
    assert (True, ()) == (found.verdict.valid, found.verdict.reasons)


def test_failed_requests_are_in_no_distribution() -> None:
    """A request that broke after its first token was not a fast one."""
    found = summed([record(0), failed(1)])

    assert (1, 1, {"reset": 1}, 3) == (
        found.completed,
        found.failed,
        found.failures,
        found.total_output_tokens,
    )
    assert found.ttft_ms is not None
    assert 1 == found.ttft_ms.count


def test_without_successes_there_are_no_distributions() -> None:
    """None instead of zeros, and no rate out of nothing."""
    found = summed([failed(0), failed(1)])

    assert (None, None, 0.0) == (found.ttft_ms, found.itl_ms, found.output_throughput)


def test_what_is_left_of_a_dead_point() -> None:
    """Its records tell when it began and ended; the rest is unknown."""
    spec = run_spec()
    found = summarise(spec, spec.points[0], GOOD, measured_from(GOOD), None)
    nothing = summarise(spec, spec.points[0], [], measured_from([]), None)

    assert (0, 71 * MS, 1, None) == (
        found.started_ns,
        found.ended_ns,
        found.client["workers"],
        found.client["cpu_s"],
    )
    assert (0, 0.0) == (nothing.requested, nothing.request_throughput)


@pytest.mark.parametrize(
    ("reason", "records", "changes"),
    [
        ("No request was completed", [failed(0), failed(1)], {}),
        ("1 of 2 requests failed (reset 1)", [record(0), failed(1)], {}),
        ("cut short: 1 of 2", [record(0)], {}),
        ("P99 of the send delay is 20.0 ms", [record(0, due_ns=-19 * MS)] * 2, {}),
        ("50.0% of reads held", [record(0, reads=2, coalesced=1)] * 2, {}),
        ("clock of the host was set by 6.0 ms", GOOD, {"clock_step_ms": 6.0}),
        ("8 chunks came, but the server counts only 4", [CHATTY] * 2, {}),
        ("6 output tokens were asked for, but the server counts 4", [SHORT] * 2, {}),
        ("16 prompt tokens were sent, but the server counts 18", [LONG_PROMPT] * 2, {}),
        ("own error is unknown", GOOD, {"calibrate": True}),
        (
            "own TTFT error on this host is 0.50 ms",
            GOOD,
            {
                "calibrate": True,
                "calibration": CALIBRATION,
                "limits": Limits(max_client_error_ms=0.4),
            },
        ),
    ],
)  # fmt: skip
def test_each_reason_makes_a_point_invalid(
    reason: str, records: list[RequestRecord], changes: dict[str, Any]
) -> None:
    """And it is said in words, with figures."""
    verdict = summed(records, **changes).verdict

    assert not verdict.valid
    assert [True] == [reason in said for said in verdict.reasons if reason in said]


def test_what_is_within_the_limits_is_valid() -> None:
    """A limit may be given, and is not a reason by itself."""
    kind = Limits(max_failed_share=0.5, max_client_error_ms=0.5)
    some_failed = summed([record(0), failed(1)], limits=kind)
    calibrated = summed(GOOD, calibrate=True, calibration=CALIBRATION, limits=kind)
    ended_early = summed([record(0, output_tokens=2)] * 2, ignore_eos=False)
    chat = Target(base_urls=("http://h:1",), model="m", api="chat")
    templated = summed([record(0, prompt_tokens=20)] * 2, target=chat)

    assert [True] * 4 == [
        s.verdict.valid for s in (some_failed, calibrated, ended_early, templated)
    ]


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


def test_the_keys_are_vllm_s_in_vllm_s_order() -> None:
    """And ours under one key, last."""
    spec = run_spec()

    assert [*VLLM_KEYS.split(), "llm_dyno"] == list(vllm_result(spec, summed(GOOD), GOOD))


def test_the_values_have_vllm_s_types_and_units() -> None:
    """Seconds in lists, milliseconds in distributions, one entry a request in every list."""
    spec = run_spec()
    found = vllm_result(spec, summed(GOOD), GOOD)

    assert ("vllm", "inf", 1.0, 2, None, None) == tuple(
        found[k]
        for k in (
            "backend", "request_rate", "burstiness", "max_concurrency", "label", "request_goodput",
        )
    )  # fmt: skip
    assert (
        [0.05, 0.05],
        [[0.01, 0.01]] * 2,
        [0.07, 0.07],
        [0.001, 0.001],
        [3, 3],
        [8, 8],
    ) == tuple(
        found[k] for k in ("ttfts", "itls", "latencies", "queue_times", "output_lens", "input_lens")
    )
    assert (50.0, 50.0, 0.0, 50.0) == tuple(
        found[f"{k}_ttft_ms"] for k in ("mean", "median", "std", "p99")
    )
    assert ["", ""] == found["errors"] == found["generated_texts"]


def test_failed_requests_keep_their_places() -> None:
    """As vLLM has it: zeros and an error where the request stood."""
    spec = run_spec()
    records = [failed(1), record(0)]
    found = vllm_result(spec, summed(records), records)

    assert ([3, 0], [0.05, 0.0], ["", "gone"], [8, 8], 1) == tuple(
        found[k] for k in ("output_lens", "ttfts", "errors", "input_lens", "failed")
    )


def test_without_successes_vllm_says_zero() -> None:
    """A reader of vLLM's files expects numbers; ours say that the point is invalid."""
    spec = replace(run_spec(), points=(Point("p", 1, request_rate=2.0),))
    chat = replace(spec, target=Target(("http://h:1",), "m", api="chat"))
    records = [failed(0)]
    summary = summarise(chat, chat.points[0], records, Measured(0, 0), None)
    found = vllm_result(chat, summary, records)

    assert (0.0, 2.0, "openai-chat", False) == (
        found["mean_ttft_ms"],
        found["request_rate"],
        found["backend"],
        found["llm_dyno"]["valid"],
    )
