"""Taking up a run that ended before its plan was through: what is done stays done."""

from __future__ import annotations

from dataclasses import replace

from bench_agent import storage
from bench_agent.layout import RunDir
from bench_agent.liveness import is_active
from bench_agent.protocol import RunSpec
from bench_agent.specs import SpecError, spec_of


class CannotResume(Exception):  # noqa: N818 - a refusal
    """The run cannot be taken up; the message says why."""


def reopen(run: RunDir, spec: RunSpec) -> None:
    """Make *run* ready for the rest of its plan, which *spec* tells once more.

    Points that are through keep their records and summaries; all else is measured again. The
    target's addresses, times and context may differ from the first time, the plan may not.

    Raises:
        CannotResume: it is at work, it is done, or its plan was another.
        OSError: the disk is full.
    """
    if is_active(run):
        raise CannotResume(f"Run {run.run_id} is at work. Follow it, or stop it first.")
    summary = storage.read_json(run.summary)
    if run.sealed and isinstance(summary, dict) and summary.get("state") == "done":
        raise CannotResume(f"Run {run.run_id} is done: there is nothing left to measure.")
    try:
        before = spec_of(storage.read_json(run.spec))
    except SpecError as error:
        raise CannotResume(f"Run {run.run_id} left no plan to go on with: {error}") from None
    if _plan(before) != _plan(spec):
        raise CannotResume(f"Run {run.run_id} had another plan. Start a new run for this one.")
    for path in (run.sums, run.summary, run.manifest, run.server_log):
        path.unlink(missing_ok=True)  # the sums first: without them it is no result
    storage.drop_torn_line(run.events)


def _plan(spec: RunSpec) -> RunSpec:
    """What must be the same both times."""
    target = replace(spec.target, base_urls=(), api_key_file=None, log=None)
    return replace(spec, target=target, planned_s=1.0, expires_at=None, context={})
