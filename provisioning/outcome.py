"""What a run at home came to, told by exit code."""

from __future__ import annotations

import json
from typing import Any

from bench_agent import protocol, wire
from provisioning.diagnosis import gather
from provisioning.errors import BenchError, UsageError
from provisioning.rundir import RunDir


def require_fit(run: RunDir) -> protocol.RunSummary:
    """The summary of a run that measured what it was asked to.

    A search goes beyond what the server can do, so of its points only one has to succeed.

    Raises:
        BenchError: it did not run to its end, nothing succeeded at some point, or more requests
            failed than its recipe allows.
        UsageError: it has no summary.
    """
    summary = load_summary(run)
    where = f"See {run.path} and `fab logs`."
    if summary.state != "done":
        raise _ended(run, summary, where)
    limit = _read(run, "manifest.json")["spec"]["limits"]["max_failed_share"]
    steps = {step["point"] for step in (summary.search or {}).get("steps", ())}
    planned = [p for p in summary.points if p.point.name not in steps]
    lost = [p for p in planned if not p.completed or p.failed > limit * p.requested]
    if lost:
        named = ", ".join(f"{p.point.name} ({p.failed} of {p.requested})" for p in lost)
        raise BenchError(f"More requests failed than the recipe allows: {named}.", where)
    if not any(p.completed for p in summary.points):
        raise BenchError(f"No request of the run {run.run_id} succeeded.", where)
    if steps and not any(p.completed for p in summary.points if p.point.name in steps):
        raise BenchError("No request of the search succeeded.", where)
    return summary


def _ended(run: RunDir, summary: protocol.RunSummary, where: str) -> BenchError:
    """Why it ended before its time; of one that failed, its engine's last words and their sense."""
    what = f"The run {run.run_id} ended as {summary.state}."
    if summary.state != "failed":
        return BenchError(what, where)
    why = next(iter(summary.verdict.reasons), "").removeprefix("The run is failed.").strip()
    logs = gather.logs(run)
    error = BenchError(f"{what} {why}".strip(), where, log=logs[0] if logs else "")
    gather.explain(error, gather.kept(run))
    return error


def load_summary(run: RunDir) -> protocol.RunSummary:
    """The summary of a run at home.

    Raises:
        UsageError: it has none that can be read.
    """
    try:
        return wire.decode(protocol.RunSummary, _read(run, "summary.json"))
    except wire.WireError as error:
        raise UsageError(f"The summary of {run.run_id} is of another release: {error}.") from None


def _read(run: RunDir, name: str) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads((run.path / name).read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{run.path / name} cannot be read: {error}.", "`fab collect` brings it home again."
        ) from None
    return data
