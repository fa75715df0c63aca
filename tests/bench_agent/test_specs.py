"""Tests of reading a spec."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from bench_agent import specs
from bench_agent.protocol import Limits, Point, RampUp, RunSpec, Search, Target, Workload
from bench_agent.specs import SpecError, at_once, read_spec
from bench_agent.wire import encode
from tests.bench_agent.records import run_spec

TARGET = Target(("http://h:1",), "m")
SECURE = Target(("https://h:1",), "m")
WORKLOAD = Workload(input_len=8, output_len=3)
GOODPUT = {"ttft": 200.0}
LINEAR = RampUp("linear", 1.0, 9.0)
SEARCH = Search("request_rate", 1.0, 8.0, duration_s=5.0)
CAPS = Search("max_concurrency", 1.0, 8.0, num_prompts=8)
ENDLESS = Limits(max_failed_share=1.0)


def text(spec: RunSpec) -> bytes:
    """A spec as it comes over the wire."""
    return json.dumps(encode(spec)).encode()


@pytest.fixture
def trace(tmp_path: Path) -> Workload:
    """Two recorded requests."""
    path = tmp_path / "trace.jsonl"
    lines = [{"timestamp": n, "input_length": 8, "output_length": 3} for n in range(2)]
    path.write_text("\n".join(map(json.dumps, lines)))
    return Workload("trace", options={"path": str(path), "unit": "s"})


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": "2026-11-21T12:00:00Z"},
        {"points": (Point("a", 1), Point("b", 1, repeat_of="a"), Point("c", 1, repeat_of="a"))},
        {"points": (Point("a", None, 4, duration_s=5.0, ramp_up_s=4.9),)},
        {"points": (Point("a", None, None, 2.0, duration_s=5.0, burstiness=None),)},
        {"points": (Point("a", 9, 4, 2.0, duration_s=5.0, burstiness=0.5),)},
        {"points": (Point("a", 9, 4, burstiness=0.5),)},
        {"points": (Point("a", 9, ramp_up=LINEAR),)},
        {"points": (Point("a", duration_s=5.0, ramp_up=RampUp("exponential", 9.0, 1.0)),)},
        {"points": (Point("a", 1), Point("b", duration_s=9.0, max_concurrency=1))},
        {"search": SEARCH, "goodput": GOODPUT},
        {"search": CAPS, "goodput": {"ttft": 1.0, "tpot": 2.0, "e2el": 3.0}},
        {"percentiles": (99.9, 5.0)},
        {"target": replace(TARGET, routing="least_busy")},
        {"limits": ENDLESS},
        {"temperature": 0.0, "point_gap_s": 1.5, "keep_texts": True, "extra_body": {"top_k": 1}},
    ],
)
def test_a_good_spec_is_read_as_it_was(changes: dict[str, Any]) -> None:
    """Nothing that makes sense is refused."""
    spec = run_spec(**changes)

    assert spec == read_spec(text(spec))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run_id": "x"}, "run_id: 'x' is no run id"),
        ({"planned_s": 0.0}, "planned_s: must be more than 0"),
        ({"num_warmups": -1}, "num_warmups: must be at least 0, got -1"),
        ({"workers": 0}, "workers: must be at least 1"),
        ({"temperature": -0.1}, "temperature: must be at least 0"),
        ({"point_gap_s": -1.0}, "point_gap_s: must be at least 0"),
        ({"workload": replace(WORKLOAD, name="nothing")}, r"workload\.name"),
        ({"workload": replace(WORKLOAD, input_len=0)}, r"workload\.input_len"),
        ({"workload": replace(WORKLOAD, output_len=0)}, r"workload\.output_len"),
        ({"expires_at": "tomorrow"}, "expires_at: .*tomorrow"),
        ({"expires_at": "2026-11-21T12:00:00"}, "expires_at: .*no offset"),
        ({"goodput": {"itl": 1.0}}, r"goodput\.itl: ttft, tpot or e2el"),
        ({"goodput": {"ttft": 0.0}}, r"goodput\.ttft: must be more than 0"),
        ({"percentiles": (50.0, 100.0)}, r"percentiles\[1\]: must be .* less than 100"),
        ({"percentiles": (99.9, 99.9)}, r"percentiles\[1\]: stands there twice"),
        ({"extra_body": {"stream": False}}, r"extra_body\.stream: the client sets it"),
    ],
)
def test_a_value_of_the_run_that_cannot_be_is_named(changes: dict[str, Any], message: str) -> None:
    """One sentence, with the path."""
    with pytest.raises(SpecError, match=f"^{message}.*\\.$"):
        read_spec(text(run_spec(**changes)))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (replace(TARGET, base_urls=()), r"target\.base_urls: at least one"),
        (replace(TARGET, base_urls=("http://h", "ftp://h")), r"target\.base_urls\[1\]: ftp://h"),
        (replace(TARGET, base_urls=("http://h/v1/",)), r"target\.base_urls\[0\]: leave out"),
        (replace(TARGET, model=""), r"target\.model: must not be empty"),
        (replace(TARGET, api="embeddings"), r"target\.api: completions or chat"),
        (replace(TARGET, routing="random"), r"target\.routing: round_robin or least_busy"),
        (replace(TARGET, ca_file="/ca"), r"target\.ca_file: .*without an https URL"),
        (replace(TARGET, insecure=True), r"target\.insecure: .*without an https URL"),
    ],
)
def test_a_target_that_cannot_be_is_named(target: Target, message: str) -> None:
    """One sentence, with the path."""
    with pytest.raises(SpecError, match=message):
        read_spec(text(run_spec(target=target)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"ca_file": "/ca"}, None),
        ({"insecure": True}, None),
        ({"ca_file": "/ca", "insecure": True}, r"target\.insecure: .*leave one out"),
    ],
)
def test_https_trusts_a_file_or_anybody(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str | None
) -> None:
    """Or what the system trusts, but not two of these."""
    monkeypatch.setattr(specs, "endpoint", lambda _url, _api: None)
    raw = text(run_spec(target=replace(SECURE, **changes)))
    if message is None:
        assert replace(SECURE, **changes) == read_spec(raw).target
    else:
        with pytest.raises(SpecError, match=message):
            read_spec(raw)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (Point("../a", 1), r"\.name: '\.\./a' is no folder name"),
        (Point("a", 0), r"\.num_prompts: must be at least 1, got 0"),
        (Point("a", 1, 0), r"\.max_concurrency: must be at least 1"),
        (Point("a", 1, None, 0.0), r"\.request_rate: must be more than 0"),
        (Point("a", 1, duration_s=0.0), r"\.duration_s: must be more than 0"),
        (Point("a", 1, None, 1.0, burstiness=0.0), r"\.burstiness: must be more than 0"),
        (Point("a", 1, 1, ramp_up_s=-1.0), r"\.ramp_up_s: must be at least 0"),
        (Point("a", 1, arrivals="burst"), r"\.arrivals: rate or trace"),
        (Point("a", 1, ramp_up=RampUp("step", 1.0, 2.0)), r"\.ramp_up\.strategy: linear or"),
        (Point("a", 1, ramp_up=RampUp("linear", 0.0, 2.0)), r"\.ramp_up\.start_rps: must be more"),
        (Point("a", 1, ramp_up=RampUp("linear", 1.0, 0.0)), r"\.ramp_up\.end_rps: must be more"),
        (Point("a", 1, None, 2.0, ramp_up=LINEAR), r"\.request_rate: ramp_up takes its place"),
        (Point("a", 1, None, 2.0, arrivals="trace"), r"\.request_rate: a trace has its own"),
        (Point("a", 1, ramp_up=LINEAR, arrivals="trace"), r"\.ramp_up: a trace has its own"),
        (Point("a", 1, arrivals="trace"), r"\.arrivals: the workload random has no times"),
        (Point("a", 1, ramp_up_s=1.0), r"\.ramp_up_s: needs max_concurrency and no rate"),
        (Point("a", 1, 2, 2.0, ramp_up_s=1.0), r"\.ramp_up_s: needs max_concurrency and no rate"),
        (Point("a", 1, 2, ramp_up=LINEAR, ramp_up_s=1.0), r"\.ramp_up_s: needs max_conc.* no rate"),
        (Point("a", 1, 2, ramp_up_s=5.0, duration_s=5.0), r"\.ramp_up_s: must be less than dur"),
        (Point("a"), ": needs num_prompts or duration_s; this workload has no end"),
        (Point("a", None, 4), ": needs num_prompts or duration_s; this workload has no end"),
        (Point("a", None, None, 4.0), ": needs num_prompts or duration_s; this workload has no"),
        (Point("a", duration_s=5.0), ": needs num_prompts; this workload has no end"),
    ],
)
def test_a_point_that_cannot_be_is_named(point: Point, message: str) -> None:
    """One sentence, with the path."""
    with pytest.raises(SpecError, match=rf"^points\[1\]{message}.*\.$"):
        read_spec(text(run_spec(points=(Point("first", 1), point))))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ((), "points: at least one is needed"),
        ((Point("a", 1), Point("a", 1)), "points: two have the same name"),
        ((Point("a", 1), Point("b", 2, repeat_of="a")), r"points\[1\]\.repeat_of: its load is not"),
        ((Point("a", 1, repeat_of="b"), Point("b", 1)), r"points\[0\]\.repeat_of: no point before"),
        ((Point("a", 1, repeat_of="a"),), r"points\[0\]\.repeat_of: no point before"),
    ],
)
def test_points_that_do_not_fit_each_other_are_named(
    points: tuple[Point, ...], message: str
) -> None:
    """One sentence, with the path."""
    with pytest.raises(SpecError, match=message):
        read_spec(text(run_spec(points=points)))


@pytest.mark.parametrize(("planned_s", "fits"), [(23.0, False), (23.1, True)])
def test_a_plan_must_hold_its_points(planned_s: float, fits: bool) -> None:
    """With the silence between them; a point with a number may end before its duration."""
    timed = Point("a", None, 1, duration_s=10.0)
    points = (timed, replace(timed, name="b"), Point("c", 1, duration_s=500.0))
    spec = run_spec(points=points, point_gap_s=1.5, planned_s=planned_s)
    if fits:
        assert spec == read_spec(text(spec))
    else:
        with pytest.raises(SpecError, match="planned_s: the points alone take 23 s"):
            read_spec(text(spec))


@pytest.mark.parametrize(
    "point",
    [
        Point("a"),
        Point("a", None, 4),
        Point("a", duration_s=5.0),
        Point("a", arrivals="trace"),
        Point("a", 1, 2, arrivals="trace", duration_s=5.0),
    ],
)
def test_a_workload_that_ends_needs_no_other_end(trace: Workload, point: Point) -> None:
    """A trace has so many lines."""
    spec = run_spec(workload=trace, points=(point,))

    assert spec == read_spec(text(spec))


def test_a_trace_has_no_slots_that_could_open(trace: Workload) -> None:
    """Its requests are due by the clock."""
    point = Point("a", 1, 2, arrivals="trace", ramp_up_s=1.0)
    with pytest.raises(SpecError, match=r"points\[0\]\.ramp_up_s: needs max_concurrency"):
        read_spec(text(run_spec(workload=trace, points=(point,))))


def test_a_workload_that_needs_the_server_has_no_end_as_far_as_anybody_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its requests cannot be made yet; that is told as a lack of the point."""

    def refuse(*_args: object) -> None:
        raise specs.WorkloadError("no tokenizer")

    monkeypatch.setattr(specs.workloads, "requests", refuse)
    monkeypatch.setattr(specs.workloads, "check", lambda *_args: None)
    with pytest.raises(SpecError, match="needs num_prompts or duration_s"):
        read_spec(text(run_spec(points=(Point("a"),))))


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (replace(SEARCH, over="qps"), r"search\.over: max_concurrency or request_rate"),
        (replace(SEARCH, low=0.0), r"search\.low: must be more than 0"),
        (replace(SEARCH, high=math.inf), r"search\.high: must be more than 0, got inf"),
        (replace(SEARCH, high=0.5), r"search\.low: must be less than high"),
        (replace(SEARCH, high=1.0), r"search\.low: must be less than high"),
        (replace(SEARCH, share=0.0), r"search\.share: must be more than 0 and at most 1"),
        (replace(SEARCH, share=1.1), r"search\.share"),
        (replace(SEARCH, precision=0.0), r"search\.precision: must be more than 0"),
        (replace(SEARCH, precision=1.0), r"search\.precision"),
        (replace(SEARCH, max_steps=0), r"search\.max_steps: must be at least 1"),
        (replace(SEARCH, num_prompts=0), r"search\.num_prompts: must be at least 1"),
        (replace(SEARCH, duration_s=-1.0), r"search\.duration_s: must be more than 0"),
        (replace(SEARCH, burstiness=0.0), r"search\.burstiness: must be more than 0"),
        (replace(SEARCH, duration_s=None), "search: needs num_prompts or duration_s"),
        (replace(CAPS, low=1.5), r"search\.low: must be a whole number"),
        (replace(CAPS, high=8.5, num_prompts=9), r"search\.high: must be a whole number"),
        (replace(CAPS, num_prompts=7), r"search\.num_prompts: must be at least high"),
    ],
)
def test_a_search_that_cannot_be_is_named(search: Search, message: str) -> None:
    """One sentence, with the path."""
    with pytest.raises(SpecError, match=message):
        read_spec(text(run_spec(search=search, goodput=GOODPUT)))


