"""Looking: what stands, what runs, what it cost, what was said."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from bench_agent import wire
from bench_agent.protocol import ACTIVE_STATES, HostStatus
from fabfile import console
from fabfile.tasks import require_stack, task
from provisioning import log_follow, rundir, serving, site
from provisioning import stack as stacks
from provisioning.agent import Agent
from provisioning.errors import DynoError, StackError, UsageError
from provisioning.remote import Remote
from reporting import listing
from reporting import report as reports

_RUNS_SHOWN = 10


@task(help={"all": "Show all runs, not only the newest ten."})
def status(c: Any, stack: str | None = None, json: bool = False, all: bool = False) -> None:  # noqa: A002 - the flag's name
    """Show the stack: run, time left, money spent so far; and the runs at home."""
    del c
    names = [stack] if stack else stacks.known()
    seen = [_standing(name, required=bool(stack)) for name in names]
    rows = [row for row in listing.runs(rundir.results_root()) if stack in (None, row.stack)]
    shown = rows if all or json else rows[:_RUNS_SHOWN]
    if json:
        console.show_json({"stacks": seen, "runs": [row.as_dict() for row in shown]})
        return
    for about in seen:
        print(_stack_line(about))
    if shown:
        print(_table(shown))
    if len(shown) < len(rows):
        print(f"{len(rows) - len(shown)} more: --all.")


@task(
    help={
        "engine": "The engine's log instead of the agent's.",
        "lines": "How many lines from the end.",
        "follow": "Go on with what is said, until the run ends or Ctrl-C.",
    }
)
def logs(  # noqa: PLR0917 - invoke passes by name
    c: Any,
    stack: str | None = None,
    run: str | None = None,
    engine: bool = False,
    lines: str = "100",
    follow: bool = False,
) -> None:
    """Print the log of a run: from home when it is there, else from the host."""
    del c
    name = require_stack(stack)
    if not lines.isdigit() or int(lines) == 0:
        raise UsageError(f"--lines is {lines!r}, which is no count.", "Give a number above 0.")
    found = _found(name, run, engine=engine)
    if follow and not found.whole:
        _follow(name, found.run_id, engine=engine or serving.serves(found), lines=int(lines))
        return
    engine = engine or serving.serves(found)
    own = "server.log" if engine else "agent.log"
    for path in (found.path / own, found.home / own):
        if path.is_file() and (found.whole or path.parent.name == "home"):
            print("\n".join(path.read_text(errors="replace").splitlines()[-int(lines) :]))
            return
    place = _place(name)
    folder = f"engines/{found.run_id}/log" if engine else f"runs/{found.run_id}/agent.log"
    try:
        print(_tail(place.remote, f"{place.workdir}/{folder}", int(lines)))
    finally:
        place.remote.close()


def _found(stack: str, run: str | None, *, engine: bool) -> rundir.RunDir:
    """The run, by default the newest; where an engine is meant, the newest that may have one."""
    find = rundir.find_open if engine else rundir.find
    return find(rundir.results_root(), stack, run)


def _place(stack: str) -> site.Site:
    return site.here() if stack == site.URL_STACK else site.of_stack(stacks.load(stack))


def _follow(stack: str, run_id: str, *, engine: bool, lines: int) -> None:
    place = _place(stack)
    try:
        log_follow.follow(
            place.host(), run_id, lambda line: print(line, flush=True), engine=engine, lines=lines
        )
    except KeyboardInterrupt:
        print()
    finally:
        place.remote.close()


@task()
def report(c: Any, stack: str | None = None, run: str | None = None, json: bool = False) -> None:
    """Write the report of a run anew, and say where it is."""
    del c
    found = rundir.find(rundir.results_root(), require_stack(stack), run)
    page = reports.write(found.path)
    if json:
        console.show_json({"run_id": found.run_id, "report": str(page)})
    else:
        print(page)


def _tail(remote: Remote, path: str, lines: int) -> str:
    from provisioning.command import quote  # noqa: PLC0415 - beside its only use

    done = remote.run(f"tail -n {lines} {quote(path)}", timeout_s=30)
    if done.exit_code != 0:
        raise UsageError(f"There is no log {path} on the host.", "`fab status` lists the runs.")
    return done.stdout.rstrip("\n")


def _standing(name: str, *, required: bool) -> dict[str, Any]:
    """What is known of a stack; its absence is an answer unless it was asked for by name."""
    try:
        outputs = stacks.load(name)
    except StackError as error:
        if required and "is not up" not in error.what:
            raise
        return {"stack": name, "up": False}
    left = stacks.time_left(outputs)
    about: dict[str, Any] = {
        "stack": name,
        "up": True,
        "cloud": outputs.cloud,
        "price": asdict(outputs.price),
        "spent_usd": round(stacks.spent_usd(outputs), 4),
        "expires_at": outputs.expires_at,
        "seconds_left": None if left is None else max(0, round(left.total_seconds())),
    }
    served = [run.run_id for run in rundir.runs(rundir.results_root(), name) if serving.serves(run)]
    return about | {"serving": "".join(served[-1:])} | _on_host(site.of_stack(outputs))


def _on_host(place: site.Site) -> dict[str, Any]:
    try:
        said = Agent(place.remote, place.workdir).status_if_there()
    except DynoError as error:
        return {"reachable": False, "problem": error.what, "active": []}
    finally:
        place.remote.close()
    return {
        "reachable": True,
        "lock": said.lock if said else None,
        "active": _active(said),
    }


def _active(said: HostStatus | None) -> list[dict[str, Any]]:
    runs = said.runs if said else ()
    return [wire.encode(run) for run in runs if run.state in ACTIVE_STATES]


def _stack_line(about: dict[str, Any]) -> str:
    if not about["up"]:
        return f"{about['stack']}: not up"
    left = about["seconds_left"]
    parts = [
        f"{about['stack']}: up ({about['cloud']})",
        _left(left),
        f"${about['spent_usd']:.2f} spent at ${about['price']['usd_per_hour']:.2f}/h",
    ]
    lines = [", ".join(parts)]
    if not about["reachable"]:
        lines.append(f"  not reachable: {about['problem']}")
    lines += [f"  {_run_line(run)}" for run in about["active"]]
    lock = about.get("lock")
    if lock and not about["active"]:
        lines.append(f"  {_lock_line(lock, about['stack'], about.get('serving', ''))}")
    return "\n".join(lines)


def _lock_line(lock: dict[str, Any], stack: str, serves: str = "") -> str:
    who = f"by {lock.get('who')} since {lock.get('since')}"
    if lock.get("lease"):
        return f"in use {who} ({lock.get('run_id')})"
    if lock.get("run_id") == serves:
        return f"serves {serves} {who}: `fab stop --stack {stack}` ends it"
    return f"held {who}; its run is over: `fab attach --stack {stack}`"


def _left(seconds: int | None) -> str:
    if seconds is None:
        return "no expiry"
    if not seconds:
        return "expired: the machine has ended itself"
    return f"{stacks.minutes(timedelta(seconds=seconds))} left"


def _run_line(run: dict[str, Any]) -> str:
    status = run["status"] or {}
    over = status.get("completed", 0) + status.get("failed", 0)
    return f"{run['run_id']}: {run['state']}, {over}/{status.get('requested', 0)} requests"


def _table(rows: list[listing.Row]) -> str:
    """One line a run, as wide as the terminal (80 columns where there is none)."""
    cells = [("run", "stack", "state", "tok/s", "verdict")]
    for row in rows:
        speed = "" if row.output_throughput is None else f"{row.output_throughput:,.0f}"
        cells.append((row.run_id, row.stack, row.state, speed, row.verdict or row.problem))
    run_w, stack_w, state_w, speed_w, _ = (
        max(map(len, column)) for column in zip(*cells, strict=True)
    )
    lines = (
        f"{c[0]:<{run_w}}  {c[1]:<{stack_w}}  {c[2]:<{state_w}}  {c[3]:>{speed_w}}  {c[4]}"
        for c in cells
    )
    width = shutil.get_terminal_size().columns
    return "\n".join(x.rstrip() if len(x) <= width else f"{x[: width - 1]}…" for x in lines)
