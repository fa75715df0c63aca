"""`fab bench` with variants: what would be run, what was, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from invoke.context import Context

import fabfile
from provisioning import rundir, series, site
from provisioning import stack as stacks
from provisioning.errors import BenchError, DynoError, HostError
from provisioning.recipe_schema import Recipe
from provisioning.rundir import RunDir
from provisioning.series import Outcome
from tests.fabfile.test_provision import outputs
from tests.provisioning.fakes import NoRemote

DIED = BenchError("The agent died.", "Look at its log.")
LOCKED = HostError("The host is in use.", "Wait.")


def bench(**flags: Any) -> int:
    """The exit code of the task."""
    try:
        fabfile.bench(Context(), **flags)
    except SystemExit as ended:
        return int(str(ended.code))
    return 0


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[Recipe]]:
    """Lets the runs of a series come to given ends; what was run is in what it returns."""

    def let(*ends: DynoError | None) -> list[Recipe]:
        asked: list[Recipe] = []

        def stand_in(
            place: site.Site, recipes: Sequence[Recipe], *rest: Any
        ) -> tuple[str, list[Outcome]]:
            del place
            asked.extend(recipes)
            hear = rest[-1]
            found = [
                Outcome(one, RunDir(tmp_path / "s" / f"run-{n}"), end)
                for n, (one, end) in enumerate(zip(recipes, ends, strict=True))
            ]
            for outcome in found:
                hear(outcome)
            return "the-series", found

        place = site.Site("s", NoRemote(), "/w")
        monkeypatch.setattr(series, "run", stand_in)
        monkeypatch.setattr(stacks, "load", lambda _: outputs("a"))
        monkeypatch.setattr(site, "of_stack", lambda _: place)
        monkeypatch.setattr(rundir, "results_root", lambda: tmp_path)
        return asked

    return let


def test_what_would_be_run_needs_no_stack(capsys: pytest.CaptureFixture[str]) -> None:
    """Every variant: what is served, the points, and the longest that it may take."""
    assert 0 == bench(recipe="spark-vllm", dry_run=True)
    text = capsys.readouterr().out
    assert [f"spark-vllm:{v}" for v in ("throughput", "latency", "context")] == [
        line.split(": ")[0] for line in text.splitlines() if line[0] != " "
    ]
    assert "  Qwen/Qwen3-32B-FP8 by vllm, compose; at most 40 min\n" in text
    assert "  points: 00-single, 01-batched\n" in text


def test_what_would_be_rehearsed_is_listed_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, of the variant that was chosen."""
    flags = {"recipe": "spark-vllm", "variant": ["latency"], "rehearse": True}
    assert 0 == bench(**flags, dry_run=True, json=True)
    (one,) = json.loads(capsys.readouterr().out)
    assert ("spark-vllm:latency", "simulator", "vllm") == (
        *(one["recipe"], one["engine"], one["rehearsal_of"]["engine"]),
    )
    bench(**flags, dry_run=True)
    assert "a rehearsal of spark-vllm:latency: " in capsys.readouterr().out


def test_of_a_stack_its_own_recipe_is_listed(
    ran: Callable[..., list[Recipe]], capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing of it is run."""
    asked = ran()
    assert 0 == bench(stack="s", dry_run=True)
    assert capsys.readouterr().out.startswith("rehearsal: A simulated engine")
    assert [] == asked


def test_all_variants_are_run_and_told(
    ran: Callable[..., list[Recipe]], capsys: pytest.CaptureFixture[str]
) -> None:
    """In a table of what each came to, by name and run."""
    asked = ran(None, None, None)
    assert 0 == bench(stack="s", recipe="spark-vllm")
    assert ["throughput", "latency", "context"] == [one.variant for one in asked]
    assert "Series the-series:\n  spark-vllm:throughput  run-0  done\n" in capsys.readouterr().out


@pytest.mark.parametrize(("ends", "code"), [((DIED, None, LOCKED), 7), ((None, LOCKED, None), 5)])
def test_the_worst_end_is_the_exit_code(
    ran: Callable[..., list[Recipe]],
    capsys: pytest.CaptureFixture[str],
    ends: tuple[DynoError | None, ...],
    code: int,
) -> None:
    """Each failure is told where it happened, and all of them in the end."""
    ran(*ends)
    assert code == bench(stack="s", recipe="spark-vllm")
    told = capsys.readouterr()
    assert all(end.what in told.err and end.what in told.out for end in ends if end)
    failed = sum(1 for end in ends if end)
    assert f"{failed} of 3 runs of the series have no fit result." in told.err


def test_a_series_is_one_json_document(
    ran: Callable[..., list[Recipe]], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the id that its runs share."""
    ran(None, DIED, None)
    assert 7 == bench(stack="s", recipe="spark-vllm", json=True)
    document, _ = json.JSONDecoder().raw_decode(capsys.readouterr().out)
    assert "the-series" == document["series_id"]
    assert [0, 7, 0] == [one["exit_code"] for one in document["runs"]]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"url": "http://127.0.0.1:1", "rehearse": True}, "--rehearse starts a simulator"),
        ({"url": "http://127.0.0.1:1", "stack": "s"}, "--url is for a server without a stack"),
        ({"stack": "s", "recipe": "spark-vllm", "variant": ["x"]}, "no variant 'x'"),
        ({"stack": "s", "recipe": "rehearsal", "variant": ["x"]}, "It has none."),
    ],
)
def test_what_does_not_go_together_is_told(
    capsys: pytest.CaptureFixture[str], flags: dict[str, Any], message: str
) -> None:
    """Before anything is asked."""
    assert 2 == bench(**flags)
    assert message in capsys.readouterr().err
