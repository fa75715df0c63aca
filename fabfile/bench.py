"""Runs: begun, taken up, brought home, given up, ended."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from bench_agent import wire
from fabfile import console
from fabfile.tasks import require_stack, task
from provisioning import bench as runs
from provisioning import collect as results
from provisioning import recipe as recipes
from provisioning import rundir, series, serving, site
from provisioning import stack as stacks
from provisioning.errors import DynoError, StackError, UsageError
from provisioning.outcome import load_summary, require_fit
from provisioning.recipe_schema import Recipe
from provisioning.rundir import RunDir
from reporting import block, report
from reporting import run as reports


@task(
    iterable=["set_", "variant"],
    help={
        "destroy-after": "Run `pulumi destroy` afterwards, whatever the run came to.",
        "dry-run": "Print what would be run; nothing is.",
        "variant": "Run this variant of the recipe alone; may be repeated. Default: all in turn.",
        "rehearse": "Put the simulator in the place of the engine, and less load on it.",
    },
)
def bench(  # noqa: PLR0917 - invoke passes by name
    c: Any,
    stack: str | None = None,
    recipe: str | None = None,
    variant: list[str] | None = None,
    set_: list[str] | None = None,
    url: str | None = None,
    rehearse: bool = False,
    dry_run: bool = False,
    json: bool = False,
    destroy_after: bool = False,
) -> None:
    """Run a recipe on a stack (or at a URL), its variants in turn; bring home verified results."""
    del c
    _require_together(url, stack, rehearse=rehearse, destroy_after=destroy_after)

    def plans(name: str) -> list[Recipe]:
        return recipes.series(name, set_ or [], chosen=variant or [], rehearse=rehearse)

    if dry_run and (recipe or url):
        _show_plans(plans(recipe or "rehearsal"), as_json=json)
        return
    if url:
        place, chosen = site.of_url(url), plans(recipe or "rehearsal")
    else:
        name = require_stack(stack)
        early_chosen = plans(recipe) if recipe else None  # a mistake is told before all else
        outputs = stacks.load(name)
        place, chosen = site.of_stack(outputs), early_chosen or plans(outputs.recipe)
    if dry_run:
        _show_plans(chosen, as_json=json)
        return
    with _destroyed(place.stack) if destroy_after else nullcontext():
        if len(chosen) == 1:
            with _attended(place):
                progress = console.progress(as_json=json)
                run = runs.bench(place, chosen[0], rundir.results_root(), progress)
            _show(run, as_json=json)
        else:
            _run_series(place, chosen, as_json=json)


@task()
def attach(c: Any, stack: str | None = None, run: str | None = None, json: bool = False) -> None:
    """Take up a run that goes on (or ended) on the host: watch it, bring it home."""
    del c
    found = rundir.find_open(rundir.results_root(), require_stack(stack), run)
    serving.require_load(found)
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
    serving.require_load(found)
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
        end = serving.stop if serving.serves(found) else runs.stop
        end(place, found, console.progress(as_json=json))
    _collected(found, as_json=json)


def _require_together(
    url: str | None, stack: str | None, *, rehearse: bool, destroy_after: bool
) -> None:
    if url and (stack or destroy_after):
        raise UsageError("--url is for a server without a stack.", "Say either --url or --stack.")
    if url and rehearse:
        raise UsageError(
            "--rehearse starts a simulator, and --url is of a server that runs already.",
            "Say either --rehearse or --url.",
        )


def _show_plans(chosen: list[Recipe], *, as_json: bool) -> None:
    listed = series.listing(chosen)
    if as_json:
        console.show_json(listed)
        return
    for each in listed:
        what = "a rehearsal of " if each["rehearsal_of"] else ""
        planned = stacks.minutes(timedelta(seconds=each["planned_s"]))
        print(f"{what}{each['recipe']}: {each['description']}")
        print(f"  {each['model']} by {each['engine']}, {each['launcher']}; at most {planned}")
        print(f"  points: {', '.join(each['points'])}")


def _run_series(place: site.Site, chosen: list[Recipe], *, as_json: bool) -> None:
    """All of them, whatever becomes of one; the worst exit code is that of the series.

    Raises:
        DynoError: of some there is no result, or none that is fit.
    """
    try:
        with _attended(place):
            series_id, outcomes = series.run(
                place,
                chosen,
                rundir.results_root(),
                console.progress(as_json=as_json),
                _pass if as_json else _tell_outcome,
            )
    except KeyboardInterrupt:
        print("The variants after it are not begun; --variant names them.", file=sys.stderr)
        raise
    if as_json:
        console.show_json({"series_id": series_id, "runs": [_whole_outcome(o) for o in outcomes]})
    else:
        print(f"\nSeries {series_id}:")
        for outcome in outcomes:
            state = outcome.error.what if outcome.error else "done"
            print(
                f"  {outcome.recipe.title}  {outcome.run.run_id if outcome.run else '-'}  {state}"
            )
    worst = max((o.error for o in outcomes if o.error), key=lambda e: e.exit_code, default=None)
    if worst is not None:
        failed = sum(1 for outcome in outcomes if outcome.error)
        raise series.failed(worst, failed, len(outcomes))


def _pass(outcome: series.Outcome) -> None:
    """Nothing is shown before the end."""


def _tell_outcome(outcome: series.Outcome) -> None:
    if outcome.run and outcome.run.whole:
        _print_result(outcome.run)
    if outcome.error:
        console.complain(outcome.error, as_json=False)


def _whole_outcome(outcome: series.Outcome) -> dict[str, Any]:
    about = outcome.about()
    if outcome.run and outcome.run.whole:
        about["report"] = str(report.write(outcome.run.path))
        about["summary"] = wire.encode(load_summary(outcome.run))
    return about


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
    failure = _failure(run)
    if as_json:
        page = report.write(run.path)
        about = {"run_id": run.run_id, "results": str(run.path), "report": str(page)}
        console.show_json(about | {"summary": wire.encode(load_summary(run))})
    else:
        _print_result(run)
    if failure is not None:
        raise failure


def _print_result(run: RunDir) -> None:
    page = report.write(run.path)
    loaded = reports.load(run.path)
    print("\n\n".join(text for _, text in block.run_blocks(loaded)))
    print(f"\n{block.run_block(loaded)}\n\nResults: {run.path}\nReport:  {page}")


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
        served = (home := run.state()) and home.state == serving.SERVED
        ended = "over; nothing was measured" if served else "not home"
        state = "home and verified" if run.whole else ended
        print(f"{run.run_id} is {state}: {run.path}")
