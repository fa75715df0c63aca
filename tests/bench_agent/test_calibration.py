"""Tests of the client's own error."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent import calibration, storage
from bench_agent.calibration import CalibrationError, OverloadError, Shape, calibrate, find, measure
from bench_agent.load.plan import LoadError
from bench_agent.load.tally import Tally
from bench_agent.protocol import Limits, Point, Search
from tests.bench_agent.records import run_spec

SHAPE = Shape(4, 400.0, 1)


def go_on(_tally: Tally) -> bool:
    """Nobody stops it."""
    return True


def figures(rate: float = 400.0, error_ms: float = 0.1, **changes: Any) -> dict[str, Any]:
    """What a measurement at that rate comes to."""
    errors = {"mean": error_ms, "p99": error_ms, "max": error_ms}
    return {
        "tokens_per_s": rate,
        "ttft_error_ms": errors,
        "itl_error_ms": errors,
        "true_itl_ms": {"p50": 10.0, "p99": 12.0},
        "itl_ms": 10.0,
        "coalesced_share": 0.0,
        "cpu_us_per_token": 4.0,
        "busiest_cpu": 0.1,
        "lag_ms": {"p50": 0.1, "p99": 1.0, "max": 1.0},
        "note": None,
        "ladder": [],
        **changes,
    }


LATE = {"true_itl_ms": {"p50": 10.0, "p99": 20.1}}


class Host:
    """Stands in for `measure`: a client that fails above `good` tokens/s."""

    def __init__(self, good: float = 1e9, reach: float = 1e9, overload: float = 1e9) -> None:
        self.good = good
        self.reach = reach
        self.overload = overload
        self.rates: list[float] = []
        self.changes: dict[str, Any] = {}

    def __call__(self, shape: Shape, _tick: Any) -> dict[str, Any]:
        """One measurement."""
        rate = shape.tokens_per_s
        self.rates.append(round(rate))
        if rate > self.overload:
            raise OverloadError("too much")
        error = 0.1 if rate <= self.good else 9.0
        return figures(min(rate, self.reach), error, **self.changes)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host that is as good as a test says."""
    one = Host()
    monkeypatch.setattr(calibration, "measure", one)
    return one


@pytest.mark.parametrize(
    ("points", "search", "streams"),
    [
        ((Point("a", 100, 4), Point("b", 100, 16)), None, 16),
        ((Point("a", 10, 64),), None, 10),
        ((Point("a", 1000),), None, 1000),
        ((Point("a", 5000),), None, 1024),
        ((Point("a", 10, 4),), Search("max_concurrency", 1, 96, num_prompts=200), 96),
        ((Point("a", 10, 4),), Search("request_rate", 1, 30, duration_s=2.5), 75),
    ],
)
def test_the_largest_load_is_calibrated(
    points: tuple[Point, ...], search: Search | None, streams: int
) -> None:
    """Of the points and of what the search may come to, within a bound."""
    assert streams == calibration.largest_streams(run_spec(points=points, search=search))


@pytest.mark.parametrize(
    ("streams", "cores", "rate"),
    [(4, 2, 400), (256, 2, 20_000), (1024, 1, 10_000), (1024, 64, 40_000)],
)
def test_the_rate_is_what_the_host_can_simulate(
    streams: int, cores: int, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 tokens/s a stream, and so many a core."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(cores)))

    assert rate == calibration.usual_rate(streams)


@given(streams=st.integers(1, 4096), rate=st.floats(0.01, 1e9))
def test_a_measurement_is_short(streams: int, rate: float) -> None:
    """Whatever is asked for: some gaps in each request, and seconds in all."""
    shape = Shape(streams, rate, 1)

    assert shape.tokens >= 2
    assert 0.1 <= shape.planned_s <= 6.0
    assert 2 * streams * shape.tokens <= 200_000


@pytest.mark.parametrize(("streams", "tokens", "seconds"), [(4, 64, 1.36), (1024, 24, 2.87)])
def test_a_usual_measurement_takes_seconds(streams: int, tokens: int, seconds: float) -> None:
    """Two waves of requests; fewer tokens where the host can send no more."""
    shape = Shape(streams, min(100.0 * streams, 20_000), 1)

    assert (tokens, seconds) == (shape.tokens, round(shape.planned_s, 2))


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({}, True),
        ({"lag_ms": None}, True),
        ({"ttft_error_ms": {"mean": 5.1}}, False),
        ({"itl_error_ms": {"mean": 5.1}}, False),
        ({"coalesced_share": 0.21}, False),
        ({"lag_ms": {"p99": 20.1}}, False),
        ({"busiest_cpu": 0.91}, False),
    ],
)
def test_a_client_holds_within_all_limits(changes: dict[str, Any], held: bool) -> None:
    """Those by which a point would be invalid."""
    assert held is calibration.holds(figures(**changes), Limits())


