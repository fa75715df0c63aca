"""Runs: begun, taken up, brought home, given up, ended."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
from provisioning.errors import DynoError, StackError, UsageError
from provisioning.outcome import load_summary, require_fit
from provisioning.rundir import RunDir
from reporting import block, report
from reporting import run as reports


@task(
    iterable=["set_"],
    help={"destroy-after": "Run `pulumi destroy` afterwards, whatever the run came to."},
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
    with _destroyed(place.stack) if destroy_after else nullcontext():
        with _attended(place):
            run = runs.bench(place, plan, rundir.results_root(), console.progress(as_json=json))
        _show(run, as_json=json)


@task()
def attach(c: Any, stack: str | None = None, run: str | None = None, json: bool = False) -> None:
    """Take up a run that goes on (or ended) on the host: watch it, bring it home."""
    del c
    found = rundir.find_open(rundir.results_root(), require_stack(stack), run)
    with _place(stack) as place:
        runs.attach(place, found, console.progress(as_json=json))
    _show(found, as_json=json)


@task()
def collect(c: Any, stack: str | None = None, run: str | None = None, json: bool = False) -> None:
    """Bring a run home that has ended; verify one that is home already."""
    del c
    found = rundir.find_open(rundir.results_root(), require_stack(stack), run)
    if results.intact(found):
        _collected(found, as_json=json)
        return
    with _place(stack) as place:
        runs.attach(place, found, console.progress(as_json=json))
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
    found = rundir.find_open(rundir.results_root(), require_stack(stack), run)
    with _place(stack) as place:
        runs.stop(place, found, console.progress(as_json=json))
    _collected(found, as_json=json)


@contextmanager
def _place(stack: str | None) -> Iterator[site.Site]:
    """Where the runs of *stack* take place, for as long as it is asked for."""
    name = require_stack(stack)
    place = site.here() if name == site.URL_STACK else site.of_stack(stacks.load(name))
    with _attended(place):
        yield place


@contextmanager
def _destroyed(stack: str) -> Iterator[None]:
    """Whatever the run came to, the machine goes; its guard sees to the results."""
    try:
        yield
    except DynoError:
        try:
            stacks.destroy(stack)
        except StackError as error:
            console.complain(error, as_json=False)
        raise
    stacks.destroy(stack)


@contextmanager
def _attended(place: site.Site) -> Iterator[None]:
    """Let go of the connection in the end; say what Ctrl-C does not end."""
    try:
        yield
    except KeyboardInterrupt:
        if any(not run.settled() for run in rundir.runs(rundir.results_root(), place.stack)):
            print(
                f"\nThe run goes on: `fab attach --stack {place.stack}` takes it up, "
                f"`fab stop --stack {place.stack}` ends it.",
                file=sys.stderr,
            )
        raise
    finally:
        place.remote.close()


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
