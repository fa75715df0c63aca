"""A known failure, and what is found of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from provisioning.diagnosis.state import State

#: ``failure``: why it failed. ``consequence``: it tells that it failed, not why. ``warning``: it
#: works, but not as fast, or not as asked for. ``harmless``: looks bad and is not.
Severity = Literal["failure", "consequence", "warning", "harmless"]

#: The phase after the start: requests are served.
SERVING = "ready"


@dataclass(frozen=True)
class Failure:
    """One known failure.

    It is found by a line of the log that matches one of `patterns` (in one of `phases`, where it
    has some), or by `state`, which says what gives it away, or nothing. Where `both`, by a line
    and the state. `detail` adds what the state knows. `sources`: where the message and its cure
    come from.
    """

    name: str
    meaning: str
    advice: str
    sources: tuple[str, ...]
    patterns: tuple[str, ...] = ()
    severity: Severity = "failure"
    phases: tuple[str, ...] = ()
    state: Callable[[State], str] | None = None
    both: bool = False
    detail: Callable[[State], str] | None = None


@dataclass(frozen=True)
class Finding:
    """A known failure that was found. `line` (from 1) and `evidence` are of the log; a finding of
    the state alone has line 0.
    """  # noqa: D205 - one thought

    name: str
    severity: Severity
    meaning: str
    advice: str
    sources: tuple[str, ...]
    evidence: str
    line: int = 0
    detail: str = ""
