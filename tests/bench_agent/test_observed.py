"""Tests of what is read out of telemetry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent import observed
from bench_agent.observed import Observed, energy_j

S = 1_000_000_000
START, END = 100 * S, 110 * S


def line(at_s: float, **fields: Any) -> dict[str, Any]:
    """One of telemetry.jsonl."""
    empty = {"client_cpu": None, "busiest_cpu": None, "server": None, "gpu": None}
    return {"t_ns": round(at_s * S), "point": "p", "load_1m": 0.5, **empty, **fields}


def begin(server: dict[str, float] | None = None) -> dict[str, Any]:
    """The mark before the load."""
    return line(99.9, mark="begin", server=server)


def end(server: dict[str, float] | None = None, **fields: Any) -> dict[str, Any]:
    """The mark after it."""
    return line(110.1, mark="end", server=server, **fields)


def sample(at_s: float, power: float | None, index: int = 0, **fields: Any) -> dict[str, Any]:
    """One GPU at one time."""
    about = {"index": index, "uuid": f"GPU-{index}", "name": "NVIDIA L40S"}
    figures = {
        "power_w": power, "clock_sm_mhz": 2520.0, "clock_mem_mhz": 9001.0, "temperature_c": 60.0,
        "memory_used_mib": 40000.0, "utilization": 90.0, "reasons": 0,
    }  # fmt: skip
    return {"t_ns": round(at_s * S), **about, **figures, **fields}


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """What is observed in these lines."""

    def read(*lines: dict[str, Any]) -> Observed:
        path = tmp_path / "telemetry.jsonl"
        path.write_text("".join(json.dumps(x) + "\n" for x in lines))
        return observed.read(path, "p", START, END)

    return read


def test_without_a_file_nothing_was_seen(tmp_path: Path) -> None:
    """That is no error, nor is a file of other points."""
    assert Observed() == observed.read(tmp_path / "none", "p", START, END)


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    """The others are read."""
    path = tmp_path / "telemetry.jsonl"
    path.write_text('{"t_ns": 1, "po{"t_ns": 2}\n[]\n7\n' + json.dumps(line(105, client_cpu=1.0)))

    assert {"cpu_mean": 1.0, "busiest_cpu_max": None} == observed.read(path, "p", START, END).client


def test_the_clients_cpu_is_that_of_the_point(read: Any) -> None:
    """Its last second is told by the end's line; what was before it does not count."""
    found = read(
        line(99, client_cpu=9.0, busiest_cpu=9.0),
        begin(),
        line(105, client_cpu=1.0, busiest_cpu=0.5),
        end(client_cpu=2.0, busiest_cpu=0.75),
        line(111, client_cpu=9.0, busiest_cpu=9.0),
    )

    assert {"cpu_mean": 1.5, "busiest_cpu_max": 0.75} == found.client
    assert (None, None) == (found.server, found.gpu)


BEFORE = {
    "running": 0.0, "waiting": 0.0, "kv_cache_usage": 0.1, "preemptions": 1.0,
    "prefix_cache_queries": 1000.0, "prefix_cache_hits": 500.0, "prompt_tokens": 1000.0,
    "generation_tokens": 50.0, "requests.stop": 2.0, "ttft_sum": 1.0, "ttft_count": 10.0,
    "queue_sum": 1.0, "queue_count": 10.0, "e2el_sum": 0.0, "e2el_count": 0.0,
}  # fmt: skip
AFTER = {
    **BEFORE, "preemptions": 3.0, "prefix_cache_queries": 2000.0, "prefix_cache_hits": 750.0,
    "prompt_tokens": 3000.0, "generation_tokens": 1050.0, "requests.stop": 12.0,
    "requests.length": 4.0, "ttft_sum": 2.0, "ttft_count": 30.0, "e2el_sum": 14.0,
    "e2el_count": 14.0,
}  # fmt: skip


def test_the_server_is_seen_from_begin_to_end(read: Any) -> None:
    """Counters as differences, gauges at their highest, latencies as means in ms."""
    found = read(
        line(98, point="o", server={**BEFORE, "running": 99.0}),
        begin(BEFORE),
        line(102, server={**BEFORE, "running": 7.0, "waiting": 1.0}),
        line(104, server={**BEFORE, "running": 5.0, "waiting": 2.0, "kv_cache_usage": 0.5}),
        line(105),
        end(AFTER),
        line(111, point="", server={**AFTER, "running": 99.0, "generation_tokens": 9999.0}),
    )

    assert {
        "running_max": 7.0, "waiting_max": 2.0, "kv_cache_usage_max": 0.5, "restarted": False,
        "preemptions": 2, "prefix_cache_queries": 1000, "prefix_cache_hits": 250,
        "prefix_cache_hit_ratio": 0.25, "prompt_tokens": 2000, "generation_tokens": 1000,
        "mean_generation_throughput": 100.0, "requests": {"stop": 10, "length": 4},
        "ttft_ms_mean": 50.0, "queue_ms_mean": None, "prefill_ms_mean": None,
        "e2el_ms_mean": 1000.0,
    } == found.server  # fmt: skip


