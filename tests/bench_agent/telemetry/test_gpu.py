"""Tests of reading nvidia-smi."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench_agent import clock
from bench_agent.telemetry import gpu
from bench_agent.telemetry.gpu import GpuWatch, parse
from tests.bench_agent.telemetry.conftest import ECC, LINE, POOR, UNKNOWN, Smi, eventually, sets


@pytest.fixture
def watches() -> Iterator[list[GpuWatch]]:
    """What is in it is stopped."""
    started: list[GpuWatch] = []
    yield started
    for watch in started:
        watch.stop()


@pytest.fixture
def watch(watches: list[GpuWatch]) -> Any:
    """Start one, and take samples until there are so many."""

    def start(count: int) -> tuple[GpuWatch, list[dict[str, Any]]]:
        found: list[dict[str, Any]] = []
        watches.append(GpuWatch())
        assert eventually(lambda: found.extend(watches[-1].take() or ()) or len(found) >= count)
        return watches[-1], found

    return start


def test_a_line_is_a_sample() -> None:
    """With the time at which it came, and units in its names."""
    assert {
        "t_ns": 7, "index": 3, "uuid": "GPU-5d0c5f2e-1111-2222-3333-444455556663",
        "name": "NVIDIA H100 80GB HBM3", "power_w": 612.25, "clock_sm_mhz": 1755.0,
        "clock_mem_mhz": 2619.0, "temperature_c": 54.0, "memory_used_mib": 71312.0,
        "utilization": 97.0, "reasons": 4,
    } == parse(LINE.format(index=3, power=612.25) + "\r\n", 7)  # fmt: skip


def test_what_a_gpu_does_not_tell_is_none() -> None:
    """The rest is kept."""
    sample = parse(POOR, 0)

    assert sample is not None
    assert (None, None, 24576.0, None, None) == tuple(
        sample[key]
        for key in ("power_w", "temperature_c", "memory_used_mib", "utilization", "reasons")
    )


@pytest.mark.parametrize("reasons", ["0xZZ", "N/A", "0x"])
def test_odd_reasons_are_none(reasons: str) -> None:
    """As odd figures are."""
    sample = parse(LINE.format(index=0, power="nan").rpartition(" ")[0] + f" {reasons}", 0)

    assert sample is not None
    assert (None, None) == (sample["reasons"], sample["power_w"])


@example(",²,,,,,,,,,")
@given(st.one_of(st.text(), st.lists(st.text(), min_size=11, max_size=11).map(",".join)))
def test_any_other_line_does_no_harm(line: str) -> None:
    """Garbage, messages, half a line."""
    sample = parse(line, 0)

    assert sample is None or sample["index"] >= 0


def test_messages_are_no_samples() -> None:
    """Nor is a refusal."""
    assert [None, None, None] == [parse(text, 0) for text in (ECC, UNKNOWN, "")]


def test_eight_gpus_are_read(smi: Smi, watch: Any) -> None:
    """Each with the time its line came, whatever stands between the lines."""
    smi(f"head -c 300 /dev/urandom; echo; echo '{ECC}'\n{sets(100, 200, count=8)}exec sleep 60")
    before = time.time_ns()
    found = watch(16)[1]
    times = [sample["t_ns"] for sample in found]

    assert [*range(8)] * 2 == [sample["index"] for sample in found]
    assert [100.0] * 8 + [200.0] * 8 == [sample["power_w"] for sample in found]
    assert before < times[0] <= times[7] < times[7] + 10_000_000 < times[8]
    assert times == sorted(times)


def test_no_line_waits_in_a_buffer(smi: Smi, watch: Any) -> None:
    """As those of a program do that writes to a pipe."""
    line = LINE.format(index=0, power=1)
    smi(f"exec python3 -c 'import time; print(\"{line}\"); time.sleep(60)'")

    assert [1.0] == [sample["power_w"] for sample in watch(1)[1]]


def test_older_drivers_have_another_name_for_the_reasons(smi: Smi, watch: Any) -> None:
    """It is asked for when they refuse the new one."""
    pids = smi(
        f"case \"$*\" in *event_reasons*) echo '{UNKNOWN}'; exit 2;; esac\n{sets(5)}exec sleep 60"
    )

    assert 5.0 == watch(1)[1][0]["power_w"]
    assert ["event", "throttle"] == [
        line.partition("clocks_")[2].partition("_")[0] for line in pids.read_text().splitlines()
    ]


def test_no_nvidia_smi_is_no_error(
    watches: list[GpuWatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no samples then."""
    monkeypatch.setenv("PATH", "/nowhere")
    watches.append(GpuWatch())
    watches[0]._thread.join(10)

    assert (False, None) == (watches[0]._thread.is_alive(), watches[0].take())


@pytest.mark.parametrize("script", [f"echo '{UNKNOWN}'; exit 2", "echo No driver; exit 9"])
def test_no_gpu_is_no_error(watches: list[GpuWatch], smi: Smi, script: str) -> None:
    """Nvidia-smi is not asked again and again."""
    pids = smi(script)
    watches.append(GpuWatch())
    watches[0]._thread.join(10)

    assert (False, None) == (watches[0]._thread.is_alive(), watches[0].take())
    assert 1 <= len(pids.read_text().splitlines()) <= 2


def test_one_that_died_is_started_again(
    smi: Smi, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while."""
    monkeypatch.setattr(gpu, "_AGAIN_S", 0.05)
    pids = smi(sets(1, 2) + "kill -9 $$")

    assert [1.0, 2.0, 1.0] == [sample["power_w"] for sample in watch(3)[1]][:3]
    assert len(pids.read_text().splitlines()) >= 2


def test_one_that_hangs_is_not_waited_for(
    smi: Smi, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No samples come, and nothing else happens; in the end it is killed."""
    monkeypatch.setattr(gpu, "_SILENT_NS", 0)
    pids = smi(sets(1) + "trap '' HUP TERM INT\nwhile :; do sleep 1; done")
    watched = watch(1)[0]
    start = time.monotonic()
    watched.wait_past(time.time_ns(), time.time_ns() + 10**10)
    waited = time.monotonic() - start
    watched.stop()
    pid = int(pids.read_text().split()[0])

    assert ([], True) == (watched.take(), waited < 1.0)
    assert eventually(lambda: clock.process_started(pid) is None)


def test_a_later_sample_of_each_is_waited_for(smi: Smi, watch: Any) -> None:
    """Not longer than it is allowed to."""
    smi(sets(1, 2, 3, count=2) + "exec sleep 60")
    watched = watch(2)[0]
    asked = time.time_ns()
    watched.wait_past(asked, asked + 10**10)
    in_time = min(watched._last_ns.values())
    watched._last_ns = {0: asked + 10**11, 1: 0}
    until = time.time_ns() + 2 * 10**8
    watched.wait_past(asked + 10**11, until)

    assert in_time >= asked
    assert 0 <= time.time_ns() - until < 2 * 10**9
