"""One part of a deploy: what it asks, what it refuses, what it changes, what must come before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from provisioning.command import Command, Fact
from provisioning.host import Host

#: Hears one short line of progress.
Teller = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """A step of a deploy; `name` is shown, timed, and named in errors.

    `facts` are gathered with those of all other steps, in the first exchange. `check` raises a
    `HostError` on facts alone, before anything was changed. `operations` are applied in order,
    each with fresh facts; then comes `run`, for what is no operation (a download that goes on
    by itself, a proof): it must say nothing to the host when facts tell that nothing is to do.
    `after` names steps that must be over first; those that are not there are ignored.
    """

    name: str
    facts: tuple[Fact[Any], ...] = ()
    check: Callable[[Host], None] | None = None
    operations: tuple[Callable[[Host], Iterator[Command]], ...] = ()
    after: tuple[str, ...] = ()
    run: Callable[[Host, Teller], None] | None = None