def test_speculative_decoding_is_told_where_there_was_any(read: Any) -> None:
    """Positions in order of number."""
    before = {f"spec_decode.per_pos.{n}": 1.0 for n in range(11)}
    after = {f"spec_decode.per_pos.{n}": 12.0 - n for n in range(11)}
    for name, value in (("drafts", 20.0), ("draft_tokens", 60.0), ("accepted_tokens", 55.0)):
        before[f"spec_decode.num_{name}"] = 10.0
        after[f"spec_decode.num_{name}"] = value

    assert {
        "num_drafts": 10, "num_draft_tokens": 50, "num_accepted_tokens": 45,
        "per_pos": [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
    } == read(begin(before), end(after)).server["spec_decode"]  # fmt: skip
    assert "spec_decode" not in read(begin(before), end(before)).server


@pytest.mark.parametrize("at", ["during", "end"])
def test_a_restart_takes_the_counters_away(read: Any, at: str) -> None:
    """Differences over it mean nothing."""
    again = {**AFTER, "restarted": True}
    between = line(105, server=again if at == "during" else BEFORE)
    server = read(begin(BEFORE), between, end(again if at == "end" else AFTER)).server

    assert (True, None, None, None, 0.0) == (
        server["restarted"], server["generation_tokens"], server["requests"],
        server["ttft_ms_mean"], server["running_max"],
    )  # fmt: skip


def test_a_restart_before_the_point_does_not_matter(read: Any) -> None:
    """The begin is after it."""
    server = read(begin({**BEFORE, "restarted": True}), end(AFTER)).server

    assert (False, 1000) == (server["restarted"], server["generation_tokens"])


@pytest.mark.parametrize(
    "lines",
    [
        [line(99.9, server=BEFORE), line(105, server=BEFORE), end(AFTER)],
        [begin(BEFORE), line(105, server=BEFORE), line(110.1, server=AFTER)],
        [begin(), line(105, server=BEFORE), end(AFTER)],
        [begin(BEFORE), line(105, server=BEFORE), end()],
    ],
)
def test_without_both_marks_there_are_no_differences(read: Any, lines: list[Any]) -> None:
    """What the gauges tell is kept."""
    server = read(*lines).server

    assert (0.0, None, False) == (
        server["running_max"],
        server["generation_tokens"],
        server["restarted"],
    )


def test_the_last_begin_counts(read: Any) -> None:
    """A point may have been begun before, and left; others do not matter."""
    found = read(
        begin({**BEFORE, "generation_tokens": 0.0}),
        line(99.91, point="o", mark="begin", server={"generation_tokens": 1.0}),
        line(99.92, point="o", mark="end", server={"generation_tokens": 2.0}),
        begin(BEFORE),
        end(AFTER),
        line(120, server={"generation_tokens": 9999.0}),
    )

    assert 1000 == found.server["generation_tokens"]


def gpu_line(*samples: dict[str, Any]) -> dict[str, Any]:
    """A line that bears them; when it was written does not matter."""
    return line(200, point="", gpu=list(samples))


def test_gpus_are_seen_together(read: Any) -> None:
    """Power and energy are those of all, edges cut exactly; throttling is a share of samples."""
    times = [99.5 + 0.5 * n for n in range(23)]
    first = [sample(t, 100.0, clock_sm_mhz=2000.0 if t == 105 else 2500.0) for t in times]
    second = [sample(t, 300.0, 1, temperature_c=70.0 + (t == 103), reasons=0x24) for t in times]
    gpu = read(gpu_line(*first, *second)).gpu
    shares = gpu.pop("throttled_share")

    assert {
        "count": 2, "name": "NVIDIA L40S", "samples": 42, "power_w_mean": 400.0,
        "energy_j": 4000.0, "energy_valid": True, "energy_reason": None,
        "clock_sm_mhz_mean": pytest.approx((2000 + 20 * 2500 + 21 * 2520) / 42),
        "clock_sm_mhz_min": 2000.0, "temperature_c_max": 71.0, "memory_used_mib_max": 40000.0,
        "utilization_mean": 90.0,
    } == gpu  # fmt: skip
    assert {
        "sw_power_cap": 0.5, "hw_slowdown": 0.0, "sw_thermal": 0.5, "hw_thermal": 0.0,
        "hw_power_brake": 0.0,
    } == shares  # fmt: skip


@pytest.mark.parametrize(
    ("name", "bit"),
    [
        ("sw_power_cap", 0x4), ("hw_slowdown", 0x8), ("sw_thermal", 0x20),
        ("hw_thermal", 0x40), ("hw_power_brake", 0x80), (None, 0x1), (None, 0x100),
    ],
)  # fmt: skip
def test_each_reason_has_its_bit(read: Any, name: str | None, bit: int) -> None:
    """Idle and clocks that were set are no throttling."""
    shares = read(gpu_line(sample(105, 1.0, reasons=bit))).gpu["throttled_share"]

    assert [name] * (name is not None) == [key for key, share in shares.items() if share]


def test_a_gpu_that_tells_nothing_is_there(read: Any) -> None:
    """Its figures are None."""
    nothing = {
        "clock_sm_mhz": None, "temperature_c": None, "memory_used_mib": None,
        "utilization": None, "reasons": None,
    }  # fmt: skip
    gpu = read(gpu_line(*[sample(100 + n, None, **nothing) for n in range(10)])).gpu

    assert (1, 10, None, "no_power", False) == (
        gpu["count"], gpu["samples"], gpu["energy_j"], gpu["energy_reason"], gpu["energy_valid"],
    )  # fmt: skip
    assert [None] * 6 == [
        gpu[key]
        for key in (
            "power_w_mean", "clock_sm_mhz_mean", "clock_sm_mhz_min", "temperature_c_max",
            "utilization_mean", "throttled_share",
        )
    ]  # fmt: skip


def test_one_gpu_without_power_leaves_no_sum(read: Any) -> None:
    """Part of the energy is not the energy."""
    good = [sample(99.5 + n, 100.0) for n in range(12)]
    poor = [sample(99.5 + n, None, 1) for n in range(12)]

    assert (None, "no_power") == tuple(
        read(gpu_line(*good, *poor)).gpu[key] for key in ("energy_j", "energy_reason")
    )


def test_gpus_that_fell_silent_are_not_forgotten(read: Any) -> None:
    """Nvidia-smi hung before the point."""
    gpu = read(gpu_line(sample(50, 100.0)), line(105, gpu=[])).gpu

    assert (1, 0, "few_samples") == (gpu["count"], gpu["samples"], gpu["energy_reason"])


@pytest.mark.parametrize(
    ("samples", "energy"),
    [
        ([(-1, 10), (1, 10), (3, 10), (5, 10)], 40.0),
        ([(-1, 0), (1, 20), (3, 20), (5, 0)], 15.0 + 40.0 + 15.0),
        ([(-3, 0), (-1, 0), (0, 10), (4, 30), (5, 0)], "gap"),
        ([(0, 10), (3, 10), (4, 10)], 40.0),
        ([(-2.5, 10), (1, 10), (3, 10), (5, 10)], "gap"),
        ([(1, 10), (3, 10), (5, 10)], "edge"),
        ([(-1, 10), (1, 10), (3, 10)], "edge"),
        ([(-1, 10), (2, 10), (5, 10)], "few_samples"),
        ([], "few_samples"),
    ],
)
def test_energy_is_cut_at_the_edges(samples: list[Any], energy: object) -> None:
    """A gap over 3 s, or no sample beyond an edge, and it is not known."""
    assert energy == energy_j(samples, 0.0, 4.0)


@given(
    st.lists(st.floats(0.1, 2.5), min_size=9, max_size=30),
    st.floats(0, 800),
    st.floats(-20, 20),
    st.floats(0.0, 0.3),
)
def test_a_straight_line_is_integrated_exactly(
    gaps: list[float], power: float, slope: float, cut: float
) -> None:
    """Wherever the samples and the edges lie."""
    times = [sum(gaps[:n]) for n in range(len(gaps) + 1)]
    start, end = times[-1] * cut, times[-1] * (1 - cut)
    found = energy_j([(t, power + slope * t) for t in times], start, end)
    true = (end - start) * (power + slope * (start + end) / 2)

    assert found == "few_samples" or found == pytest.approx(true, abs=1e-6)
