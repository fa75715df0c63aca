from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench_agent.protocol import Point, PointSummary, Stats, Verdict
from reporting.block import COLUMNS, WIDTH, result_block, run_block, run_blocks
from reporting.run import load

STATS = Stats(12.345, 11.0, 1.5, 9.0, 40.0, {"p50": 11.0, "p99": 39.5}, 100)
SUMMARY = PointSummary(
    schema=1,
    run_id="20261121T113405Z-rehearsal-1f2e",
    point=Point("00-c32", 100, max_concurrency=32, request_rate=10),
    verdict=Verdict(valid=True),
    started_ns=0,
    ended_ns=12_340_000_000,
    duration_s=12.34,
    requested=100,
    completed=100,
    failed=0,
    failures={},
    total_input_tokens=102_400,
    total_output_tokens=12_800,
    request_throughput=8.104,
    output_throughput=1037.277,
    total_token_throughput=9335.494,
    peak_concurrency=32,
    ttft_ms=STATS,
    tpot_ms=STATS,
    itl_ms=STATS,
    e2el_ms=STATS,
)

BLOCK = """\
============ Serving Benchmark Result ============
Successful requests:                     100
Failed requests:                         0
Maximum request concurrency:             32
Request rate configured (RPS):           10.00
Benchmark duration (s):                  12.34
Total input tokens:                      102400
Total generated tokens:                  12800
Request throughput (req/s):              8.10
Output token throughput (tok/s):         1037.28
Peak output token throughput (tok/s):    1200.00
Peak concurrent requests:                32.00
Total token throughput (tok/s):          9335.49
---------------Time to First Token----------------
Mean TTFT (ms):                          12.35
Median TTFT (ms):                        11.00
P99 TTFT (ms):                           39.50
-----Time per Output Token (excl. 1st token)------
Mean TPOT (ms):                          12.35
Median TPOT (ms):                        11.00
P99 TPOT (ms):                           39.50
---------------Inter-token Latency----------------
Mean ITL (ms):                           12.35
Median ITL (ms):                         11.00
P99 ITL (ms):                            39.50
----------------End-to-end Latency----------------
Mean E2EL (ms):                          12.35
Median E2EL (ms):                        11.00
P99 E2EL (ms):                           39.50
==================================================
Verdict: valid"""


def stripped(text: str) -> list[str]:
    """Lines without the padding that vLLM leaves at their ends."""
    return [line.rstrip() for line in text.splitlines()]


def test_the_block_is_vllms_line_for_line() -> None:
    """Wording, order, widths and decimals are those of `vllm bench serve` 0.33."""
    block = result_block(SUMMARY, peak_output_tokens_per_s=1200)

    assert BLOCK.splitlines() == stripped(block)


def test_figures_are_padded_as_vllm_pads_them() -> None:
    """Labels take 40 columns, figures at least 10: a diff with vLLM's own output is empty."""
    lines = result_block(SUMMARY).splitlines()

    assert "Successful requests:                     100       " == lines[1]
    assert "Benchmark duration (s):                  12.34     " == lines[5]
    assert {WIDTH} == {len(line) for line in lines if line.startswith(("-", "="))}


def test_lines_without_a_setting_are_left_out() -> None:
    """As with vLLM: no cap, rate inf; and no peak where vllm.json has none."""
    block = result_block(replace(SUMMARY, point=Point("00-inf", 100)))

    assert "Maximum request concurrency" not in block
    assert "Request rate configured" not in block
    assert "Peak output token throughput" not in block


def test_a_point_without_a_success_prints_zeros_as_vllm_does() -> None:
    """No distribution is no reason to break."""
    empty = replace(SUMMARY, ttft_ms=None, tpot_ms=None, itl_ms=None, e2el_ms=None)

    assert "P99 E2EL (ms):                           0.00" in stripped(result_block(empty))


def test_what_speaks_against_a_point_follows_its_block() -> None:
    """Verdict, reasons, failure classes and the client's own error, within 80 columns."""
    reason = "the share of reads that held several events is 0.31, over the limit of 0.2, " * 2
    doubtful = replace(
        SUMMARY, verdict=Verdict(False, (reason,)), failures={"timeout": 2, "refused": 1}
    )

    block = result_block(doubtful, calibration={"ttft_error_ms": 0.184})
    after = block.splitlines()[-5:]

    assert "Verdict: not valid" == after[0]
    assert (
        "  - the share of reads that held several events is 0.31, over the limit of 0.2,"
        == (after[1])
    )
    assert "Failures: refused 1, timeout 2" == after[-2]
    assert "Client's own error: TTFT +0.184 ms (by its calibration)" == after[-1]
    assert max(len(line) for line in block.splitlines()) <= COLUMNS


def test_the_points_of_a_run_as_a_table(whole: Path) -> None:
    """One line a point under one head, within 80 columns, figures aligned to the right."""
    head, first, second = run_block(load(whole)).splitlines()

    assert "point                 done TTFT mean  p99 ms ITL p50  p99 ms    tok/s verdict" == head
    assert first.startswith("00-c4                24/24     56.89   68.12   10.21   11.18    323.")
    assert first.endswith(" valid")
    assert second.endswith(" not valid")
    assert max(map(len, (head, first, second))) <= COLUMNS


def test_a_run_that_measured_nothing_says_so(failed: Path) -> None:
    """No empty table."""
    expected = "Run 20261121T120210Z-rehearsal-77ab: failed, nothing was measured."

    assert expected == run_block(load(failed))


def test_the_blocks_of_a_run_know_vllms_peak_and_the_calibration(whole: Path) -> None:
    """What the summary of a point does not hold is looked up beside it."""
    blocks = [block for _, block in run_blocks(load(whole))]

    assert 2 == len(blocks)
    assert all("Peak output token throughput (tok/s):" in block for block in blocks)
    assert all("TTFT mean +0.184 ms" in block for block in blocks)
