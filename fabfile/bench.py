"""Runs: begun, taken up, brought home, given up, ended."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from bench_agent import wire
from fabfile import console
from fabfile.tasks import require_stack, task
from provisioning import bench as runs
from provisioning import collect as results
from provisioning import recipe as recipes
from provisioning import rundir, site
from provisioning import stack as stacks
from provisioning.errors import DynoError, UsageError
from provisioning.outcome import load_summary, require_fit
from provisioning.rundir import RunDir
from reporting import block, report
from reporting import run as reports


@task(
    iterable=["set_"],
    help={"destroy-after": "Run `pulumi destroy` when the result is home."},
)
def bench(  # noqa: PLR0917 - invoke passes by name
    c: Any,
    stack: str | None = None,
    recipe: str | None = None,
    set_: list[str] | None = None,
    url: str | None = None,
    json: bool = False,
    destroy_after: bool = False,
) -> None:
    """Run a recipe on a stack (or at a URL) and bring the verified result home."""
    del c
    if url and (stack or destroy_after):
        raise UsageError("--url is for a server without a stack.", "Say either --url or --stack.")
    if url:
        place, chosen = site.of_url(url), recipe or "rehearsal"
        plan = recipes.load(chosen, set_ or [])
    else:
        name = require_stack(stack)
        if recipe:
            recipes.load(recipe, set_ or [])  # a mistake in it is told before anything is asked
        outputs = stacks.load(name)
        plan = recipes.load(recipe or outputs.recipe, set_ or [])
        place = site.of_stack(outputs)
    try:
        run = runs.bench(place, plan, rundir.results_root(), console.progress(as_json=json))
    except KeyboardInterrupt:
        _say_what_goes_on(place.stack)
        raise
    finally:
        place.remote.close()
    _show(run, as_json=json)
    if destroy_after:
        stacks.destroy(place.stack)


@task()
def attach(c: Any, stack: str | None = None, run: str | None = None, json: bool = False) -> None:
    """Take up a run that goes on (or ended) on the host: watch it, bring it home."""
    del c
    place, found = _open(stack, run)
    try:
        runs.attach(place, found, console.progress(as_json=json))
    except KeyboardInterrupt:
        _say_what_goes_on(place.stack)
        raise
    finally:
        place.remote.close()
    _show(found, as_json=json)


@task()
def collect(c: Any, stack: str | None = None, run: str | None = None, json: bool = False) -> None:
    """Bring a run home that has ended; verify one that is home already."""
    del c
    found = rundir.find_open(rundir.results_root(), require_stack(stack), run)
    if found.whole and not results.damaged(found.path):
        _collected(found, as_json=json)
        return
    place = _place(stack)
    try:
        runs.attach(place, found, console.progress(as_json=json))
    finally:
        place.remote.close()
    _collected(found, as_json=json)


@task(help={"run": "The run that may be lost."})
def abandon(c: Any, stack: str | None = None, run: str | None = None) -> None:
    """Say that a run may be lost: the stack may be destroyed without it."""
    del c
    name = require_stack(stack)
    if not run:
        raise UsageError("No run was named.", f"Say --run; `fab status --stack {name}` lists them.")
    found = rundir.find(rundir.results_root(), name, run)
    if found.whole:
        raise UsageError(f"The run {run} is home and verified.", "There is nothing to abandon.")
    found.change(state="abandoned")
    said = f"Abandoned by {site.owner()} at {datetime.now(UTC).isoformat(timespec='seconds')}\n"
    rundir.durable(found.path / rundir.ABANDONED, said.encode())
    print(f"{run} may be lost now: `pulumi destroy --stack {name}` goes on without it.")


@task()
def stop(c: Any, stack: str | None = None, run: str | None = None, json: bool = False) -> None:
    """End a run in order, bring home what it measured, stop its engine."""
    del c
    place, found = _open(stack, run)
    try:
        runs.stop(place, found, console.progress(as_json=json))
    finally:
        place.remote.close()
    _collected(found, as_json=json)


def _open(stack: str | None, run: str | None) -> tuple[site.Site, RunDir]:
    found = rundir.find_open(rundir.results_root(), require_stack(stack), run)
    return _place(stack), found


def _place(stack: str | None) -> site.Site:
    name = require_stack(stack)
    if name == site.URL_STACK:
        return site.here()
    return site.of_stack(stacks.load(name))


def _say_what_goes_on(stack: str) -> None:
    print(
        f"\nA run that was launched goes on: `fab attach --stack {stack}` takes it up, "
        f"`fab stop --stack {stack}` ends it.",
        file=sys.stderr,
    )


def _show(run: RunDir, *, as_json: bool) -> None:
    """The result block, where everything is, and the truth by exit code."""
    page = report.write(run.path)
    failure = _failure(run)
    if as_json:
        about = {"run_id": run.run_id, "results": str(run.path), "report": str(page)}
        console.show_json(about | {"summary": wire.encode(load_summary(run))})
    else:
        loaded = reports.load(run.path)
        print("\n\n".join(text for _, text in block.run_blocks(loaded)))
        print(f"\n{block.run_block(loaded)}\n\nResults: {run.path}\nReport:  {page}")
    if failure is not None:
        raise failure


def _failure(run: RunDir) -> DynoError | None:
    try:
        require_fit(run)
    except DynoError as error:
        return error
    return None


def _collected(run: RunDir, *, as_json: bool) -> None:
    if as_json:
        console.show_json({"run_id": run.run_id, "results": str(run.path), "whole": run.whole})
    else:
        state = "home and verified" if run.whole else "not home"
        print(f"{run.run_id} is {state}: {run.path}")
