"""Known failures, looked for in an engine's log and on its host."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fabfile import console
from fabfile.tasks import require_stack, task
from provisioning import launch, rundir, site
from provisioning import stack as stacks
from provisioning.diagnosis import diagnose_all, gather, ranked, shown
from provisioning.diagnosis.failure import Finding
from provisioning.diagnosis.state import State
from provisioning.errors import DynoError
from provisioning.rundir import RunDir

_LINES = 100_000


@task()
def diagnose(c: Any, stack: str | None = None, run: str | None = None, json: bool = False) -> None:
    """Say which known failures an engine's log and its host show, and what to do."""
    del c
    name = require_stack(stack)
    found = rundir.find(rundir.results_root(), name, run)
    findings, note = look(name, found)
    if json:
        told = [asdict(one) for one in findings]
        console.show_json({"run_id": found.run_id, "findings": told, "note": note})
        return
    print(f"{found.run_id}:")
    print("\n".join(shown(findings)) or "No failure that is known is seen.")
    if note:
        print(note)


def look(stack: str, run: RunDir) -> tuple[list[Finding], str]:
    """What is found of *run*: on the host while its engine may be there, else at home; and what
    could not be looked at.
    """  # noqa: D205 - one thought
    if run.whole:  # its engine is over, and the host may be somebody else's by now
        return _merged(run, gather.logs(run), State()), ""
    place = site.here() if stack == site.URL_STACK else site.of_stack(stacks.load(stack))
    try:
        host = place.host()
        logs = list(launch.logs(host, run.run_id, _LINES).values())
        return _merged(run, logs or gather.logs(run), gather.state(host, run.run_id)), ""
    except DynoError as error:
        found = _merged(run, gather.logs(run), State())
        return found, f"The host could not be looked at: {error.what}"
    finally:
        place.remote.close()


def _merged(run: RunDir, logs: list[str], state: State) -> list[Finding]:
    """With what was found when it failed: the host has changed since then."""
    found = {one.name: one for one in diagnose_all(logs, state)}
    before = {one.name: one for one in gather.kept(run)}
    return ranked((found | before).values())