@pytest.mark.parametrize(
    ("rungs", "highest", "bound"),
    [
        ([figures()], 400.0, True),
        ([figures(error_ms=9.0)], None, False),
        ([figures(), figures(800.0, 9.0)], 400.0, False),
        ([figures(), figures(800.0, 9.0, **LATE)], 400.0, True),
        ([figures(), figures(800.0, 9.0), figures(1600.0)], 400.0, False),
    ],
)
def test_what_can_be_believed(
    rungs: list[dict[str, Any]], highest: float | None, bound: bool
) -> None:
    """The highest rate below all at which the client failed; its limit, unless the machine was
    late there.
    """  # noqa: D205 - one thought
    found = calibration.believable({**rungs[0], "ladder": rungs[1:] and rungs}, Limits())

    assert {
        "highest_believable_tokens_per_s": highest,
        "highest_is_lower_bound": bound,
    } == found


@pytest.mark.parametrize(
    ("make", "rates", "highest", "bound"),
    [
        (Host(good=1000), [400, 800, 1600, 1131], 800, False),
        (Host(good=1200), [400, 800, 1600, 1131], 1131, False),
        (Host(good=150), [400, 200, 100, 141], 141, False),
        (Host(good=1), [400, 200, 100, 50, 25, 12], None, False),
        (Host(), [400, 800, 1600, 3200, 6400, 12800], 12800, True),
        (Host(reach=1000), [400, 800, 1600], 1000, True),
        (Host(overload=1000), [400, 800, 1600], 800, True),
    ],
)
def test_a_ladder_ends_where_the_client_does(
    make: Host,
    rates: list[float],
    highest: float | None,
    bound: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Up while it holds, down while it does not, one step in between; or where the host ends."""
    monkeypatch.setattr(calibration, "measure", make)
    said: list[str] = []
    rungs = calibration.climb(SHAPE, make(SHAPE, go_on), go_on, Limits(), said.append)
    found = calibration.believable({"ladder": rungs}, Limits())
    highest_found = found["highest_believable_tokens_per_s"]

    assert rates == make.rates
    assert (highest, bound) == (
        highest_found and round(highest_found),
        found["highest_is_lower_bound"],
    )
    assert len(rungs) - 1 == len(said)


def test_what_is_known_is_not_measured_again(tmp_path: Path, host: Host) -> None:
    """At once, unless it is forced; of any number of workers beyond the streams."""
    first = find(SHAPE, tmp_path / "cache", go_on, Limits())
    again = find(replace(SHAPE, workers=4), tmp_path / "cache", go_on, Limits())
    more = find(replace(SHAPE, workers=9), tmp_path / "cache", go_on, Limits())
    forced = find(SHAPE, tmp_path / "cache", go_on, Limits(), force=True)

    assert [False, False, True, False] == [f["cached"] for f in (first, again, more, forced)]
    assert {**again, "cached": True} == more
    assert [400, 400, 400] == host.rates


def test_another_load_or_agent_is_measured(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a file of its own."""
    spec = run_spec(points=(Point("a", 8, 4),))
    calibrate(spec, 1, tmp_path, go_on)
    find(replace(SHAPE, tokens_per_s=500.0), tmp_path, go_on, Limits())
    monkeypatch.setattr("bench_agent.identity.agent_sha256", lambda: "other")
    found = calibrate(spec, 1, tmp_path, go_on)

    assert ([400, 500, 400], False) == (host.rates, found["cached"])
    assert {"agent_sha256", "kernel", "cpu", "streams", "tokens_per_s", "workers"} == set(
        found["key"]
    )
    assert 3 == len(list(tmp_path.iterdir()))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": "torn"}'])
def test_a_torn_cache_is_measured_anew(tmp_path: Path, host: Host, text: str) -> None:
    """And mended."""
    find(SHAPE, tmp_path, go_on, Limits())
    (path,) = tmp_path.iterdir()
    path.write_text(text)
    find(SHAPE, tmp_path, go_on, Limits())

    assert [400, 400] == host.rates
    assert 400.0 == json.loads(path.read_text())["tokens_per_s"]


def test_a_ladder_is_kept_for_those_who_ask_for_none(tmp_path: Path, host: Host) -> None:
    """But not the other way round."""
    host.good = 500.0
    find(SHAPE, tmp_path, go_on, Limits())
    climbed = find(SHAPE, tmp_path, go_on, Limits(), ladder=True)
    plain = find(SHAPE, tmp_path, go_on, Limits())

    assert [False, True] == [climbed["cached"], plain["cached"]]
    assert [400, 800, 566] == [round(rung["tokens_per_s"]) for rung in plain["ladder"]]
    assert [400, 400, 800, 566] == host.rates


def test_a_measurement_on_a_late_machine_is_not_kept(tmp_path: Path, host: Host) -> None:
    """It would make points invalid long after the machine has come to rest."""
    host.changes = LATE
    find(SHAPE, tmp_path, go_on, Limits())

    assert [] == list(tmp_path.iterdir())


def test_limits_are_those_of_today(tmp_path: Path, host: Host) -> None:
    """What was measured is kept, not what was made of it."""
    find(SHAPE, tmp_path, go_on, Limits())
    strict = find(SHAPE, tmp_path, go_on, Limits(max_client_error_ms=0.05))

    assert (True, None) == (strict["cached"], strict["highest_believable_tokens_per_s"])
    assert [400] == host.rates


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path, host: Host) -> None:
    """The result stands, and is measured again the next time."""
    (tmp_path / "cache").write_text("a file")
    find(SHAPE, tmp_path / "cache", go_on, Limits())
    find(SHAPE, tmp_path / "cache", go_on, Limits())

    assert [400, 400] == host.rates


