"""An engine that is served without a load: started, found again, ended. Nothing is measured."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from provisioning import launch, mlnode, rendering
from provisioning.bench import accounted, open_run
from provisioning.errors import DynoError, UsageError
from provisioning.progress import Phases, Progress
from provisioning.recipe_schema import Recipe
from provisioning.rundir import RunDir
from provisioning.serve import prepared, release, serve
from provisioning.site import Site

#: States of such a run at home: while its engine is there, and when it was ended. No teardown
#: waits for either: there is nothing to lose.
SERVING, SERVED = "serving", "served"
_RESCUED_LINES = 100_000


def start(site: Site, recipe: Recipe, results: Path, progress: Progress) -> RunDir:
    """Make the host fit for *recipe*, start its engine, see that it answers; leave it so.

    The host is the run's until `stop`.

    Raises:
        DynoError: of the phase that failed; ``home/run.json`` says it too.
    """
    mlnode.check(site, recipe)
    if site.url is not None and not mlnode.asked(recipe):
        raise UsageError(
            f"The stack {site.stack} is URLs only: its server runs already.",
            f"`fab bench --stack {site.stack}` puts load on it.",
        )
    rendering.rendered(recipe)  # what cannot be started is told before anything begins
    run = open_run(site, recipe, results)
    phases = Phases(progress)
    progress.note(f"Run {run.run_id}")
    with run.controlled(), accounted(run, phases), prepared(site, recipe, run, phases) as (host, _):
        with phases("serve"):
            serve(site, host, recipe, run, progress)
        run.change(state=SERVING)
    return run


def stop(site: Site, run: RunDir, progress: Progress) -> None:
    """End the engine of a run that is `serves`, its log brought home before; free the host.

    Raises:
        DynoError: the host is out of reach, or the engine does not go.
    """
    phases = Phases(progress)
    with accounted(run, phases), phases("stop"):
        with suppress(DynoError, OSError):
            logs = launch.logs(site.host(), run.run_id, _RESCUED_LINES)
            (run.home / "server.log").write_text(logs.get(run.run_id, ""))
        release(site, run.run_id, run.home, note=progress.note)
        run.change(state=SERVED)


def serves(run: RunDir) -> bool:
    """Whether the run is one of `start`, as far as is known here."""
    state = run.state()
    return state is not None and state.state == SERVING


def require_load(run: RunDir) -> None:
    """Refuse to look for results of a run that has none.

    Raises:
        UsageError: it only serves, or served.
    """
    state = run.state()
    if state is not None and state.state in (SERVING, SERVED):
        raise UsageError(
            f"The run {run.run_id} only serves: nothing was measured, nothing is to be collected.",
            f"`fab stop --stack {state.stack}` ends it."
            if state.state == SERVING
            else "`fab status` lists other runs.",
        )
