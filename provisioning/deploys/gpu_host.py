"""The deploy that makes a host fit for a recipe: the steps of all topics in this folder."""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from types import ModuleType
from typing import Any

from provisioning import deploys
from provisioning.command import Fact
from provisioning.deploys import flow
from provisioning.deploys.report import Report, StepReport
from provisioning.deploys.step import Step
from provisioning.deploys.trial import Trial, refusal, tried
from provisioning.errors import DynoError
from provisioning.facts.changing import Changing
from provisioning.facts.cloud_init import CloudInit
from provisioning.facts.lock import LockOwner
from provisioning.facts.python import Pythons, usable
from provisioning.facts.sudo import Sudo
from provisioning.facts.system import System
from provisioning.host import Host
from provisioning.needs import Needs
from provisioning.operations import cloud_init

#: The step that judges distribution, memory, ports: before anybody else may complain.
_FIRST = "preflight"


def collect(needs: Needs) -> tuple[Step, ...]:
    """The steps of all topics for *needs*: every module here that has a function ``steps``.

    Raises:
        UsageError: the recipe asks for what cannot be.
    """
    found = _functions("steps").values()
    return tuple(step for steps in found for step in steps(needs))


def about(host: Host, needs: Needs) -> dict[str, Any]:
    """What the manifest should know of the host: what all topics say, by topic."""
    said = {name: about(host, needs) for name, about in _functions("about").items()}
    return {name: value for name, value in said.items() if value}


def ordered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """*steps*, each after those that it must come after.

    Raises:
        ValueError: they wait for each other, or two have one name.
    """
    waiting = list(steps)
    names = {step.name for step in waiting}
    if len(names) < len(waiting):
        raise ValueError(f"two steps have one name: {[step.name for step in waiting]}")
    found: dict[str, Step] = {}
    while waiting:
        ready = [step for step in waiting if set(step.after) & names <= found.keys()]
        if not ready:
            raise ValueError(f"steps wait for each other: {[step.name for step in waiting]}")
        found |= {step.name: step for step in ready}
        waiting = [step for step in waiting if step.name not in found]
    return tuple(found.values())


class Deploy:
    """Steps for one host: asked, checked, tried, and then run where there is work.

    `prepare` first; then `work` says whether anything is to do, and `run` does it. *note* hears
    what is waited for before that.
    """

    def __init__(
        self, host: Host, steps: Sequence[Step], note: Callable[[str], None] = lambda _: None
    ) -> None:
        self.host = host
        self._note = note
        self.steps = ordered(steps)
        self._trials: dict[str, Trial] = {}
        self._begun = time.monotonic()

    @property
    def facts(self) -> tuple[Fact[Any], ...]:
        """What is asked of the host beforehand, by all steps and for the lock."""
        own = (System(), Pythons(), LockOwner(), Changing())
        return tuple(dict.fromkeys((*own, *(fact for step in self.steps for fact in step.facts))))

    @property
    def work(self) -> bool:
        """Whether any step has something to do."""
        return any(trial.work for trial in self._trials.values())

    def prepare(self) -> None:
        """Ask, check, and find out what is to do: one exchange, and nothing is changed.

        A machine in its first boot is waited for before.

        Raises:
            HostError: the host is not fit, and cannot be made so; the step is in its phase.
        """
        self._ask()
        if not self.host.dry_run and CloudInit() in self.facts and self.host.fact(CloudInit):
            self._wait_for_first_boot()
            self._ask()
        usable(self.host.fact(Pythons), self.host.name)
        for step in self.steps:
            if step.check is not None:
                _of(step, step.check, self.host)
        self._trials = {step.name: tried(step, self.host) for step in self.steps}
        self._refuse_hopeless()
        if any(command.sudo for trial in self._trials.values() for command in trial.commands):
            self.host.gather(Sudo)

    def run(self, tell: flow.Tell, *, again: bool = False) -> Report:
        """Do what is to do; the host has to be held by us. *again*: after preparing anew.

        Raises:
            DynoError: of the step that failed first; its name is in the phase.
        """
        if again:
            self.host.forget()
            self.prepare()
        try:
            done = flow.run(self.steps, self.host, self._trials, tell)
        finally:
            self.host.forget()
        return Report(self.host.name, done, time.monotonic() - self._begun)

    def plan(self) -> Report:
        """What is to do, and nothing of it done."""
        steps = tuple(_planned(step, self._trials[step.name]) for step in self.steps)
        return Report(
            self.host.name, steps, time.monotonic() - self._begun, dry_run=self.host.dry_run
        )

    def _ask(self) -> None:
        try:
            self.host.gather(*self.facts)
        finally:
            self._judge()  # a system that is not supported is why its tools do not answer

    def _wait_for_first_boot(self) -> None:
        """What cloud-init still installs would be missed, or refused, by the facts of now."""
        branch = self.host.fork()
        branch.tell = self._note
        branch.execute(cloud_init.waiting(), label="preflight")
        self.host.forget()

    def _judge(self) -> None:
        """Raise what the first check has against the host, as far as it is known."""
        for step in self.steps:
            if step.name == _FIRST and (error := refusal(step, self.host)):
                raise _phased(error, step) from None

    def _refuse_hopeless(self) -> None:
        """Raise what keeps a step from being done, unless one before it may yet cure that."""
        moved: set[str] = set()
        for step in self.steps:
            trial = self._trials[step.name]
            if set(step.after) & moved:
                moved.add(step.name)
            elif trial.trouble is not None:
                raise _phased(trial.trouble, step)
            elif trial.work:
                moved.add(step.name)


@cache
def topics() -> dict[str, ModuleType]:
    """The modules of this folder but this one, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(deploys.__path__))
    own = __name__.rpartition(".")[2]
    return {n: importlib.import_module(f"{deploys.__name__}.{n}") for n in names if n != own}


def _functions(name: str) -> dict[str, Callable[..., Any]]:
    return {t: getattr(module, name) for t, module in topics().items() if hasattr(module, name)}


def _of(step: Step, check: Callable[[Host], None], host: Host) -> None:
    try:
        check(host)
    except DynoError as error:
        raise _phased(error, step) from None


def _phased(error: DynoError, step: Step) -> DynoError:
    error.phase = f"provision.{step.name}"
    return error


def _planned(step: Step, trial: Trial) -> StepReport:
    return StepReport(
        step.name,
        tuple(map(str, trial.commands)),
        changed=trial.work,
        more=trial.more or trial.trouble is not None,
        after=step.after,
    )
