"""The state beside a log, asked of a host in one exchange; and both brought together for a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from bench_agent.wire import WireError, decode
from provisioning import launch
from provisioning.command import quote
from provisioning.diagnosis import causes, diagnose_all
from provisioning.diagnosis.failure import Finding
from provisioning.diagnosis.state import State
from provisioning.errors import DynoError, HostError
from provisioning.facts.python import Pythons, usable
from provisioning.host import Host
from provisioning.readiness import NotReadyError
from provisioning.rundir import RunDir, durable

_PROBE = Path(__file__).parent / "state_probe.py"
_TIMEOUT_S = 120.0
FILE = "diagnosis.json"
LOG = "server.log"


def state(host: Host, run_id: str) -> State:
    """What *host* tells of the engines of a run.

    Raises:
        HostError: it has no Python, or what it says is not understood.
    """
    python = usable(host.fact(Pythons), host.name).path
    task = {"engine": launch.folder(host, run_id), "disks": [host.workdir]}
    command = quote(python, "-I", "-S", "-", json.dumps(task))
    done = host.remote.run(command, stdin=_PROBE.read_bytes(), timeout_s=_TIMEOUT_S)
    try:
        return decode(State, json.loads(done.stdout))
    except (ValueError, WireError) as error:
        raise HostError(
            f"What {host.name} tells of its engine is not understood ({error}).",
            "Try again.",
            host=host.name,
            log=done.stderr,
        ) from None


def failed(host: Host, run: RunDir, error: DynoError | None = None) -> list[Finding]:
    """Diagnose the engine of *run* by its rescued log, and what the host still tells; the result
    stands in ``home/diagnosis.json``, and *error* says what to do.

    Nothing is raised: *error* is what a person has to hear in any case.
    """  # noqa: D205 - one thought
    facts = State()
    with suppress(DynoError):
        facts = state(host, run.run_id)
    if isinstance(error, NotReadyError) and error.end == "hung":
        facts = replace(facts, hung=error.phase_reached)
    found = diagnose_all(logs(run) or [str(getattr(error, "log", ""))], facts)
    with suppress(OSError):
        keep(run, found)
    if error is not None:
        explain(error, found)
    return found


def explain(error: DynoError, findings: Sequence[Finding]) -> None:
    """Let *error* say what is the matter and what to do, as far as it is known."""
    known = causes(findings)
    if known:
        told = [f"{one.meaning} {one.detail} {one.advice}".replace("  ", " ") for one in known]
        error.advice = "\n".join(told)


def keep(run: RunDir, findings: Sequence[Finding]) -> None:
    """Write ``home/diagnosis.json``."""
    run.home.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(one) for one in findings], indent=1, ensure_ascii=False)
    durable(run.home / FILE, text.encode())


def kept(run: RunDir) -> list[Finding]:
    """What ``home/diagnosis.json`` holds; nothing where there is none."""
    try:
        found = json.loads((run.home / FILE).read_text())
        return [decode(Finding, one) for one in found]
    except (OSError, ValueError, WireError):
        return []


def logs(run: RunDir) -> list[str]:
    """The logs of the run's engines at home, wherever they are by now."""
    first = (run.path / LOG, run.path / f"{LOG}.part", run.home / LOG)
    others = (*sorted(run.home.glob("server.*.log")), run.home / "front.log")
    named = [next((path for path in first if path.is_file()), run.home / LOG), *others]
    return [path.read_text(errors="replace") for path in named if path.is_file()]
