"""Tests of what vLLM's readers get: names, order, types, and the definitions of each figure."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_agent.observed import Observed
from bench_agent.protocol import Point, RampUp, RequestRecord, RunSpec, Target
from bench_agent.summary import Measured, summarise
from bench_agent.traffic import Traffic
from bench_agent.vllm_result import pieces
from tests.bench_agent.records import MS, failed, record, run_spec

GOOD = [record(0), record(1)]
START = 1_795_260_845_000_000_000
#: Keys of `vllm bench serve --save-result --save-detailed` (0.33), in file order.
HEAD = (
    "date endpoint_type backend label model_id tokenizer_id num_prompts request_rate burstiness "
    "max_concurrency"
)
RAMP = "ramp_up_strategy ramp_up_start_rps ramp_up_end_rps"
BODY = (
    "duration completed failed total_input_tokens total_output_tokens request_throughput "
    "request_goodput output_throughput total_token_throughput input_lens output_lens ttfts itls "
    "latencies start_times queue_times generated_texts errors max_output_tokens_per_s "
    "max_concurrent_requests rtfx"
)
SPEC_DECODE = (
    "spec_decode_acceptance_rate spec_decode_acceptance_length spec_decode_num_drafts "
    "spec_decode_draft_tokens spec_decode_accepted_tokens "
    "spec_decode_per_position_acceptance_rates"
)
USUAL = ("ttft", "tpot", "itl", "e2el")


def distributions(*names: str, percentiles: tuple[str, ...] = ("p99",)) -> list[str]:
    return [f"{of}_{name}_ms" for name in names for of in ("mean", "median", "std", *percentiles)]


def result(
    records: list[RequestRecord],
    spec: RunSpec | None = None,
    *,
    server: dict[str, Any] | None = None,
    started_ns: int = 0,
    **changes: Any,
) -> dict[str, Any]:
    """vllm.json of these records, which took ten seconds."""
    spec = spec or run_spec(**changes)
    traffic = Traffic.of(records)
    measured = Measured(started_ns, started_ns + 10_000 * MS, workers=1)
    summary = summarise(
        spec,
        spec.points[0],
        traffic,
        measured,
        calibration=None,
        observed=Observed(server=server),
    )
    found: dict[str, Any] = json.loads(b"".join(pieces(spec, summary, traffic)))
    return found


@pytest.mark.parametrize(
    ("point", "percentiles", "keys"),
    [
        (Point("p", 2), (), [*HEAD.split(), *BODY.split(), *distributions(*USUAL)]),
        (
            Point("p", 2, max_concurrency=2),
            (),
            [*HEAD.split(), *BODY.split(), *distributions(*USUAL, "client_queue_time")],
        ),
        (
            Point("p", 2, max_concurrency=2, request_rate=1.0),
            (99.9, 50),
            [
                *HEAD.split(),
                *BODY.split(),
                *distributions(
                    *USUAL,
                    "client_queue_time",
                    "e2el_including_client_queue",
                    percentiles=("p50", "p99", "p99.9"),
                ),
            ],
        ),
        (
            Point("p", 2, ramp_up=RampUp("linear", 1.0, 3.0)),
            (),
            [
                *HEAD.split(),
                *RAMP.split(),
                *BODY.split(),
                "rps_change_events",
                *distributions(*USUAL),
            ],
        ),
    ],
)
def test_the_keys_are_vllm_s_in_vllm_s_order(
    point: Point, percentiles: tuple[float, ...], keys: list[str]
) -> None:
    """Each where its condition holds, and ours under one key, last."""
    found = result(GOOD, points=(point,), percentiles=percentiles)

    assert [*keys, "llm_dyno"] == list(found)


def test_the_values_have_vllm_s_types_and_units() -> None:
    """Seconds in lists, milliseconds in distributions, one entry a request in every list."""
    found = result(GOOD)

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
        [0.001, 0.001],
        [3, 3],
        [8, 8],
    ) == tuple(
        found[k]
        for k in (
            "ttfts", "itls", "latencies", "queue_times", "start_times", "output_lens", "input_lens",
        )
    )  # fmt: skip
    assert (50.0, 50.0, 0.0, 50.0) == tuple(
        found[f"{k}_ttft_ms"] for k in ("mean", "median", "std", "p99")
    )
    assert ["", ""] == found["errors"] == found["generated_texts"]
    types = {"completed": int, "duration": float, "max_output_tokens_per_s": float, "rtfx": float}
    types |= {"max_concurrent_requests": int, "request_throughput": float}
    assert types == {key: type(found[key]) for key in types}


def test_failed_requests_keep_their_places() -> None:
    """As vLLM has it: zeros and an error where the request stood."""
    found = result([failed(1, asked_prompt_tokens=7), record(0)])

    assert ([3, 0], [0.05, 0.0], [[0.01, 0.01], []], ["", "gone"], [8, 7], 1) == tuple(
        found[k] for k in ("output_lens", "ttfts", "itls", "errors", "input_lens", "failed")
    )


def test_without_successes_vllm_says_zero() -> None:
    """A reader of vLLM's files expects numbers; ours say that the point is invalid."""
    chat = Target(("http://h:1",), "m", api="chat")
    point = Point("p", 1, request_rate=2)
    found = result([failed(0)], target=chat, points=(point,), goodput={"ttft": 1.0})

    assert (0.0, 0.0, 2.0, "openai-chat", 0.0, False) == (
        found["mean_ttft_ms"],
        found["p99_itl_ms"],
        found["request_rate"],
        found["backend"],
        found["request_goodput"],
        found["llm_dyno"]["valid"],
    )


