"""A rehearsal's figures cannot be taken for a measurement; a variant's run says whose it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from reporting import block, page
from reporting.run import Run, load

REHEARSED = {"engine": "vllm", "model": "acme/m"}


def told(whole: Path, **context: Any) -> Run:
    """The golden run, whose manifest says more."""
    run = load(whole)
    assert run.manifest
    manifest = replace(run.manifest, context=run.manifest.context | context)
    return replace(run, manifest=manifest)


def test_a_rehearsal_has_no_verdict(whole: Path) -> None:
    """Its banner says whose figures they are; so does the text."""
    run = told(whole, rehearsal_of=REHEARSED)
    shown = page.banner(run)

    assert ("none", "A rehearsal") == (shown.kind, shown.title)
    assert "All figures are of a simulator in the place of vllm with acme/m." == shown.lines[0]
    assert block.run_block(run).endswith("a simulator stood in for vllm with acme/m.")
    assert page.commands(run).splitlines()[1].endswith(" --rehearse")


def test_a_measurement_is_none(whole: Path) -> None:
    """Nothing of that stands anywhere."""
    run = load(whole)
    assert "rehears" not in page.banner(run).title.lower()
    assert "stood in for" not in block.run_block(run)
    assert "--rehearse" not in page.commands(run)
    assert ("", "") == (run.rehearsal_of, run.series_id)


def test_a_run_of_a_series_says_which_it_was(whole: Path) -> None:
    """By the name that `--recipe` takes, and the id that all of the series have."""
    run = told(whole, variant="fp8", series_id="20261121T221026Z-m-0904")
    facts = dict(page.about(run))

    assert (f"{run.recipe}:fp8", "20261121T221026Z-m-0904") == (facts["Recipe"], facts["Series"])
    assert f"--recipe {run.recipe}:fp8" in page.commands(run)


def test_a_run_that_measured_nothing_has_its_plain_name(failed: Path) -> None:
    """There is no manifest to say more."""
    run = load(failed)
    assert (run.recipe, "") == (run.title, run.rehearsal_of)
