"""Every recipe can be rehearsed: without GPU, driver and model, and in less than a minute."""

from __future__ import annotations

from typing import Any

import pytest

from bench_agent import protocol
from provisioning import bench, data_file, launchers, needs, recipe, rehearsal, rendering
from provisioning.recipe_schema import Recipe
from provisioning.site import Site
from tests.provisioning.fakes import NoRemote

TITLES = [one.title for name in recipe.names() for one in recipe.series(name)]
SITE = Site("local", NoRemote(), "/w")
LONGEST_S = 45.0


def rehearsed(title: str, *overrides: str) -> Recipe:
    return recipe.load(title, overrides, rehearse=True)


def changed(*overrides: str) -> Recipe:
    return rehearsed("rehearsal", *overrides)


def point_s(point: protocol.Point, output_len: int) -> float:
    """Seconds of a point against the simulator, about."""
    one = (rehearsal.TTFT_MS + rehearsal.ITL_MS * output_len) / 1e3
    if point.num_prompts is None:
        return (point.duration_s or 0) + one
    if point.request_rate:
        return point.num_prompts / point.request_rate + one
    waves = -(-point.num_prompts // (point.max_concurrency or point.num_prompts))
    return waves * one


def test_there_are_recipes() -> None:
    """The tests below run on something."""
    assert {"rehearsal", "g4-qwen3-32b-fp8:8gpu", "spark-vllm:latency"} <= set(TITLES)


@pytest.mark.parametrize("title", TITLES)
def test_it_wants_nothing_that_a_laptop_has_not(title: str) -> None:
    """No GPU, driver, toolkit, environment, model or room; Docker where the launcher does."""
    real, made = recipe.load(title), rehearsed(title)
    wanted = needs.of(made, None, "/w")

    assert ("simulator", False) == (made.engine.name, wanted.weights)
    # A node of others is not there: what stands in for it is started here.
    runs = launchers.load(real.launcher).RUNS
    assert ("process" if runs == "node" else real.launcher) == made.launcher
    asked = made.host.model_dump(exclude_defaults=True)
    docker = real.host.docker if runs == "container" else None
    assert ({"docker"} if docker else set()) == asked.keys()
    assert docker == made.host.docker


@pytest.mark.parametrize("title", TITLES)
def test_it_is_rendered_by_its_own_launcher(title: str) -> None:
    """And as a process, which wants no Docker either."""
    for made in (rehearsed(title), rehearsed(title, "launcher=process")):
        shown = rendering.rendered(made)
        assert "simulate" in shown.spec.argv
        assert made.launcher == shown.recipe.launcher
        assert "nvidia" not in str(shown.spec.describe()).lower()


@pytest.mark.parametrize("title", TITLES)
def test_the_agent_takes_it_and_it_is_short(title: str) -> None:
    """The points are those of the recipe, by number and kind, with less in them."""
    real, made = recipe.load(title), rehearsed(title)
    bench.checked(SITE, made, data_file.find(made))
    points, shape = made.points(), made.load.workload

    assert [p.name for p in real.points()] == [p.name for p in points]
    assert (real.load.workload.name, real.load.workload.input_len) == (shape.name, shape.input_len)
    assert LONGEST_S > sum(point_s(point, shape.output_len) + 1 for point in points)
    assert all((p.num_prompts or 99) >= rehearsal.FEWEST_PROMPTS for p in points)


@pytest.mark.parametrize("title", TITLES)
def test_it_says_what_it_stands_for(title: str) -> None:
    """The manifest of a rehearsal cannot be taken for that of a measurement."""
    real, made = recipe.load(title), rehearsed(title)
    told = bench.told_of(made, None)["rehearsal_of"]

    assert (real.engine.name, real.model.name) == (told["engine"], told["model"])
    assert real.title == made.title
    assert "rehearsal_of" not in bench.told_of(real, None)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["load.points=[{request_rate: [0.01, 2, 500], num_prompts: 900}]"], [0.25, 2.0, 50.0]),
        (["load.points=[{max_concurrency: [1, 64, 512], num_prompts: 900}]"], [1, 32]),
        (["load.points=[{request_rate: 0.01, duration_s: 900}]"], [0.25]),
    ],
)
def test_loads_are_played_within_bounds(overrides: list[str], expected: list[float]) -> None:
    """Rates and concurrency that a small machine can play; steps that become equal are one."""
    points = changed(*overrides).points()
    assert expected == [p.request_rate or p.max_concurrency for p in points]
    assert all(p.num_prompts is None or p.num_prompts <= rehearsal.MOST_PROMPTS for p in points)


