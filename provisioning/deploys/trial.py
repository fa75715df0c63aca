"""A step tried on what is known of its host: what would it do? Nothing is said to the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from provisioning.command import Command
from provisioning.deploys.step import Step
from provisioning.errors import DynoError
from provisioning.host import Host


@dataclass(frozen=True)
class Trial:
    """What a step would do: `commands`, and `more` that cannot be told beforehand.

    `trouble`: why it cannot be done, as things are.
    """

    commands: tuple[Command, ...] = ()
    more: bool = False
    trouble: DynoError | None = None

    @property
    def work(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.commands) or self.more or self.trouble is not None


class _SpokeError(BaseException):
    """A step turned to its host: no `except Exception` of its own may hide that."""


class _Deaf:
    """A remote that nothing can be said to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.exchanges = 0

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float | None = None) -> NoReturn:
        del command, stdin, timeout_s
        raise _SpokeError

    def stream(self, command: str, *, stdin: bytes = b"") -> NoReturn:
        del command, stdin
        raise _SpokeError

    def close(self) -> None:
        """Nothing is held."""


def tried(step: Step, host: Host) -> Trial:
    """What *step* would do on *host*, as it is known now.

    Operations after one that has work are told as far as they can be told now.
    """
    view = _deaf(host)
    commands: list[Command] = []
    more = False
    trouble = None
    try:
        for operation in step.operations:
            commands.extend(operation(view))
        if step.run is not None and not commands:
            step.run(view, lambda _: None)
    except _SpokeError:
        more = True
    except DynoError as error:
        more, trouble = bool(commands), None if commands else error
    except Exception:  # noqa: BLE001 - what is known may not fit yet; it is told when it is run
        more = True
    if commands and step.run is not None:
        more = True
    return Trial((*commands, *view.ran), more, trouble)


def refusal(step: Step, host: Host) -> DynoError | None:
    """What the check of *step* has against *host*, by what is known of it alone."""
    try:
        if step.check is not None:
            step.check(_deaf(host))
    except _SpokeError:
        return None  # too little is known
    except DynoError as error:
        return error
    return None


def _deaf(host: Host) -> Host:
    view = host.fork()
    view.remote, view.dry_run, view.tell = _Deaf(host.name), False, None
    return view
