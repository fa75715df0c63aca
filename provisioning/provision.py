"""Hosts made fit for a recipe, without putting any load on them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from queue import SimpleQueue
from threading import Thread

from provisioning import needs
from provisioning.deploys import flow, gpu_host
from provisioning.deploys.report import Report
from provisioning.errors import DynoError
from provisioning.facts.lock import Owner
from provisioning.holding import give_all_back, held, tidy
from provisioning.host import Host
from provisioning.recipe_schema import Recipe
from provisioning.remote import SshRemote
from provisioning.rundir import new_run_id
from provisioning.site import owner
from stacks.outputs import HostOutput, StackOutputs

#: What came of one host.
Outcome = Report | DynoError
#: Hears of a host, of a step there (or of none), and one short line.
TellOfHost = Callable[[str, str, str], None]


def provision(host: Host, of_stack: HostOutput | None, recipe: Recipe, tell: flow.Tell) -> Report:
    """Make *host* what *recipe* needs; with its `dry_run`, say only what that would be.

    Raises:
        HostError: it cannot be made so, or somebody else uses it.
        DynoError: of the step that failed; running it once more goes on where that was.
    """
    steps = gpu_host.collect(needs.of(recipe, of_stack, host.workdir))

    def note(text: str) -> None:
        tell("", text)

    deploy = gpu_host.Deploy(host, steps, note)
    deploy.prepare()
    if host.dry_run:
        return deploy.plan()
    if not deploy.work:
        tidy(host, note)
        return deploy.plan()
    ours = Owner(owner(), new_run_id("provision"), datetime.now(UTC).isoformat(timespec="seconds"))
    with held(host, ours, note) as hold:
        return deploy.run(tell, again=hold.late)


def provision_stack(
    outputs: StackOutputs, recipe: Recipe, tell: TellOfHost, *, dry_run: bool = False
) -> list[Outcome]:
    """Do so with all hosts of a stack at once; what came of each, in the stack's order.

    Interrupted, it lets go of all hosts at once.
    """

    def one(number: int, of_stack: HostOutput) -> None:
        remote = SshRemote(of_stack, outputs.ssh_private_key)
        found: Outcome | BaseException
        try:
            host = Host(remote, of_stack.workdir, dry_run=dry_run, who=owner())
            found = provision(host, of_stack, recipe, partial(tell, of_stack.name))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits for it
            found = error
        finally:
            remote.close()
        over.put((number, found))

    over: SimpleQueue[tuple[int, Outcome | BaseException]] = SimpleQueue()
    for numbered in enumerate(outputs.hosts):
        Thread(target=one, args=numbered, daemon=True).start()
    try:
        return _in_order(dict(over.get() for _ in outputs.hosts))
    except KeyboardInterrupt:
        give_all_back()
        raise


def _in_order(found: dict[int, Outcome | BaseException]) -> list[Outcome]:
    """Reports and errors; a bug is raised as what it is."""
    outcomes: list[Outcome] = []
    for _, outcome in sorted(found.items()):
        if not isinstance(outcome, (Report, DynoError)):
            raise outcome
        outcomes.append(outcome)
    return outcomes
