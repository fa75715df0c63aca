"""One run from a recipe to a verified result at home, and a run that somebody left."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench_agent import __version__, specs
from bench_agent.protocol import (
    CLOSED_STATES,
    DIED,
    SCHEMA,
    Event,
    RunListing,
    RunSpec,
    Target,
    Workload,
)
from provisioning import data_file, mlnode, plan, rendering, rundir, second_opinion, stack
from provisioning.agent import Agent
from provisioning.collect import collect, pull
from provisioning.data_file import DataFile
from provisioning.diagnosis import gather
from provisioning.errors import BenchError, CollectError, CommandError, DynoError, UsageError
from provisioning.facts.lock import LockOwner, Owner
from provisioning.follow import follow
from provisioning.host import Host
from provisioning.operations import lock
from provisioning.progress import Phases, Progress
from provisioning.recipe_schema import Recipe
from provisioning.rundir import RunDir
from provisioning.serve import prepared, release, serve
from provisioning.site import Site, owner

_PULL_EVERY_S = 5.0


def bench(
    site: Site,
    recipe: Recipe,
    results: Path,
    progress: Progress,
    *,
    series_id: str | None = None,
    opened: Callable[[RunDir], None] | None = None,
) -> RunDir:
    """Run *recipe* at *site* and bring the result home; the engine is stopped afterwards.

    *series_id* is of the series that the run belongs to; *opened* hears of its directory.

    Raises:
        DynoError: of the phase that failed; ``home/run.json`` says it too. A run that was
            launched goes on when the connection is lost.
    """
    require_room(site, [recipe], results)
    data, workload = prepare(site, recipe)
    run = open_run(site, recipe, results, series_id)
    if opened:
        opened(run)
    phases = Phases(progress)
    progress.note(f"Run {run.run_id}")
    # Where the load comes from this machine, its file is here already.
    ship = data if site.url is None else None
    ready = prepared(site, recipe, run, phases, ship)
    with run.controlled(), accounted(run, phases), ready as (host, provisioned):
        with phases("serve"):
            target, about = serve(site, host, recipe, run, progress)
        about |= provisioned | told_of(recipe, series_id)
        about["phases"] = dict(phases.seconds)
        if data:
            about["data"] = data.about()
        if ship:
            workload = data_file.reading(workload, ship.on(host))
        spec = run_spec(site, recipe, run.run_id, target, about, workload=workload)
        with phases("load"):
            run.change(state="launched")
            agent = Agent(site.remote, site.workdir)
            try:
                agent.start(spec)
            except BenchError:  # refused: there is nothing to come home, all is given back
                run.change(state="opened")
                raise
            end = watch(agent, run, progress)
        _finish(site, run, phases, end, lambda: _once_more(host, recipe, target, run, phases))
    return run


def open_run(site: Site, recipe: Recipe, results: Path, series_id: str | None = None) -> RunDir:
    """The directory of a new run of *recipe*; see `rundir.open_run`.

    Raises:
        UsageError: it cannot be made.
    """
    return rundir.open_run(
        results,
        site.stack,
        recipe.name,
        owner(),
        variant=recipe.variant,
        series_id=series_id,
        rehearsal=recipe.stands_for is not None,
    )


def attach(site: Site, run: RunDir, progress: Progress) -> None:
    """Take up a run that is under way or has ended on the host; bring it home.

    Raises:
        BenchError: the host knows nothing of this run.
        DynoError: as `bench`.
    """
    phases = Phases(progress)
    with accounted(run, phases):
        agent = Agent(site.remote, site.workdir)
        with phases("connect"):
            listing = _listing(agent, run.run_id)
        if listing is None:
            with run.controlled() as nobodys:
                if not nobodys:
                    raise _still_prepared(site, run)
                raise _never_started(site, run, progress)
        end = listing.state
        if end not in (*CLOSED_STATES, DIED):
            with phases("load"):
                end = watch(agent, run, progress)
        _finish(site, run, phases, end)


def stop(site: Site, run: RunDir, progress: Progress) -> None:
    """End a run in order, bring it home, stop its engine, free the host if nobody is at work.

    Raises:
        DynoError: as `attach`.
    """
    phases = Phases(progress)
    with accounted(run, phases):
        agent = Agent(site.remote, site.workdir)
        with phases("stop"):
            listing = _listing(agent, run.run_id)
            if listing is not None and listing.state not in (*CLOSED_STATES, DIED):
                agent.stop(run.run_id)
        if listing is not None:
            _finish(site, run, phases, listing.state)
        holder = site.host().fact(LockOwner)
        if listing is None:  # an engine may be there, whoever has the lock
            release(site, run.run_id, note=progress.note)
        if holder is not None and (holder.run_id == run.run_id or _over(holder, run)):
            if listing is not None or holder.run_id != run.run_id:
                release(site, holder.run_id, note=progress.note)
            progress.note(f"Released the lock of {holder.run_id}.")
        elif holder is not None:
            progress.note(f"The host is in use by {holder.who} ({holder.run_id}); left as it is.")


def _over(holder: Owner, run: RunDir) -> bool:
    """Whether the holder is gone, or a run beside *run* that ended without giving back."""
    state = RunDir(run.path.parent / holder.run_id).state()
    return bool(lock.left(holder)) or (state is not None and state.state == "failed")


def watch(agent: Agent, run: RunDir, progress: Progress) -> str:
    """Follow a run to its end, pulling what is there meanwhile; the state it ended in."""

    def on_event(event: Event) -> None:
        if event.status is not None:
            progress.load(event.status)
        elif event.kind in ("note", "point", "reconnect"):
            progress.note(event.message)

    with _pulling(agent, run):
        return follow(agent, run.run_id, on_event) or DIED


def require_room(site: Site, recipes: Sequence[Recipe], results: Path) -> None:
    """Refuse runs that the stack does not last for, or whose results nobody would guard.

    Raises:
        StackError: they take longer than the stack lasts.
        UsageError: the guard of the stack is gone.
    """
    if site.outputs is not None:
        stack.require_time(site.outputs, sum(map(_longest_s, recipes)))
        rundir.require_guard(results, site.stack)


def _longest_s(recipe: Recipe) -> float:
    planned_s = plan.planned_s(recipe)
    return planned_s + second_opinion.longest_s(recipe, planned_s)


def prepare(site: Site, recipe: Recipe) -> tuple[DataFile | None, Workload]:
    """The file of its workload, and the workload: whatever is wrong is told before anything begins.

    Raises:
        UsageError: there is no such engine, launcher or file, or they cannot do what is asked;
            or a rehearsal has no host.
    """
    if site.url is not None and recipe.stands_for is not None:
        raise UsageError(
            "--rehearse starts a simulator, and this stack is servers that run already.",
            "Rehearse on a host: `--stack local`.",
        )
    mlnode.check(site, recipe)
    if site.url is None:
        rendering.rendered(recipe)
    data = data_file.find(recipe)
    return data, checked(site, recipe, data)


def told_of(recipe: Recipe, series_id: str | None) -> dict[str, Any]:
    """What the manifest should know of how the recipe came to be run; empty for a plain one."""
    about = {
        "variant": recipe.variant,
        "series_id": series_id,
        "rehearsal_of": recipe.stands_for,
    }
    return {key: value for key, value in about.items() if value is not None}


def checked(site: Site, recipe: Recipe, data: DataFile | None) -> Workload:
    """The recipe's workload, reading *data* here, once the agent's own rules are kept.

    Raises:
        UsageError: the agent would refuse it; told before an engine is started for it.
    """
    workload = recipe.load.workload.protocol()
    if data:
        workload = data_file.reading(workload, str(data.path))
    anywhere = Target(("http://127.0.0.1:1",), recipe.model.name, recipe.load.api)
    spec = run_spec(site, recipe, rundir.new_run_id("check"), anywhere, {}, workload=workload)
    try:
        specs.check(spec)
    except specs.SpecError as error:
        key = "" if re.match(r"limits\.|planned_s", str(error)) else "load."
        raise UsageError(f"{key}{error}", "Correct the recipe.") from None
    return workload


def run_spec(
    site: Site,
    recipe: Recipe,
    run_id: str,
    target: Target,
    about: dict[str, Any],
    *,
    workload: Workload | None = None,
) -> RunSpec:
    """What the agent is told; pure. *workload*: the recipe's, as the host sees it."""
    load = recipe.load
    return RunSpec(
        schema=SCHEMA,
        run_id=run_id,
        stack=site.stack,
        recipe=recipe.name,
        target=target,
        workload=workload or load.workload.protocol(),
        points=recipe.points(),
        planned_s=plan.planned_s(recipe),
        limits=recipe.limits.protocol(),
        num_warmups=load.num_warmups,
        ignore_eos=load.ignore_eos,
        temperature=load.temperature,
        extra_body=load.extra_body,
        expires_at=site.outputs.expires_at if site.outputs else None,
        recipe_yaml=recipe.to_yaml(),
        search=load.search.protocol() if load.search else None,
        goodput=load.goodput.protocol(),
        percentiles=tuple(load.percentiles),
        point_gap_s=load.point_gap_s,
        keep_texts=load.keep_texts,
        context=site.context() | about | {"controller": {"version": __version__, "who": owner()}},
    )


