"""A host made ours, and a server on it to put load on."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from bench_agent.protocol import Target
from provisioning import agent as agents
from provisioning import calibration, data_file, engines, launch, launchers, needs, readiness
from provisioning.command import Command, Secret
from provisioning.data_file import DataFile
from provisioning.deploys import gpu_host
from provisioning.deploys.report import Report
from provisioning.deploys.step import Step
from provisioning.engines.base import Site as Offer
from provisioning.errors import DynoError
from provisioning.facts.lock import Owner
from provisioning.facts.python import Pythons, usable
from provisioning.holding import held
from provisioning.host import Host
from provisioning.operations import agent as agent_operations
from provisioning.operations import files, lock
from provisioning.progress import Phases, Progress
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
    deploy = gpu_host.Deploy(host, (*topics, *_brought(host, recipe, data)))
    with phases("connect"):
        deploy.prepare()
    ours = Owner(owner(), run.run_id, datetime.now(UTC).isoformat(timespec="seconds"))
    with phases("provision"):
        report = _provisioned(deploy, ours, phases)
        _tell_shipped(report, data, phases.progress.note)
    try:
        about: dict[str, Any] = {"provision": report.about()}
        if wanted:
            host.gather(*deploy.facts)  # again, if anything was changed
            about["host"] = gpu_host.about(host, wanted)
        host.forget()
        yield host, about
    except BaseException:
        state = run.state()
        if state is not None and state.state == "opened":
            with suppress(DynoError):
                release(site, run.run_id)
        raise


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
    """Start the recipe's engine and wait for it; what the load goes to, and what to keep of it.

    Raises:
        LaunchError: it ended or was never ready; its log is in ``home/server.log``.
    """
    if site.url is not None:
        return _served_elsewhere(site, host, recipe, run)
    python = usable(host.fact(Pythons), host.name).path
    pyz = host.path("agent", agents.build().name)
    offer = Offer(python, pyz, Secret(secrets.token_urlsafe(24)))
    spec = engines.load(recipe.engine.name).spec(recipe, offer)
    launcher = launchers.load(recipe.launcher)
    try:
        handle = launch.start(host, launcher, spec, run.run_id)
        ready = readiness.wait(host, handle, recipe.timeouts.ready_s, _Teller(progress))
    except DynoError:
        with suppress(DynoError, OSError):
            log = launch.log(host, run.run_id, _RESCUED_LINES)
            (run.home / "server.log").write_text(offer.api_key.redact(log))
        raise
    about = {"engine": spec.describe(), "launcher": recipe.launcher, "ready": asdict(ready)}
    target = Target(
        (handle.base_url,),
        recipe.model.name,
        recipe.load.api,
        handle.api_key_file,
        handle.log,
        recipe.load.routing,
    )
    return target, about


class _Teller:
    """Says when the engine enters a phase, and which line of its log told so."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._phase = "start"

    def __call__(self, now: readiness.Progress) -> None:
        if now.phase != self._phase:
            self._phase = now.phase
            self._progress.note(f"engine: {now.phase} after {now.seconds:.1f} s")


def release(site: Site, run_id: str) -> None:
    """Stop the run's engine, where it is ours, and give the host back.

    Raises:
        LaunchError: the engine does not go.
    """
    host = site.host()
    if site.url is None:
        launch.stop(host, run_id)
    else:  # the key of a server that is not ours
        host.execute(Command("rm", "-rf", host.path("engines", run_id)), label="bench.key")
    host.apply(lock.released, run_id)


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
