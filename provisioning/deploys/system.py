"""Packages, limits, kernel settings, huge pages, the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from provisioning.command import Command, Fact
from provisioning.deploys.step import Step, Teller
from provisioning.errors import UsageError
from provisioning.facts.clock import Clock
from provisioning.host import Host
from provisioning.needs import Needs
from provisioning.operations import apt, clock, kernel, limits

_AFTER = ("preflight", "disks")
Operation = Callable[[Host], Iterator[Command]]


def steps(needs: Needs) -> tuple[Step, ...]:
    """What the recipe asks of packages and system; nothing where it asks for nothing.

    Raises:
        UsageError: a number of it is none.
    """
    found = (_packages(needs), _system(needs))
    return tuple(step for step in found if step.operations)


def _packages(needs: Needs) -> Step:
    """Whatever apt may have to install, but what belongs to other steps."""
    facts: list[Fact[Any]] = []
    operations: list[Operation] = []
    asked = needs.needs
    if asked.packages:
        facts += apt.facts()
        operations.append(lambda host: apt.packages(host, *asked.packages))
    if asked.time_sync:
        facts += clock.facts()
        operations.append(clock.kept)
    check = _all_of(clock.kept) if asked.time_sync else None
    run = _tell_of_clock if asked.time_sync else None
    return Step("packages", tuple(facts), check, tuple(operations), _AFTER, run)


def _system(needs: Needs) -> Step:
    facts: list[Fact[Any]] = []
    operations: list[Operation] = []
    asked = needs.needs
    facts += kernel.facts(asked.sysctl, asked.hugepages)
    if asked.sysctl:
        operations.append(partial(kernel.settings, wanted=asked.sysctl))
    if asked.hugepages:
        operations.append(partial(kernel.reserved, wanted=asked.hugepages))
    if asked.limits:
        facts += limits.facts()
        most = _most_files(asked.sysctl)
        operations.append(partial(limits.raised, wanted=asked.limits, nr_open=most))
    return Step("system", tuple(facts), _all_of(*operations), tuple(operations), _AFTER)


def _most_files(sysctl: Mapping[str, str | int]) -> int | None:
    """What fs.nr_open will be; None where the recipe leaves it.

    Raises:
        UsageError: it is to be no number.
    """
    asked = {kernel.as_path(key): value for key, value in sysctl.items()}.get("fs/nr_open")
    if asked is None:
        return None
    text = str(asked).strip()
    if not (text.isascii() and text.isdigit()):
        raise UsageError(
            f"host.sysctl: fs.nr_open is a number of files, and {asked!r} is none.",
            "Write it in full: 1048576.",
        )
    return int(text)


def _all_of(*operations: Operation) -> Callable[[Host], None]:
    """A check: each of *operations* would go, as far as facts tell."""

    def check(host: Host) -> None:
        for operation in operations:
            list(operation(host))

    return check


def _tell_of_clock(host: Host, tell: Teller) -> None:
    if not host.dry_run and not host.fact(Clock).synchronised:
        tell("the clock is kept by a time service, which has not set it yet")