def test_a_search_needs_to_know_what_is_good() -> None:
    """Without objectives there is no limit to find."""
    with pytest.raises(SpecError, match="search: needs goodput"):
        read_spec(text(run_spec(search=SEARCH)))


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_a_negative_limit_is_named(name: str) -> None:
    """Every limit there is."""
    value = -1 if name == "max_preemptions" else -0.1
    with pytest.raises(SpecError, match=rf"limits\.{name}: must be .*, got {value}"):
        read_spec(text(run_spec(limits=replace(Limits(), **{name: value}))))


@pytest.mark.parametrize("name", ["request_timeout_s", "stall_timeout_s", "max_client_cpu"])
def test_a_limit_in_which_nothing_can_be_done_is_named(name: str) -> None:
    """Time and CPU of 0; of the others, 0 says that nothing is tolerated."""
    with pytest.raises(SpecError, match=rf"limits\.{name}: must be more than 0"):
        read_spec(text(run_spec(limits=replace(Limits(), **{name: 0.0}))))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_none_is_named(number: str) -> None:
    """JSON as Python reads it knows such numbers."""
    raw = text(run_spec(planned_s=123456.5)).replace(b"123456.5", number.encode())
    with pytest.raises(SpecError, match=r"planned_s: must be more than 0, got (nan|inf)"):
        read_spec(raw)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not JSON"),
        (b"[]", "schema: this agent reads 1, got None"),
        (b'{"schema": 2}', "schema: this agent reads 1, got 2"),
        (b'{"schema": 1}', "run_id: missing"),
    ],
)
def test_another_document_is_refused(raw: bytes, message: str) -> None:
    """Before anything else is looked at."""
    with pytest.raises(SpecError, match=message):
        read_spec(raw)


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (Point("a", 10, 4), 4),
        (Point("a", 3, 4), 3),
        (Point("a", 10), 10),
        (Point("a", None, 7, duration_s=5.0), 7),
        (Point("a", None, None, 2.5, duration_s=5.0), 13),
        (Point("a", None, 9, 2.5, duration_s=5.0), 9),
        (Point("a", ramp_up=RampUp("linear", 4.0, 1.0), duration_s=5.0), 20),
        (Point("a", arrivals="trace"), 256),
    ],
)
def test_most_requests_at_once(point: Point, expected: int) -> None:
    """The least of what bounds them; 256 where nothing does."""
    assert expected == at_once(point)
