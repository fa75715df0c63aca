"""What the agent is told of a recipe: all of it, with its file where the host has it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from bench_agent import protocol, specs, wire
from provisioning import bench, data_file, recipe
from provisioning.errors import UsageError
from provisioning.recipe_schema import Recipe
from provisioning.site import Site
from tests.provisioning.fakes import NoRemote

RUN = "20261121T101500Z-rehearsal-0a1b"
SITE = Site("url", NoRemote(), "/w", None, "http://127.0.0.1:8000")
TARGET = protocol.Target(("http://127.0.0.1:8000",), "m")
#: Every key of a load, none at its default.
EVERY = """
load.workload={name: prompts, output_len: 8, seed: 3, options: {prompts: [a]}}
load.points=[{max_concurrency: [1, 2], duration_s: 5, repeats: 2}]
load.search={over: request_rate, low: 1, high: 8, num_prompts: 20}
load.goodput={ttft: 200, tpot: 20, e2el: 2000}
load.percentiles=[99.9]
load.point_gap_s=1.5
load.keep_texts=true
load.routing=least_busy
load.num_warmups=3
load.ignore_eos=false
load.temperature=0
load.extra_body={top_p: 0.9}
load.api=chat
limits={max_failed_share: 0.1, request_timeout_s: 9, stall_timeout_s: 8, max_send_delay_ms: 7,
  max_coalesced_share: 0.3, max_client_error_ms: 6, max_client_cpu: 0.8, max_client_lag_ms: 9,
  max_token_gap: 0.2, max_cache_hit_excess: 0.3, max_preemptions: 4, max_throttled_share: 0.5,
  max_drift: 0.6}
"""


def changed(*changes: str) -> Recipe:
    return recipe.load("rehearsal", [c for c in changes if c])


def every() -> Recipe:
    return changed(*EVERY.strip().replace("\n  ", " ").splitlines())


def spec(of: Recipe) -> protocol.RunSpec:
    return bench.run_spec(SITE, of, RUN, TARGET, {"a": 1})


def test_every_key_of_the_load_reaches_the_agent() -> None:
    """None of it is at the protocol's default."""
    told = spec(every())
    plain = protocol.RunSpec(
        protocol.SCHEMA, RUN, "url", "r", TARGET, protocol.Workload(), told.points, 1.0
    )
    kept = {"schema", "run_id", "stack", "target", "points", "workers", "calibrate", "expires_at"}
    same = {
        field.name
        for field in dataclasses.fields(plain)
        if getattr(plain, field.name) == getattr(told, field.name)
    }

    assert kept == same
    assert [] == [
        field.name
        for field in dataclasses.fields(protocol.Limits)
        if getattr(told.limits, field.name) == getattr(protocol.Limits(), field.name)
    ]
    assert {"ttft": 200.0, "tpot": 20.0, "e2el": 2000.0} == told.goodput
    assert ["00-c1-r1", "01-c1-r2", "02-c2-r1", "03-c2-r2"] == [p.name for p in told.points]


def test_what_the_agent_is_told_survives_the_way() -> None:
    """As JSON and back."""
    told = spec(every())
    assert told == wire.decode(protocol.RunSpec, wire.encode(told))


@pytest.mark.parametrize("of", [changed(), every()], ids=["rehearsal", "every key"])
def test_the_agent_accepts_what_it_is_told(of: Recipe) -> None:
    """Recipes that are valid here are valid there."""
    told = spec(of)
    assert told == specs.check(told)


def test_the_manifest_keeps_the_recipe_as_it_was_written() -> None:
    """Not as it was expanded."""
    kept = yaml.safe_load(spec(every()).recipe_yaml)
    assert [1, 2] == kept["load"]["points"][0]["max_concurrency"]


def test_a_workload_reads_its_file(tmp_path: Path) -> None:
    """Where it lies at the controller, until the host has it."""
    (tmp_path / "p.txt").write_text("one\ntwo\n")
    of = changed("load.workload.name=prompts", f"load.workload.options.path={tmp_path / 'p.txt'}")

    checked = bench.checked(SITE, of, data_file.find(of))

    assert {"path": str(tmp_path / "p.txt")} == checked.options


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("load.workload.name=rndom", "load.workload.name: there is no workload 'rndom'."),
        ("load.workload.options.vocb=1", "load.workload.options.vocb: unknown option"),
        ("load.workload.options.range_ratio=2", "load.workload.options.range_ratio: must be"),
        ("load.workload.name=prompts", "load.workload.options.prompts: give either"),
        ("load.extra_body.stream=false", "load.extra_body.stream: the client sets it itself"),
        ("planned_s=1", "planned_s: the points alone take 5 s"),
    ],
)
def test_a_load_that_cannot_be_is_told(change: str, sentence: str) -> None:
    """Before an engine is started for it."""
    of = changed(change, "load.points.0.num_prompts=null", "load.points.0.duration_s=5")
    with pytest.raises(UsageError) as caught:
        bench.checked(SITE, of, None)
    assert sentence in str(caught.value)