@pytest.mark.parametrize(
    "overrides",
    [
        ["load.points=[{ramp_up: {start_rps: 0.1, end_rps: 900}, duration_s: 900}]"],
        ["load.points=[{max_concurrency: 9, num_prompts_per_concurrency: 99, ramp_up_s: 60}]"],
        ["load.points=[{max_concurrency: 2, duration_s: 900, repeats: 20}]", "load.point_gap_s=9"],
        [
            "load.search={over: max_concurrency, low: 1, high: 64, num_prompts: 999}",
            "load.goodput.e2el=9",
        ],
        [
            "load.search={over: request_rate, low: 1, high: 64, duration_s: 999}",
            "load.goodput.e2el=9",
        ],
        ["load.workload.output_len=4096", "load.num_warmups=99", "load.percentiles=[99.9]"],
    ],
)
def test_every_kind_of_load_is_cut(overrides: list[str]) -> None:
    """The agent takes it, and nothing in it is long or wants thousands of requests."""
    made = changed("planned_s=null", *overrides)
    bench.checked(SITE, made, None)
    load = made.load

    assert len(load.protocol_points()) <= 4
    assert all((p.duration_s or 0) <= rehearsal.LOAD_S for p in load.protocol_points())
    assert all((p.num_prompts or 0) <= 2 * rehearsal.MOST_PROMPTS for p in load.protocol_points())
    assert load.workload.output_len <= rehearsal.MOST_TOKENS_OUT
    assert (load.num_warmups <= 2, load.point_gap_s <= 0.5, load.percentiles) == (True, True, [])
    if load.search:
        assert load.search.max_steps <= rehearsal.SEARCH_STEPS
        assert (load.search.num_prompts or 0) <= rehearsal.MOST_AT_ONCE
        assert (load.search.duration_s or 0) <= rehearsal.LOAD_S


@pytest.mark.parametrize(
    ("override", "read", "expected"),
    [
        ("load.points.0.num_prompts=2", lambda r: r.load.points[0].num_prompts, 2),
        ("load.points.0.num_prompts=999", lambda r: r.load.points[0].num_prompts, 32),
        ("planned_s=99", lambda r: r.planned_s, 99.0),
        ("timeouts.ready_s=3", lambda r: r.timeouts.ready_s, 3.0),
        ("host.docker.source=present", lambda r: r.host.docker.source, "present"),
        ("engine.container.image=i:2", lambda r: r.engine.container.image, "i:2"),
        ("engine.args.max_num_seqs=3", lambda r: r.engine.args["max_num_seqs"], 3),
        ("engine.args.dtype=half", lambda r: "dtype" in r.engine.args, False),
        ("engine.env.NCCL_DEBUG=INFO", lambda r: r.engine.env, {}),
        ("host.gpu.count=4", lambda r: r.host.gpu, None),
        ("layout.tensor_parallel=2", lambda r: r.layout.tensor_parallel, 1),
        ("model.revision=abc", lambda r: r.model.revision, None),
        ("layout.instances=fill", lambda r: r.layout.instances, 2),
        ("model.name=other/one", lambda r: r.model.name, "other/one"),
    ],
)
def test_an_override_is_heard_where_it_means_something(
    override: str, read: Any, expected: Any
) -> None:
    """Load, launcher and Docker are rehearsed; what is for GPU, model and engine alone is not."""
    assert expected == read(rehearsed("g4-qwen3-32b-fp8:1gpu", override))


def test_several_instances_stay_several() -> None:
    """Two are enough to rehearse what is in front of them."""
    made = changed("layout={instances: 8, front: nginx}")
    assert (2, "nginx") == (made.layout.instances, made.layout.front)
    assert "agent" == changed("layout.instances=1").layout.front
