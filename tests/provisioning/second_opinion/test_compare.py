"""Two clients' figures of one point."""

from __future__ import annotations

from dataclasses import replace

from bench_agent.protocol import Point, PointSummary, Stats, Verdict
from provisioning.second_opinion.base import FIGURES, Opinion
from provisioning.second_opinion.compare import compared, figures_of

STATS = Stats(20.0, 19.0, 1.0, 9.0, 40.0, {"p50": 19.0, "p99": 39.5}, 10)
OURS = PointSummary(
    schema=1,
    run_id="r",
    point=Point("00-c2", 10, 2),
    verdict=Verdict(valid=True),
    started_ns=0,
    ended_ns=1,
    duration_s=2.0,
    requested=10,
    completed=10,
    failed=0,
    failures={},
    total_input_tokens=1000,
    total_output_tokens=100,
    request_throughput=5.0,
    output_throughput=50.0,
    total_token_throughput=550.0,
    peak_concurrency=2,
    ttft_ms=STATS,
    tpot_ms=STATS,
    itl_ms=STATS,
    e2el_ms=replace(STATS, mean=200.0),
)
CALIBRATION = {"ttft_error_ms": {"mean": -0.5}, "itl_error_ms": {"mean": 0.1}}


def opinion(**figures: float) -> Opinion:
    """What another client found."""
    return Opinion("compressa", "0.2.8", "00-c2", figures)


def test_every_figure_has_its_counterpart() -> None:
    """All that a tool may give, the agent has."""
    ours = figures_of(OURS)

    assert set(FIGURES) == ours.keys()
    assert (500.0, 20.0) == (ours["input_throughput"], ours["e2el_per_output_token_ms"])


def test_a_difference_beyond_the_clients_error_is_said() -> None:
    """In the unit of the figure: ms, or a share of a throughput."""
    found = compared(
        opinion(mean_ttft_ms=20.4, median_ttft_ms=19.6, mean_e2el_ms=199.3, output_throughput=49.8),
        OURS,
        CALIBRATION,
    )["figures"]

    assert {
        "mean_ttft_ms": (0.5, False),
        "median_ttft_ms": (0.5, True),
        "mean_e2el_ms": (0.6, True),
        "output_throughput": (0.125, True),
    } == {name: (round(row["error"], 6), row["beyond"]) for name, row in found.items()}
    assert -0.2 == round(found["output_throughput"]["differs"], 6)


def test_counts_have_no_error() -> None:
    """They are right or wrong; without a calibration nothing is judged."""
    counted = compared(opinion(completed=10, duration_s=3.0), OURS, CALIBRATION)["figures"]
    unjudged = compared(opinion(mean_ttft_ms=99.0), OURS, None)["figures"]

    assert not any("beyond" in row for row in (counted | unjudged).values())
    assert 79.0 == unjudged["mean_ttft_ms"]["differs"]


def test_another_load_is_told() -> None:
    """By tokens a request, and by what failed."""
    same = compared(opinion(completed=5, input_tokens=500, output_tokens=50), OURS, None)
    other = compared(opinion(completed=9, failed=1, input_tokens=900, output_tokens=45), OURS, None)

    assert [] == same["notes"]
    assert [
        "It was another load: a reply had 5.0 tokens on average, and 10.0 in ours.",
        "1 of its requests failed.",
    ] == other["notes"]


def test_no_figures_need_no_comparison() -> None:
    """The reason stands alone."""
    found = compared(Opinion("compressa", "0.2.8", "00-c2", reason="it died"), OURS, CALIBRATION)

    assert {"figures": {}, "reason": "it died", "notes": []} == found


def test_where_we_measured_nothing_theirs_stands_alone() -> None:
    """There is nothing to differ from."""
    mute = replace(OURS, ttft_ms=None, e2el_ms=None, completed=0, total_output_tokens=0)

    found = compared(opinion(mean_ttft_ms=3.0, request_throughput=1.0), mute, CALIBRATION)

    assert {"ours": None, "theirs": 3.0} == found["figures"]["mean_ttft_ms"]
    assert "beyond" not in found["figures"]["request_throughput"]