def test_a_load_without_a_number_or_with_a_constant_interval() -> None:
    """What was sent; and vLLM's word for an interval that does not vary, which is no JSON."""
    point = Point("p", duration_s=10.0, request_rate=1.0, burstiness=None)
    found = result(GOOD, points=(point,))

    assert (2, "inf", 1.0) == (found["num_prompts"], found["burstiness"], found["request_rate"])


def test_each_whole_rate_of_a_ramp_is_an_event() -> None:
    """When its first request was due; the progress is by number, or by time."""
    records = [record(i, due_ns=START + i * 1000 * MS) for i in range(5)]
    ramp = RampUp("linear", 1.0, 5.0)
    by_number = result(records, points=(Point("p", 5, ramp_up=ramp),), started_ns=START)
    by_time = result(records, points=(Point("p", duration_s=8.0, ramp_up=ramp),), started_ns=START)

    assert [(rps, f"2026-11-21T11:34:{4 + rps:02d}+00:00") for rps in (1, 2, 3, 4, 5)] == [
        (event["rps"], event["timestamp"]) for event in by_number["rps_change_events"]
    ]
    assert [1, 2, 3] == [event["rps"] for event in by_time["rps_change_events"]]
    all_there_is = result(records, points=(Point("p", ramp_up=ramp),), started_ns=START)
    assert by_number["rps_change_events"] == all_there_is["rps_change_events"]


def test_speculative_decoding_shows_when_it_was_there() -> None:
    """By the server's counters, as vLLM computes it from them."""
    moved = {
        "num_drafts": 10,
        "num_draft_tokens": 40,
        "num_accepted_tokens": 20,
        "per_pos": [10, 6, 3, 1],
    }
    found = result(GOOD, server={"spec_decode": moved})

    assert SPEC_DECODE.split() == [key for key in found if key.startswith("spec_decode")]
    assert [50.0, 3.0, 10, 40, 20, [1.0, 0.6, 0.3, 0.1]] == [
        found[key] for key in SPEC_DECODE.split()
    ]
    still = result(GOOD, server={"spec_decode": {**moved, "num_draft_tokens": 0}})
    assert not any(key.startswith("spec_decode") for key in still)


def test_what_vllm_has_no_name_for_is_ours() -> None:
    """The exact peaks, the steady time, the content, the wait, and seed 002's figures."""
    records = [record(0, done_ns=1001 * MS), record(1, start_ms=500, done_ns=2501 * MS)]
    found = result(records, goodput={"ttft": 60.0})
    ours = found["llm_dyno"]

    assert (2, "local", "demo", "00-c2", True, []) == tuple(
        ours[key] for key in ("peak_concurrency", "stack", "recipe", "point", "valid", "reasons")
    )
    assert (6.0, 1.0, None, 50.0, 71.0, 1.0) == (
        ours["peak_output_throughput"],
        ours["good_share"],
        ours["steady"],
        ours["ttft_content_ms"]["mean"],
        ours["e2el_from_due_ms"]["mean"],
        ours["queue_ms"]["mean"],
    )
    assert {
        "qps": 0.2,
        "prompt_tps": 1.6,
        "decode_tps": 0.6,
        "latency_p50_s": 1.5,
        "latency_p95_s": 1.95,
        "prompt_tokens_mean": 8.0,
        "completion_tokens_mean": 3.0,
    } == {key: round(value, 9) for key, value in ours["replies"].items()}
    assert not set(found) & (set(ours) - {"llm_dyno"})


def test_two_requests_after_one_another_are_two_for_vllm_and_one_for_us() -> None:
    """Its buckets count whatever touches a second."""
    found = result([record(i, start_ms=71 * i) for i in range(2)])

    assert (2, 1) == (found["max_concurrent_requests"], found["llm_dyno"]["peak_concurrency"])


