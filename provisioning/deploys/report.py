"""What a deploy did, or would do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StepReport:
    """One step: what it ran on the host (in words, secrets redacted), and how long it took.

    Of a dry run: what it would run, and `more` if that cannot all be told beforehand.
    """

    name: str
    commands: tuple[str, ...] = ()
    seconds: float = 0.0
    changed: bool = False
    more: bool = False
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """A deploy of one host; `seconds` from its first question to its end."""

    host: str
    steps: tuple[StepReport, ...]
    seconds: float
    dry_run: bool = False

    @property
    def changed(self) -> tuple[str, ...]:
        """The steps that changed the host, or would."""
        return tuple(step.name for step in self.steps if step.changed)

    @property
    def longest_path(self) -> tuple[str, ...]:
        """The steps that no overlap could have shortened: each waited for the one before it."""
        return max(_paths(self.steps), key=lambda path: _seconds(self.steps, path), default=())

    def about(self) -> dict[str, Any]:
        """JSON values for people's programs, and for the manifest."""
        path = self.longest_path
        return {
            "host": self.host,
            "dry_run": self.dry_run,
            "seconds": round(self.seconds, 3),
            "changed": list(self.changed),
            "longest_path": list(path),
            "longest_path_s": round(_seconds(self.steps, path), 3),
            "steps": [_about(step) for step in self.steps],
        }


def _about(step: StepReport) -> dict[str, Any]:
    about: dict[str, Any] = {
        "name": step.name,
        "changed": step.changed,
        "seconds": round(step.seconds, 3),
        "commands": list(step.commands),
    }
    return about | ({"more": True} if step.more else {})


def _paths(steps: Iterable[StepReport]) -> list[tuple[str, ...]]:
    """The longest way to each step's end, without steps that took no time; *steps* are in order."""
    best: dict[str, tuple[float, tuple[str, ...]]] = {}
    for step in steps:
        before = max((best[name] for name in step.after if name in best), default=(0.0, ()))
        own = (step.name,) if step.seconds else ()
        best[step.name] = (before[0] + step.seconds, (*before[1], *own))
    return [path for _, path in best.values()]


def _seconds(steps: Iterable[StepReport], path: Iterable[str]) -> float:
    took: Mapping[str, float] = {step.name: step.seconds for step in steps}
    return sum(took[name] for name in path)
