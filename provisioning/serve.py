"""A host made ours, and a server on it to put load on."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench_agent.protocol import EngineProcess, Target
from provisioning import agent as agents
from provisioning import (
    calibration,
    data_file,
    engines,
    front,
    instances,
    launch,
    launchers,
    mlnode,
    needs,
    offers,
    second_opinion,
    served,
    smoke,
)
from provisioning.command import Command, Secret
from provisioning.data_file import DataFile
from provisioning.deploys import gpu_host
from provisioning.deploys.report import Report
from provisioning.deploys.step import Step
from provisioning.diagnosis import gather
from provisioning.engines.base import ProcessSpec
from provisioning.engines.base import Site as Offer
from provisioning.errors import DynoError
from provisioning.facts.changing import Changing
from provisioning.facts.lock import LockOwner, Owner
from provisioning.holding import Note, held, wait_for_changes
from provisioning.host import Host
from provisioning.launchers.base import Handle
from provisioning.operations import agent as agent_operations
from provisioning.operations import files, lock
from provisioning.progress import Phases, Progress
from provisioning.readiness import Ready
from provisioning.recipe_schema import Recipe
from provisioning.rundir import RunDir
from provisioning.site import Site, api_key, owner, served_model
from stacks.outputs import HostOutput

_RESCUED_LINES = 100_000


@contextmanager
def prepared(
    site: Site, recipe: Recipe, run: RunDir, phases: Phases, data: DataFile | None = None
) -> Iterator[tuple[Host, dict[str, Any]]]:
    """The host is ours and fit for *recipe*, agent and *data* are on it; and what it is.

    It is given back when the run was not launched.

    Raises:
        HostError: somebody else uses the host, or it cannot be made fit.
    """
    host = site.host()
    wanted = needs.of(recipe, _host_output(site), site.workdir) if site.url is None else None
    topics = gpu_host.collect(wanted) if wanted else ()
    deploy = gpu_host.Deploy(host, (*topics, *_brought(host, recipe, data)), phases.progress.note)
    with phases("connect"):
        deploy.prepare()
    ours = Owner(owner(), run.run_id, datetime.now(UTC).isoformat(timespec="seconds"))
    about: dict[str, Any] = {}
    try:
        with phases("provision"):
            report = _provisioned(deploy, ours, phases)
            _tell_shipped(report, data, phases.progress.note)
        about["provision"] = report.about()
        if wanted:
            host.gather(*deploy.facts)  # again, if anything was changed
            about["host"] = gpu_host.about(host, wanted)
        yield host, about
    except BaseException:
        state = run.state()
        if state is not None and state.state == "opened" and (about or _kept(site, run)):
            _give_back(site, run, phases.progress.note)
        raise


def _kept(site: Site, run: RunDir) -> bool:
    """Whether the host's lock is the run's own already; no lease, which ends by itself."""
    with suppress(DynoError):
        found = site.host().fact(LockOwner)
        return found is not None and found.run_id == run.run_id and not found.lease
    return False


def _give_back(site: Site, run: RunDir, note: Note) -> None:
    """Release the host; trouble with that is told, for another is on its way up already."""
    try:
        release(site, run.run_id, note=note)
    except DynoError as error:
        again = f"`fab stop --stack {site.stack} --run {run.run_id}` tries again."
        note(f"The host was not given back: {error.what} {again}")


def _brought(host: Host, recipe: Recipe, data: DataFile | None) -> Iterator[Step]:
    """What every run brings to its host: the agent, calibrated, and the file of its workload."""
    archive = agents.build()
    yield Step(
        "agent",
        agent_operations.facts(host),
        operations=(lambda h: agent_operations.shipped(h, archive.name, archive.data),),
        after=("disks",),
    )
    yield calibration.step(recipe)
    yield from second_opinion.steps(recipe, host.workdir)
    if data is not None:
        file = data
        yield Step(
            "data",
            data_file.facts(host, file),
            operations=(lambda h: data_file.shipped(h, file),),
            after=("agent",),
        )


def _host_output(site: Site) -> HostOutput | None:
    return site.outputs.hosts[0] if site.outputs and site.outputs.hosts else None


def _tell_shipped(report: Report, data: DataFile | None, note: Callable[[str], None]) -> None:
    archive = agents.build()
    if "agent" in report.changed:
        note(f"Shipped {archive.name} ({len(archive.data) // 1024} KiB).")
    if data and "data" in report.changed:
        note(f"Shipped {data.path.name} ({len(data.content) // 1024} KiB).")


def _provisioned(deploy: gpu_host.Deploy, ours: Owner, phases: Phases) -> Report:
    """Do what is to do, if anything; the lock is the run's afterwards."""
    note = phases.progress.note
    before = deploy.host.fact(LockOwner)
    if before and before.run_id != ours.run_id and lock.left(before):
        # A container with a restart policy comes back with its host.
        launch.stop(deploy.host.fork(), before.run_id)
    if not deploy.work:
        lock.acquire(deploy.host.fork(), ours, note)  # what is known of the host stays true
        return deploy.plan()
    with held(deploy.host, ours, note) as hold:
        report = deploy.run(lambda step, text: note(f"{step}: {text}"), again=hold.late)
        hold.keep()
    for step in report.steps:
        if step.changed:
            phases.add(f"provision.{step.name}", step.seconds)
    return report


