"""Tests of due times: their distribution, their ends, and that they are the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from statistics import fmean, pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent.load.schedule import due_s, rate_at
from bench_agent.protocol import Point, RampUp

RATE = 7.0
MANY = 20_000
SEEDS = ("0", "1", "2", "3", "4")
#: A right sampler fails a test at this level once in 10 000 seeds; these seeds are fixed.
UNLIKELY = 1e-4

Distribution = Callable[[float], float]


def point(**changes: object) -> Point:
    """A rate for as long as anybody wants."""
    return replace(Point("p", request_rate=RATE, duration_s=1e9), **changes)  # type: ignore[arg-type] # any field


def gaps(times: Sequence[float]) -> list[float]:
    """From the start to the first, and from each to the next."""
    return [b - a for a, b in pairwise([0.0, *times])]


def fit(values: Sequence[float], cdf: Distribution) -> float:
    """P-value of the Kolmogorov-Smirnov test, by Stephens' approximation for large samples."""
    n = len(values)
    steps = enumerate(map(cdf, sorted(values)))
    distance = max(max(share - i / n, (i + 1) / n - share) for i, share in steps)
    scaled = distance * (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n))
    terms = ((-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(1.0, 2 * sum(terms))


def exponential(gap: float) -> float:
    """Gaps of a Poisson process."""
    return 1 - math.exp(-RATE * gap)


def gamma_half(gap: float) -> float:
    """Gamma of shape 0.5, scale 1/(0.5 rate)."""
    return math.erf(math.sqrt(0.5 * RATE * gap))


def gamma_four(gap: float) -> float:
    """Gamma of shape 4, scale 1/(4 rate)."""
    x = 4 * RATE * gap
    return 1 - math.exp(-x) * sum(x**k / math.factorial(k) for k in range(4))


SHAPES = {0.5: gamma_half, 1.0: exponential, 4.0: gamma_four}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("burstiness", SHAPES)
def test_gaps_are_gamma_of_that_shape(burstiness: float, seed: str) -> None:
    """Burstiness 1 is Poisson: exponential gaps."""
    times = list(islice(due_s(point(burstiness=burstiness), seed, None), MANY))

    assert fit(gaps(times), SHAPES[burstiness]) > UNLIKELY


@pytest.mark.parametrize("seed", SEEDS)
def test_gaps_are_exponential_when_stretched_too(seed: str) -> None:
    """With a number of requests and no duration."""
    times = list(due_s(point(duration_s=None, num_prompts=MANY), seed, MANY))

    assert fit(gaps(times), exponential) > UNLIKELY


@pytest.mark.parametrize(
    ("burstiness", "rate"), [(1.1, RATE), (0.9, RATE), (1.0, RATE * 1.05), (None, RATE)]
)
def test_the_fit_refuses_what_is_not_quite_poisson(burstiness: float | None, rate: float) -> None:
    """So that the tests above can fail."""
    near = point(burstiness=burstiness, request_rate=rate)
    times = list(islice(due_s(near, "0", None), MANY))

    assert fit(gaps(times), exponential) < UNLIKELY


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("burstiness", SHAPES)
def test_gaps_have_the_mean_and_variance_of_that_shape(burstiness: float, seed: str) -> None:
    """1/rate and 1/(rate² burstiness), within four standard errors."""
    found = gaps(list(islice(due_s(point(burstiness=burstiness), seed, None), MANY)))
    variance = 1 / (RATE**2 * burstiness)
    kurtosis = 6 / burstiness

    assert 1 / RATE == pytest.approx(fmean(found), abs=4 * math.sqrt(variance / MANY))
    assert variance == pytest.approx(pvariance(found), rel=4 * math.sqrt((kurtosis + 2) / MANY))


@pytest.mark.parametrize("seed", SEEDS)
def test_counts_per_second_are_as_dispersed_as_poisson(seed: str) -> None:
    """Variance over mean is 1, within four standard errors of that index."""
    seconds = 2000
    index = dispersion(seed, 1.0, seconds)

    assert 1.0 == pytest.approx(index, abs=4 * math.sqrt(2 / seconds))


@pytest.mark.parametrize(("burstiness", "expected"), [(0.5, 2.0), (4.0, 0.25), (None, 0.0)])
def test_burstiness_shows_in_the_counts_per_second(
    burstiness: float | None, expected: float
) -> None:
    """Their dispersion tends to 1/burstiness."""
    assert expected == pytest.approx(dispersion("0", burstiness, 2000), rel=0.2, abs=0.01)


def dispersion(seed: str, burstiness: float | None, seconds: int) -> float:
    """Variance over mean of the counts per second at 32 requests/s."""
    steady = point(request_rate=32.0, burstiness=burstiness, duration_s=float(seconds))
    counts = [0] * seconds
    for time in due_s(steady, seed, None):
        counts[min(int(time), seconds - 1)] += 1
    assert sum(counts) > 30 * seconds
    return pvariance(counts) / fmean(counts)


def test_gaps_do_not_depend_on_each_other() -> None:
    """Correlation with the next within four standard errors of none."""
    found = gaps(list(islice(due_s(point(), "0", None), MANY)))
    mean, variance = fmean(found), pvariance(found)
    covariance = fmean([(a - mean) * (b - mean) for a, b in pairwise(found)])

    assert 0.0 == pytest.approx(covariance / variance, abs=4 / math.sqrt(MANY))


@pytest.mark.parametrize(
    ("burstiness", "expected"),
    [
        (1.0, [0.064133138, 0.402992009, 0.467392765, 0.886475319]),
        (0.5, [0.00074099, 0.022306811, 0.026092862, 0.076627015]),
        (4.0, [0.114533617, 0.201601809, 0.305348902, 0.501077946]),
    ],
)
def test_a_seed_gives_these_times_in_every_python(burstiness: float, expected: list[float]) -> None:
    """A change here moves numbers: arrivals of published runs could not be made again."""
    times = islice(due_s(point(burstiness=burstiness), "0", None), 4)

    assert expected == [round(time, 9) for time in times]


def test_another_seed_gives_other_times() -> None:
    """At once, not only later."""
    first, second = (next(due_s(point(), seed, None)) for seed in ("0", "1"))

    assert first != second


@given(
    st.integers(1, 300),
    st.floats(0.01, 1e4),
    st.none() | st.floats(0.05, 50.0),
    st.text(max_size=5),
)
def test_the_last_of_a_number_of_requests_is_at_number_over_rate(
    total: int, rate: float, burstiness: float | None, seed: str
) -> None:
    """Exactly, as vLLM stretches them; all of them are there and in order."""
    plan = Point("p", num_prompts=total, request_rate=rate, burstiness=burstiness)
    times = list(due_s(plan, seed, total))

    assert (total, total / rate) == (len(times), times[-1])
    assert sorted(times) == times


def test_a_constant_interval_is_constant() -> None:
    """The first request waits for one interval, as vLLM's does."""
    plan = Point("p", num_prompts=4, request_rate=8.0, burstiness=None)

    assert [0.125, 0.25, 0.375, 0.5] == list(due_s(plan, "0", 4))


def test_a_duration_takes_in_its_own_end() -> None:
    """5 requests/s for 120 s are 600 requests."""
    plan = Point("p", request_rate=5.0, burstiness=None, duration_s=120.0)
    times = list(due_s(plan, "0", None))

    assert (600, 120.0) == (len(times), times[-1])


@given(st.floats(0.1, 30.0), st.none() | st.floats(0.2, 20.0))
def test_nothing_is_due_after_the_duration(duration: float, burstiness: float | None) -> None:
    """And what is due before is what would be due without an end."""
    endless = point(burstiness=burstiness)
    expected = [t for t in islice(due_s(endless, "0", None), 1000) if t <= duration]

    assert expected == list(due_s(replace(endless, duration_s=duration), "0", None))


@pytest.mark.parametrize(("duration", "expected"), [(1.0, 8), (2.0, 10)])
def test_number_and_duration_end_at_whatever_comes_first(duration: float, expected: int) -> None:
    """Not stretched: the rate is what was asked for."""
    plan = Point("p", 10, request_rate=8.0, burstiness=None, duration_s=duration)

    assert expected == len(list(due_s(plan, "0", 10)))


def test_number_and_duration_stretch_nothing() -> None:
    """Arrivals are those of the duration alone, until there are enough."""
    endless = point(num_prompts=None)

    assert list(islice(due_s(endless, "0", None), 9)) == list(due_s(endless, "0", 9))


LINEAR = RampUp("linear", 2.0, 10.0)
EXPONENTIAL = RampUp("exponential", 1.0, 16.0)


@pytest.mark.parametrize(
    ("ramp", "progress", "expected"),
    [
        (LINEAR, 0.0, 2.0),
        (LINEAR, 0.5, 6.0),
        (LINEAR, 1.0, 10.0),
        (EXPONENTIAL, 0.0, 1.0),
        (EXPONENTIAL, 0.25, 2.0),
        (EXPONENTIAL, 0.5, 4.0),
        (EXPONENTIAL, 1.0, 16.0),
    ],
)
def test_the_rate_of_a_ramp_up(ramp: RampUp, progress: float, expected: float) -> None:
    """From its start to its end: evenly, or by even factors."""
    assert expected == rate_at(ramp, progress)


def test_a_ramp_up_over_requests_goes_by_their_number() -> None:
    """The gap before request i is 1/rate at progress i/(total - 1), and nothing is stretched."""
    plan = Point("p", num_prompts=5, burstiness=None, ramp_up=LINEAR)
    found = gaps(list(due_s(plan, "0", 5)))

    assert [1 / 2, 1 / 4, 1 / 6, 1 / 8, 1 / 10] == pytest.approx(found)


def test_a_ramp_up_with_number_and_duration_goes_by_the_number() -> None:
    """The duration is an end, and no measure of progress."""
    plan = Point("p", num_prompts=5, burstiness=None, ramp_up=LINEAR, duration_s=0.8)

    assert [1 / 2, 1 / 4] == pytest.approx(gaps(list(due_s(plan, "0", 5))))


def test_an_exponential_ramp_up_over_requests() -> None:
    """By even factors from request to request."""
    plan = Point("p", num_prompts=5, burstiness=None, ramp_up=EXPONENTIAL)

    assert [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16] == pytest.approx(gaps(list(due_s(plan, "0", 5))))


def test_a_ramp_up_of_one_request_has_the_start_rate() -> None:
    """There is no progress to divide by."""
    plan = Point("p", num_prompts=1, burstiness=None, ramp_up=LINEAR)

    assert [0.5] == list(due_s(plan, "0", 1))


@pytest.mark.parametrize(
    "ramp",
    [
        LINEAR,
        EXPONENTIAL,
        RampUp("linear", 10.0, 2.0),
        RampUp("linear", 10.0, 0.01),
        RampUp("exponential", 16.0, 1.0),
        RampUp("linear", 5.0, 5.0),
        RampUp("exponential", 5.0, 5.0),
    ],
)
@pytest.mark.parametrize("burstiness", [None, 1.0])
def test_a_ramp_up_over_a_duration_goes_by_time(ramp: RampUp, burstiness: float | None) -> None:
    """In each tenth of it, as many are due as the rate in its middle says."""
    duration = 4000.0
    plan = Point("p", burstiness=burstiness, ramp_up=ramp, duration_s=duration)
    counts = [0] * 10
    for time in due_s(plan, "0", None):
        counts[min(int(time / duration * 10), 9)] += 1
    expected = [rate_at(ramp, (tenth + 0.5) / 10) * duration / 10 for tenth in range(10)]
    wide = 0.02 if burstiness is None else 0.15

    assert expected == pytest.approx(counts, rel=wide)


def test_a_workload_that_ends_does_not_change_a_ramp_up_over_a_duration() -> None:
    """Its number of requests is an end, and no measure of progress."""
    plan = Point("p", burstiness=None, ramp_up=LINEAR, duration_s=10.0)
    endless = list(due_s(plan, "0", None))

    assert endless[:20] == list(due_s(plan, "0", 20))