def _finish(
    site: Site,
    run: RunDir,
    phases: Phases,
    end: str,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Home first, then what is to be done while the engine is still there, then its end."""
    agent = Agent(site.remote, site.workdir)
    with phases("collect"):
        if end == DIED:
            agent.seal(run.run_id)
            phases.progress.note("The agent had died; what it had measured is sealed.")
        collect(agent, run, phases.progress.note)
    try:
        if end == "failed" and site.url is None:  # its engine is as it was left, until now
            gather.failed(site.host(), run)
        if end == "done":
            meanwhile()
    finally:  # Ctrl-C, too, leaves no engine behind
        with phases("stop"):
            release(site, run.run_id, run.home, note=phases.progress.note)


def _once_more(host: Host, recipe: Recipe, target: Target, run: RunDir, phases: Phases) -> None:
    """Second opinions, where the recipe asks for some."""
    if recipe.second_opinion:
        with phases("second_opinion"):
            second_opinion.take(host, recipe, target, run, phases.progress.note)


@contextmanager
def accounted(run: RunDir, phases: Phases) -> Iterator[None]:
    """What the phases took and what went wrong stand in ``home/run.json``."""
    try:
        yield
    except BaseException as error:
        with suppress(CollectError):
            state = run.state()
            if state is not None and state.state == "opened":
                run.change(state="failed")
            if isinstance(error, CommandError) and error.phase == CommandError.phase:
                error.phase = phases.current
            if isinstance(error, DynoError):
                rundir.record_error(run, error)
        raise
    finally:
        state = run.state()
        known = state.phases if state else {}
        with suppress(CollectError):
            run.change(phases=known | phases.seconds)


@contextmanager
def _pulling(agent: Agent, run: RunDir) -> Iterator[None]:
    """Pull beside the load; trouble is left to the pull at the end, which must succeed."""
    over = threading.Event()

    def keep_pulling() -> None:
        while not over.wait(_PULL_EVERY_S):
            with suppress(DynoError), run.exclusive(wait=False) as ours:
                if ours:
                    pull(agent, run)

    puller = threading.Thread(target=keep_pulling, daemon=True)
    puller.start()
    try:
        yield
    finally:
        over.set()
        puller.join()


def _listing(agent: Agent, run_id: str) -> RunListing | None:
    status = agent.status_if_there()
    return next((r for r in status.runs if r.run_id == run_id), None) if status else None


def _still_prepared(site: Site, run: RunDir) -> BenchError:
    return BenchError(
        f"The run {run.run_id} is being prepared by a `fab bench` that is at work.",
        "Let it go on, or end it with Ctrl-C.",
        host=site.remote.name,
    )


def _never_started(site: Site, run: RunDir, progress: Progress) -> BenchError:
    release(site, run.run_id, note=progress.note)
    if not run.whole:
        run.change(state="failed")
    return BenchError(
        f"The run {run.run_id} was never started on the host.",
        f"Its lock is released; `fab bench --stack {site.stack}` starts anew.",
        host=site.remote.name,
    )