def serve(
    site: Site, host: Host, recipe: Recipe, run: RunDir, progress: Progress
) -> tuple[Target, dict[str, Any]]:
    """Start the recipe's engines and wait for them; what the load goes to, what to keep of it.

    Raises:
        LaunchError: one ended, was never ready, or does not serve what it should; it says what is
            known of that. The logs of all are in ``home/`` (of the first in ``server.log``, of the
            next in ``server.1.log`` …).
    """
    if mlnode.asked(recipe):
        target, about = mlnode.serve(site, host, recipe, run.run_id, progress)
        served.keep(run, target)
        return target, about
    if site.url is not None:
        return _served_elsewhere(site, host, recipe, run)
    wanted = needs.of(recipe, _host_output(site), site.workdir)
    offered = offers.offers(host, recipe, wanted, Secret(secrets.token_urlsafe(24)))
    try:
        target, about = _started(host, recipe, offered, run.run_id, progress.note)
        on_gpu = wanted.weights and recipe.host.gpu is not None
        about["smoke"] = smoke.smoke(host, target, gpu=on_gpu).about()
    except DynoError as error:
        with suppress(DynoError, OSError):
            _keep(run.home, run.run_id, launch.logs(host, run.run_id, _RESCUED_LINES))
        gather.failed(host, run, error)
        raise
    served.keep(run, target)
    return target, about


def _started(
    host: Host,
    recipe: Recipe,
    offered: Sequence[Offer],
    run_id: str,
    note: Callable[[str], None],
) -> tuple[Target, dict[str, Any]]:
    specs = _specs(recipe, offered, run_id)
    handles = launch.start_all(host, launchers.of(recipe), specs)
    ready = instances.wait(host, handles, recipe.timeouts, note)
    ends = handles
    if recipe.layout.front == "nginx":
        ends = (front.start(host, run_id, handles, recipe.model.name, recipe.engine.port),)
    about = {
        "engine": specs[run_id].describe(),
        "launcher": recipe.launcher,
        "ready": asdict(max(ready, key=lambda one: one.seconds)),
        "layout": _layout(recipe, offered, handles, ready),
    }
    target = Target(
        tuple(end.base_url for end in ends),
        recipe.model.name,
        recipe.load.api,
        handles[0].api_key_file,
        handles[0].log,
        recipe.load.routing,
        engines=tuple(map(_process, dict.fromkeys((*handles, *ends)))),
    )
    return target, about


def _process(handle: Handle) -> EngineProcess:
    return EngineProcess(handle.pid, handle.pid_started, handle.boot_id)


def _specs(recipe: Recipe, offered: Sequence[Offer], run_id: str) -> dict[str, ProcessSpec]:
    """What is to run, by id. A port that the recipe names is that of the first who answers."""
    engine, port = engines.load(recipe.engine.name), recipe.engine.port
    specs: dict[str, ProcessSpec] = {}
    for number, name in enumerate(launch.ids(run_id, len(offered))):
        spec = engine.spec(recipe, offered[number])
        if port is not None and recipe.layout.front == "nginx":
            spec = replace(spec, port=None)
        elif port is not None:
            spec = replace(spec, port=port + number)
        specs[name] = spec
    return specs


def _layout(
    recipe: Recipe, offered: Sequence[Offer], handles: Sequence[Handle], ready: Sequence[Ready]
) -> dict[str, Any]:
    """What the manifest says of the instances; GPUs are none where it has all, or needs none."""
    each = [
        {"id": handle.run_id, "gpus": list(site.gpus), "port": handle.port, "ready": asdict(one)}
        for site, handle, one in zip(offered, handles, ready, strict=True)
    ]
    environment = dict(offered[0].gpu_env)
    return recipe.layout.model_dump() | {"engines": each, "gpu_env": environment}


def _keep(home: Path, run_id: str, logs: Mapping[str, str]) -> None:
    """Logs of engines, by id, under ``home/``: server.log, server.1.log, front.log."""
    for name, log in logs.items():
        which = name.removeprefix(run_id).removeprefix(".")
        file = "front.log" if which == "front" else f"server.{which}.log" if which else "server.log"
        (home / file).write_text(log)


def release(
    site: Site, run_id: str, home: Path | None = None, *, note: Note = lambda _: None
) -> None:
    """Stop the run's engines, where they are ours, and give the host back.

    What engines beside the first have said comes to *home* before: the agent keeps that of the
    first only, as ``server.log``. One that is being started still, by a `fab` that was cut off,
    is waited for, which *note* is told.

    Raises:
        HostError: its start does not end.
        LaunchError: an engine does not go.
    """
    host = site.host()
    host.gather(LockOwner, Changing)
    holder = host.fact(LockOwner)
    # What changes a host that is somebody else's by now is theirs.
    ours = holder is None or holder.run_id == run_id
    if site.url is None and ours and wait_for_changes(host, note):
        host.forget(LockOwner)
    known = host.fork()
    if site.url is None:
        _, logs = launch.stop_with_logs(host, run_id, _RESCUED_LINES if home else 0)
        with suppress(OSError):
            _keep(home or Path(), run_id, logs)
    else:  # the key of a server that is not ours
        mlnode.release(host, run_id)
        host.execute(Command("rm", "-rf", host.path("engines", run_id)), label="bench.key")
    known.apply(lock.released, run_id)  # it looks at the lock anew, there


def _served_elsewhere(
    site: Site, host: Host, recipe: Recipe, run: RunDir
) -> tuple[Target, dict[str, Any]]:
    key, url = api_key(), str(site.url)
    model = served_model(url, key)
    about = {"engine": {"engine": "a server that ran already", "model": model}}
    target = Target((url,), model, recipe.load.api, routing=recipe.load.routing)
    if key is None:
        return target, about
    folder = host.path("engines", run.run_id)
    path = f"{folder}/api-key"
    host.execute(files.make(folder, 0o700), files.write(path, key, 0o600), label="bench.key")
    return replace(target, api_key_file=path), about