@st.composite
def traffics(draw: st.DrawFn) -> list[RequestRecord]:
    """Requests in the order of their ends, as records are; some of them failed."""
    records = []
    for index in range(draw(st.integers(1, 6))):
        due = START + draw(st.integers(0, 4000)) * MS
        sent = due + draw(st.integers(0, 500 * MS))
        gaps = draw(st.lists(st.integers(0, 900 * MS), min_size=1, max_size=6))
        offsets = tuple(accumulate(gaps))
        values = {
            "due_ns": due,
            "sent_ns": sent,
            "done_ns": sent + offsets[-1] + MS,
            "first_chunk_ns": sent + offsets[0],
            "last_chunk_ns": sent + offsets[-1],
            "chunk_ns": offsets,
            "output_tokens": draw(st.integers(1, 12)),
            "prompt_tokens": draw(st.integers(1, 99)),
        }
        made = record(index, **values)
        records.append(made if draw(st.integers(0, 3)) else failed(index, due_ns=due, sent_ns=sent))
    return sorted(records, key=lambda r: r.done_ns)


def quantile(values: list[float], q: float) -> float:
    """numpy.percentile(values or 0, q), by way of the standard library."""
    if len(values) < 2:
        return (values or [0.0])[0]
    return statistics.quantiles(values, n=1000, method="inclusive")[round(q * 10) - 1]


def vllm_would_say(
    records: list[RequestRecord], spec: RunSpec, percentiles: tuple[float, ...]
) -> dict[str, Any]:
    """The definitions of vLLM's calculate_metrics, written down once more, in its floats."""
    outputs = [r for r in sorted(records, key=lambda r: r.index) if r.success]
    start = {r.index: (r.sent_ns - START) / 1e9 for r in records}
    ttft = [r.chunk_ns[0] / 1e9 for r in outputs]
    e2el = [r.chunk_ns[-1] / 1e9 for r in outputs]
    itl = [(b - a) / 1e9 for r in outputs for a, b in pairwise(r.chunk_ns)]
    lens = [r.output_tokens or 0 for r in outputs]
    tpot = [(e - t) / (n - 1) if n > 1 else 0.0 for e, t, n in zip(e2el, ttft, lens, strict=True)]
    of = {
        "ttft": ttft,
        "tpot": [t for t, n in zip(tpot, lens, strict=True) if n > 1],
        "itl": itl,
        "e2el": e2el,
    }
    point = spec.points[0]
    arrival = {r.index: (r.due_ns - START) / 1e9 if point.request_rate else 0.0 for r in records}
    waits = [start[r.index] - arrival[r.index] for r in outputs]
    if point.max_concurrency is not None:
        of["client_queue_time"] = waits
        if point.request_rate is not None:
            both = zip(e2el, waits, strict=True)
            of["e2el_including_client_queue"] = [a + b for a, b in both]
    limits = {name: ms / 1000 for name, ms in spec.goodput.items()}
    good = sum(
        all(limit >= {"ttft": t, "tpot": p, "e2el": e}[name] for name, limit in limits.items())
        for t, p, e in zip(ttft, tpot, e2el, strict=True)
    )
    told: dict[str, Any] = {
        "completed": len(outputs),
        "total_output_tokens": sum(lens),
        "output_throughput": sum(lens) / 10,
        "total_token_throughput": sum(lens + [r.prompt_tokens or 0 for r in outputs]) / 10,
        "request_throughput": len(outputs) / 10,
        "request_goodput": good / 10,
        "ttfts": [r.chunk_ns[0] / 1e9 if r.success else 0.0 for r in by_index(records)],
        "start_times": [r.sent_ns / 1e9 for r in by_index(records)],
        "queue_times": [start[r.index] - arrival[r.index] for r in by_index(records)],
    }
    for name, values in of.items():
        told[f"mean_{name}_ms"] = statistics.fmean(values or [0]) * 1000
        told[f"median_{name}_ms"] = statistics.median(values or [0]) * 1000
        told[f"std_{name}_ms"] = statistics.pstdev(values or [0]) * 1000
        for q in percentiles:
            told[f"p{q:g}_{name}_ms"] = quantile(values, q) * 1000
    return told


def by_index(records: list[RequestRecord]) -> list[RequestRecord]:
    return sorted(records, key=lambda r: r.index)


def close(expected: Any, found: Any) -> bool:
    if isinstance(expected, list):
        return len(expected) == len(found) and all(map(close, expected, found))
    return math.isclose(expected, found, rel_tol=1e-9, abs_tol=1e-6)


@pytest.mark.parametrize(
    "point",
    [
        Point("p", 6),
        Point("p", 6, max_concurrency=3),
        Point("p", 6, max_concurrency=3, request_rate=2.0),
    ],
)
@given(records=traffics())
@settings(max_examples=40)
def test_each_figure_is_what_vllm_s_definition_says(
    records: list[RequestRecord], point: Point
) -> None:
    """On the same traffic, computed the other way."""
    goodput = {"ttft": 400.0, "tpot": 300.0, "e2el": 2500.0}
    spec = replace(run_spec(), points=(point,), goodput=goodput, percentiles=(90.0, 99.9))
    found = result(records, spec, started_ns=START)
    told = vllm_would_say(records, spec, (90.0, 99.0, 99.9))

    assert [] == [key for key, value in told.items() if not close(value, found[key])]
