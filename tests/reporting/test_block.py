from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench_agent.protocol import Point, PointSummary, Stats, Verdict
from reporting.block import COLUMNS, WIDTH, result_block, run_block, run_blocks, vllm_figures
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
    block = result_block(SUMMARY, vllm={"max_output_tokens_per_s": 1200})

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


def test_goodput_is_printed_where_there_were_objectives() -> None:
    """After the request throughput, as vLLM does it."""
    lines = stripped(result_block(replace(SUMMARY, request_goodput=7.5)))

    assert "Request goodput (req/s):                 7.50" == lines[9]
    assert lines[8].startswith("Request throughput")
    assert lines[10].startswith("Output token throughput")


QUEUEING = """\
---------------Client-side Queueing---------------
Mean Client Queue Time (ms):             1.00
Median Client Queue Time (ms):           2.00
P99 Client Queue Time (ms):              3.00
P99.9 Client Queue Time (ms):            3.50
--------Queue-inclusive End-to-end Latency--------
Mean E2EL incl. Client Queue (ms):       4.00
Median E2EL incl. Client Queue (ms):     5.00
P99 E2EL incl. Client Queue (ms):        6.00
P99.9 E2EL incl. Client Queue (ms):      6.50
---------------Speculative Decoding---------------
Acceptance rate (%):                     50.00
Acceptance length:                       1.50
Drafts:                                  10
Draft tokens:                            20
Accepted tokens:                         10
Per-position acceptance (%):
  Position 0:                            75.00
  Position 1:                            25.00
==================================================
Verdict: valid
Peak concurrent requests, exactly: 32"""
SPEC_DECODE = {
    "spec_decode_acceptance_rate": 50.0,
    "spec_decode_acceptance_length": 1.5,
    "spec_decode_num_drafts": 10,
    "spec_decode_draft_tokens": 20,
    "spec_decode_accepted_tokens": 10,
    "spec_decode_per_position_acceptance_rates": [0.75, 0.25],
}


def test_sections_that_vllm_prints_on_condition() -> None:
    """Queueing under a cap, speculative decoding where it was; each percentile asked for."""
    known = {"p99_ttft_ms": 39.5, "p99.9_ttft_ms": 40.0, "max_concurrent_requests": 96}
    values = {"client_queue_time": (1, 2, 3, 3.5), "e2el_including_client_queue": (4, 5, 6, 6.5)}
    for name, figures in values.items():
        for of, value in zip(("mean", "median", "p99", "p99.9"), figures, strict=True):
            known[f"{of}_{name}_ms"] = value
    lines = stripped(result_block(SUMMARY, vllm=known | SPEC_DECODE))

    assert QUEUEING.splitlines() == lines[-len(QUEUEING.splitlines()) :]
    assert "Peak concurrent requests:                96.00" in lines
    assert "P99.9 TTFT (ms):                         0.00" in lines  # not in this summary
    no_positions = SPEC_DECODE | {"spec_decode_per_position_acceptance_rates": []}
    assert "Per-position" not in result_block(SUMMARY, vllm=no_positions)


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


def test_percentiles_from_too_few_requests_are_named() -> None:
    """A figure that is printed above is taken back here."""
    few = replace(SUMMARY, completed=50, unsupported_percentiles=("p99", "p99.9"))

    assert (
        "Of 50 requests there is no P99, P99.9: too few for it."
        == (result_block(few).splitlines()[-1])
    )


def test_the_steady_time_is_told_beside_the_whole() -> None:
    """Its length and throughputs."""
    steady = {"from_ns": 0, "to_ns": 9_500_000_000}
    steady |= {"request_throughput": 8.25, "output_throughput": 1056.0}

    assert (
        "Between ramp-up and drain (9.5 s): 8.25 req/s, 1,056 tok/s"
        == (result_block(replace(SUMMARY, steady=steady)).splitlines()[-1])
    )


def test_figures_are_read_from_behind_the_lists(tmp_path: Path) -> None:
    """A list of a million entries is not read; what was never written is not there."""
    path = tmp_path / "vllm.json"
    lists = ", ".join(["0.01"] * 100_000)
    text = (
        '{\n "duration": 1.0,\n "itls": [[%s]],\n "rtfx": 0.0,\n "a": [1, 2],\n "b": {"c": 1}\n}\n'
    )
    path.write_text(text % lists)

    assert {"rtfx": 0.0, "a": [1, 2], "b": {"c": 1}} == vllm_figures(path)
    path.write_text(' "torn": [1,\n "rtfx": 0.0,\n')
    assert {"rtfx": 0.0} == vllm_figures(path)
    assert {} == vllm_figures(tmp_path / "none")


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
