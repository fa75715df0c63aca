"""Every workload and every figure is documented, and what is documented is there."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
import yaml

from bench_agent import protocol
from provisioning import recipe
from provisioning.recipe_limits import Limits
from tests.architecture.sources import CHECKOUT
from tools.reference import workloads

DOCS = CHECKOUT / "docs"
GOLDEN = CHECKOUT / "tests" / "golden" / "protocol"
METRICS = (DOCS / "reference" / "metrics.md").read_text()
_FENCE = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(page: str, title: str) -> str:
    """The text below a heading, up to the next one of its kind or above."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*)", page, re.MULTILINE | re.DOTALL)
    assert found, title
    return re.split(rf"^#{{1,{len(found[1])}}} ", found[2], flags=re.MULTILINE)[0]


def rows(text: str) -> set[str]:
    """Every name in the first column of the tables in *text*."""
    cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`.]+)`", cell)}


@pytest.mark.parametrize("name", workloads.names())
def test_every_workload_is_documented(name: str) -> None:
    """Its section says each option, and the table where its shape comes from."""
    page = (DOCS / "reference" / "workloads.md").read_text()
    text = section(page, f"`{name}`")

    assert workloads.options(name)
    assert [] == [each for each in workloads.options(name) if f"`{each}`" not in text]
    assert name in rows(section(page, "Which one to choose"))


def test_there_are_workloads() -> None:
    """The test above runs on something."""
    assert {"random", "sonnet", "prompts", "trace"} <= set(workloads.names())


def test_an_option_that_is_not_documented_is_seen() -> None:
    """The test above can fail: a section ends where the next begins."""
    assert "a `x`\n" == section("## `one`\na `x`\n## `two`\n`y`\n", "`one`")


def test_every_figure_of_a_point_is_documented() -> None:
    """Each field of PointSummary has its row, and no row is of something else."""
    fields = {field.name for field in dataclasses.fields(protocol.PointSummary)}
    text = section(METRICS, "Figures of a point").partition("\n### ")[0]

    assert fields == rows(text)


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("client", "The client itself"),
        ("steady", "The steady state"),
        ("server", "The server"),
        ("gpu", "The GPUs"),
    ],
)
def test_every_figure_of_a_group_is_documented(key: str, title: str) -> None:
    """Each key that the contract's example holds has its row."""
    example: dict[str, Any] = json.loads((GOLDEN / "PointSummary.json").read_text())[key]

    assert example
    assert set() == set(example) - rows(section(METRICS, title))


def test_every_failure_is_documented() -> None:
    """Each class has its row."""
    assert set(protocol.FAILURES) == rows(METRICS.partition("## Figures of a point")[0])


def test_every_limit_of_the_verdict_is_documented() -> None:
    """Each limit of the recipe stands beside the reason that it makes."""
    text = section(METRICS, "The verdict")
    limits = {name for name in Limits.model_fields if name.startswith("max_")}

    assert limits == set(re.findall(r"\| `(max_\w+)` \|", text))


@pytest.mark.parametrize("page", ["how-to/shape-the-load", "reference/workloads"])
def test_the_loads_that_are_shown_are_valid(page: str) -> None:
    """Each example can be put into a recipe as it stands."""
    shown = _FENCE.findall((DOCS / f"{page}.md").read_text())

    assert shown
    for text in shown:
        load = yaml.safe_load(text)["load"]
        changes = [f"load.{key}={json.dumps(value)}" for key, value in load.items()]
        assert recipe.load("rehearsal", changes).points()