def test_runs_side_by_side_write_files_of_their_own(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one to rename has the last word; no half file is ever there to be read."""
    names: list[str] = []
    write: Callable[[Path, Any], None] = storage.write_json

    def note(path: Path, value: Any) -> None:
        names.append(path.name)
        write(path, value)

    monkeypatch.setattr(storage, "write_json", note)
    for pid in (11, 12):
        monkeypatch.setattr("os.getpid", lambda pid=pid: pid)
        find(SHAPE, tmp_path, go_on, Limits(), force=True)
    (path,) = tmp_path.iterdir()

    assert [f"{path.stem}-11.json", f"{path.stem}-12.json"] == names
    assert [400, 400] == host.rates


@pytest.mark.integration
def test_the_client_is_right_within_a_millisecond(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this very host, token by token; the next run finds it in the cache.

    A machine with other things to do gets several chances: the simulator's are among them.
    """
    monkeypatch.setattr(calibration, "_LATE_MS", 1e6)
    spec = run_spec(points=(Point("a", 8, 4),))
    for number in range(5):
        cache = tmp_path / str(number)
        first = calibrate(spec, 1, cache, go_on)
        if max(first[f"{name}_error_ms"]["mean"] for name in ("ttft", "itl", "token")) < 1.0:
            break
    again = calibrate(spec, 1, cache, go_on)

    assert (4, 512) == (first["streams"], first["tokens"])
    assert [False, True] == [first["cached"], again["cached"]]
    assert 0.0 < first["ttft_error_ms"]["mean"] < 1.0
    assert first["itl_error_ms"]["mean"] < 1.0
    assert 0.0 < first["token_error_ms"]["mean"] < 1.0
    assert 9.0 < first["true_itl_ms"]["p50"] < 15.0
    assert 0.0 < first["tokens_per_s"] <= 400.0
    assert 0.0 < first["cpu_us_per_token"]
    assert {**first, "cached": True} == again


@pytest.mark.integration
def test_workers_share_a_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    """All their tokens are compared."""
    monkeypatch.setattr(calibration, "_FEW_TOKENS", 6)
    monkeypatch.setattr(calibration, "_GAPS_S", 0.05)

    assert 5 * 2 * 6 == measure(Shape(5, 500.0, 2), go_on)["tokens"]


def test_a_late_machine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the gap that was due and the one that was there."""
    monkeypatch.setattr(calibration, "_LATE_MS", -1e6)
    monkeypatch.setattr(calibration, "_GAPS_S", 0.01)
    monkeypatch.setattr(calibration, "_FEW_TOKENS", 2)
    note = measure(Shape(1, 1000.0, 1), go_on)["note"]

    assert re.fullmatch(r"The machine itself was late .* is [\d.]+ ms where 1.0 ms were due.", note)


def test_a_stopped_calibration_says_nothing(tmp_path: Path) -> None:
    """And is not cached."""
    with pytest.raises(CalibrationError, match="could not be measured") as caught:
        calibrate(run_spec(), 1, tmp_path / "cache", lambda _tally: False)

    assert not isinstance(caught.value, OverloadError)
    assert not (tmp_path / "cache").exists()


def test_a_host_that_is_too_busy_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience has an end."""
    monkeypatch.setattr(calibration, "_PATIENCE_S", -60.0)

    with pytest.raises(OverloadError, match="too busy"):
        measure(SHAPE, go_on)


def test_a_load_that_cannot_be_put_on_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """As what it is; the run goes on without a calibration."""

    def fails(*_args: object) -> None:
        raise LoadError("A load worker died.")

    monkeypatch.setattr(calibration, "drive", fails)

    with pytest.raises(CalibrationError, match=r"own simulator: A load worker died\."):
        measure(SHAPE, go_on)


def test_requests_that_fail_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many, and how."""
    load = calibration._load
    monkeypatch.setattr(
        calibration, "_load", lambda url, shape: replace(load(url, shape), model="other")
    )

    with pytest.raises(CalibrationError, match=r"8 of 8 requests failed \(http_error"):
        measure(SHAPE, go_on)


def test_tokens_that_nobody_sent_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then there is nothing to compare with."""
    monkeypatch.setattr(calibration, "get", lambda *_args, **_more: (200, b""))

    with pytest.raises(CalibrationError, match="own simulator: they count different tokens"):
        measure(replace(SHAPE, streams=1, tokens_per_s=5000.0), go_on)
