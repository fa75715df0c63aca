"""The load of a recipe: points, ladders, repeats, a search; and what cannot be."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bench_agent import protocol
from provisioning import recipe
from provisioning.errors import UsageError
from provisioning.recipe_load import Load, Point

#: What the agent takes for the name of a point's folder.
FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def points(*entries: dict[str, Any]) -> tuple[protocol.Point, ...]:
    return Load.model_validate({"points": list(entries)}).protocol_points()


def refusal(*overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        recipe.load("rehearsal", overrides)
    return str(caught.value)


def test_every_key_of_a_point_reaches_the_agent() -> None:
    """With the agent's own names and words."""
    (made,) = points(
        {
            "request_rate": 2.5,
            "max_concurrency": 8,
            "num_prompts": 100,
            "duration_s": 30,
            "burstiness": "inf",
        }
    )
    expected = protocol.Point("00-c8-qps2.5", 100, 8, 2.5, 30.0, burstiness=None)
    assert expected == made


def test_a_ramp_takes_the_place_of_a_rate() -> None:
    """It goes to the agent as it is, and names the point."""
    (made,) = points(
        {
            "ramp_up": {"strategy": "exponential", "start_rps": 1, "end_rps": 10},
            "num_prompts": 50,
        }
    )
    ramp = protocol.RampUp("exponential", 1.0, 10.0)
    assert protocol.Point("00-ramp1-10", 50, ramp_up=ramp) == made


def test_the_slots_of_a_closed_loop_may_open_one_by_one() -> None:
    """Over `ramp_up_s` seconds."""
    (made,) = points({"max_concurrency": 4, "duration_s": 10, "ramp_up_s": 2})
    assert protocol.Point("00-c4", None, 4, duration_s=10.0, ramp_up_s=2.0) == made


def test_a_trace_is_played_for_a_time() -> None:
    """Its requests are due when it says."""
    entry = {"arrivals": "trace", "duration_s": 60}
    data = {"points": [entry], "workload": {"name": "trace"}}
    (made,) = Load.model_validate(data).protocol_points()
    assert protocol.Point("00-trace", duration_s=60.0, arrivals="trace") == made


@pytest.mark.parametrize(
    ("ladder", "names"),
    [
        ({"request_rate": [1, 3, "inf"]}, ["00-qps1", "01-qps3", "02-inf"]),
        ({"max_concurrency": [1, 2, 4]}, ["00-c1", "01-c2", "02-c4"]),
        ({"max_concurrency": [1, 2], "request_rate": 5}, ["00-c1-qps5", "01-c2-qps5"]),
        ({"max_concurrency": [1, 2], "name": "low"}, ["00-low", "01-low"]),
    ],
)
def test_a_list_is_a_ladder_of_points(ladder: dict[str, Any], names: list[str]) -> None:
    """One point for each value, in order."""
    assert names == [p.name for p in points(ladder | {"num_prompts": 5})]


def test_requests_may_grow_with_the_concurrency() -> None:
    """`num_prompts_per_concurrency` times as many as there are slots."""
    made = points({"max_concurrency": [1, 8], "num_prompts_per_concurrency": 10})
    assert [10, 80] == [p.num_prompts for p in made]


