"""Recipes rehearsed on this machine, from the recipe to a result at home."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provisioning import recipe, series
from provisioning.recipe_schema import Recipe
from provisioning.remote import LocalRemote
from provisioning.rundir import RunDir
from provisioning.series import Outcome
from provisioning.site import Site
from reporting import block, page
from reporting.run import load
from tests.provisioning.test_bench import Told

pytestmark = pytest.mark.integration
#: From the beginning to the result at home; of each.
WITHIN_S = 60.0
#: Half of it, for those who run the tests: the shape stays.
LESS = ("launcher=process", "load.workload.output_len=16")


def distinct() -> list[Recipe]:
    """One of each load: variants that differ in their engine alone are the same rehearsal."""
    every = [one for name in recipe.names() for one in recipe.series(name, LESS, rehearse=True)]
    loads = {f"{one.name} {one.load.model_dump()}": one for one in reversed(every)}
    return list(reversed(loads.values()))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "w").mkdir()
    return Site("local", LocalRemote(tmp_path / "w"), str(tmp_path / "w"))


def test_every_load_is_rehearsed_to_a_whole_result(site: Site, tmp_path: Path) -> None:
    """All in one series: each gives every point, in less than a minute, marked as a rehearsal."""
    recipes = distinct()
    heard: list[Outcome] = []

    series_id, outcomes = series.run(site, recipes, tmp_path / "results", Told(), heard.append)

    assert {"rehearsal", "spark-vllm", "l40s-llama-fp8"} <= {one.name for one in recipes}
    assert heard == outcomes
    assert [(one.title, None) for one in recipes] == [(o.recipe.title, o.error) for o in outcomes]
    assert len(recipes) == len({o.run.run_id for o in outcomes if o.run})
    for outcome in outcomes:
        assert outcome.run is not None
        assert_rehearsal(outcome.run, outcome.recipe, series_id)


def assert_rehearsal(run: RunDir, of: Recipe, series_id: str | None) -> None:
    """What is at home says what it is, on every page of it."""
    loaded, state = load(run.path), run.state()
    context = json.loads((run.path / "manifest.json").read_text())["context"]

    assert [p.name for p in of.points()] == [p.point.name for p in loaded.points]
    assert all(p.completed == p.requested > 0 for p in loaded.points)
    assert (of.stands_for, series_id) == (context["rehearsal_of"], context["series_id"])
    assert state is not None
    assert (of.variant, series_id, True) == (state.variant, state.series_id, state.rehearsal)
    assert sum(state.phases.values()) < WITHIN_S
    assert page.banner(loaded).title.startswith("A rehearsal")
    assert dict(page.about(loaded))["Recipe"] == of.title
    assert f"--recipe {of.title} --rehearse" in page.commands(loaded)
    assert "A rehearsal: a simulator stood in for" in block.run_block(loaded)