def test_a_point_is_measured_again() -> None:
    """Repeats stand one after the other, and each names the first."""
    made = points(
        {"max_concurrency": [4, 8], "num_prompts": 5, "repeats": 2},
        {"request_rate": 1, "num_prompts": 5},
    )
    expected = [
        ("00-c4-r1", None),
        ("01-c4-r2", "00-c4-r1"),
        ("02-c8-r1", None),
        ("03-c8-r2", "02-c8-r1"),
        ("04-qps1", None),
    ]
    assert expected == [(p.name, p.repeat_of) for p in made]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=5, unique=True),
    st.none() | st.integers(1, 10**7),
    st.integers(1, 20),
)
def test_names_are_folders_of_their_own(rates: list[float], cap: int | None, repeats: int) -> None:
    """Whatever the load: no two are the same, and each can be a folder."""
    entry = {"request_rate": rates, "max_concurrency": cap, "num_prompts": 1, "repeats": repeats}
    names = [p.name for p in points(entry)]
    assert len(rates) * repeats == len(set(names))
    assert all(FOLDER.fullmatch(name) for name in names)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{num_prompts: 1}", "needs max_concurrency or request_rate (a number, or inf)"),
        ("{max_concurrency: 1}", "needs num_prompts or duration_s"),
        ("{request_rate: inf, duration_s: 5}", "request_rate inf without max_concurrency needs"),
        ("{request_rate: [1, inf], duration_s: 5}", "without max_concurrency needs num_prompts"),
        ("{request_rate: [1], max_concurrency: [1], num_prompts: 1}", "cannot both be lists"),
        ("{max_concurrency: [], num_prompts: 1}", "max_concurrency: must not be an empty list."),
        ("{max_concurrency: [1, 1], num_prompts: 1}", "has the same step twice"),
        ("{max_concurrency: [1, x], num_prompts: 1}", "must be a whole number from 1 to 10000000"),
        ("{max_concurrency: 0, num_prompts: 1}", "must be a whole number from 1 to 10000000"),
        ("{request_rate: [1, 0], num_prompts: 1}", "must be a number above 0, or inf"),
        ("{max_concurrency: 1, num_prompts: 1, num_prompts_per_concurrency: 1}", "leave one out"),
        ("{request_rate: 1, num_prompts_per_concurrency: 1}", "needs max_concurrency"),
        ("{request_rate: 1, duration_s: 0}", "duration_s: must be > 0.0, got 0"),
        ("{max_concurrency: 1, num_prompts: 1, burstiness: 2}", "burstiness shapes a rate"),
        ("{request_rate: 1, num_prompts: 1, burstiness: 0}", "burstiness: must be a number above"),
        ("{request_rate: 1, num_prompts: 1, ramp_up_s: 1}", "ramp_up_s needs max_concurrency"),
        ("{max_concurrency: 1, num_prompts: 1, repeats: 21}", "repeats: must be ≤ 20, got 21."),
        ("{max_concurrency: 1, num_prompts: 1, arrivals: x}", "must be 'rate' or 'trace'"),
        ("{arrivals: trace, num_prompts: 1}", "a trace needs duration_s"),
        ("{arrivals: trace, duration_s: 1, request_rate: 1}", "a trace has its own arrivals"),
        ("{ramp_up: {start_rps: 1}, num_prompts: 1}", "ramp_up.end_rps: missing. Add it."),
        (
            "{ramp_up: {start_rps: 1, end_rps: 2}, num_prompts: 1, request_rate: 1}",
            "ramp_up takes the place of request_rate",
        ),
    ],
)
def test_a_point_that_cannot_be_is_refused(entry: str, message: str) -> None:
    """One sentence, with the point."""
    said = refusal(f"load.points=[{entry}]")
    assert "load.points[0]" in said
    assert message in said


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("load.goodput.ttft=0", "load.goodput.ttft: must be > 0.0, got 0"),
        ("load.goodput.itl=5", "load.goodput.itl: unknown key"),
        ("load.percentiles=[100]", "load.percentiles[0]: must be < 100.0, got 100"),
        ("load.percentiles=[99.9, 99.9]", "percentiles: one stands twice"),
        ("load.point_gap_s=-1", "load.point_gap_s: must be ≥ 0.0, got -1"),
        ("load.routing=random", "must be 'round_robin' or 'least_busy'"),
        ("load.search={over: request_rate, low: 1}", "load.search.high: missing"),
        ("load.points.0.arrivals=trace", "a trace needs duration_s"),
        (
            "load.points=[{arrivals: trace, duration_s: 1}]",
            "arrivals of a trace need the workload `trace`",
        ),
        (
            "load.search={over: request_rate, low: 1, high: 2, num_prompts: 5}",
            "search needs goodput",
        ),
        (
            "load.search={over: request_rate, low: 2, high: 2, num_prompts: 5}",
            "low must be less than high",
        ),
        ("load.search={over: request_rate, low: 1, high: 2}", "needs num_prompts or duration_s"),
        (
            "load.search={over: max_concurrency, low: 1.5, high: 2, num_prompts: 5}",
            "must be whole numbers of max_concurrency",
        ),
        ("limits.max_preemptions=-1", "limits.max_preemptions: must be ≥ 0, got -1."),
        ("limits.stall_timeout_s=0", "limits.stall_timeout_s: must be > 0.0, got 0"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_path(override: str, message: str) -> None:
    """One sentence: which setting, what it must be."""
    assert message in refusal(override)


def test_a_search_reaches_the_agent() -> None:
    """With its defaults, and the objectives beside it."""
    loaded = recipe.load(
        "rehearsal",
        [
            "load.search.over=max_concurrency",
            "load.search.low=1",
            "load.search.high=64",
            "load.search.duration_s=10",
            "load.search.burstiness=inf",
            "load.goodput.ttft=200",
        ],
    )
    assert loaded.load.search is not None
    expected = protocol.Search("max_concurrency", 1.0, 64.0, duration_s=10.0, burstiness=None)
    assert expected == loaded.load.search.protocol()
    assert {"ttft": 200.0} == loaded.load.goodput.protocol()


def test_a_ladder_can_be_set_on_the_command_line() -> None:
    """The list as YAML, and what it replaces as nothing."""
    first = "load.points.0"
    changes = [f"{first}.max_concurrency=[1,2]", f"{first}.num_prompts=null"]
    loaded = recipe.load("rehearsal", [*changes, f"{first}.duration_s=5"])
    made = [(p.name, p.num_prompts, p.duration_s) for p in loaded.points()]
    assert [("00-c1", None, 5.0), ("01-c2", None, 5.0), ("02-inf", 64, None)] == made


def test_what_is_kept_is_the_ladder_itself() -> None:
    """The recipe beside a result reads as it was written."""
    loaded = recipe.load("rehearsal", ["load.points.0.max_concurrency=[1,2]"])
    kept = yaml.safe_load(loaded.to_yaml())
    assert [1, 2] == kept["load"]["points"][0]["max_concurrency"]
    assert loaded.points() == recipe.Recipe.named("x", kept).points()


def test_a_ladder_is_no_point() -> None:
    """Only its steps can go to the agent."""
    ladder = Point(max_concurrency=[1, 2], num_prompts=1)
    with pytest.raises(TypeError):
        ladder.protocol("00-x")
    with pytest.raises(ValidationError):
        Point(max_concurrency=[], num_prompts=1)
