"""Known failures of an engine: what its log and its host say, what it means, what to do."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from provisioning.diagnosis import known
from provisioning.diagnosis.failure import Failure, Finding
from provisioning.diagnosis.log import Line, lines
from provisioning.diagnosis.state import State

_ORDER = ("failure", "consequence", "warning", "harmless")
_LONGEST = 400


@cache
def failures() -> tuple[Failure, ...]:
    """All that are known: `FAILURES` of every module of `known`."""
    names = sorted(module.name for module in pkgutil.iter_modules(known.__path__))
    modules = (importlib.import_module(f"{known.__name__}.{name}") for name in names)
    return tuple(failure for module in modules for failure in module.FAILURES)


def diagnose(log: str, state: State | None = None) -> list[Finding]:
    """What is found of an engine, the root cause first; pure.

    Of what stands in the log the first line counts: what fails later fails because of it.
    """
    text, facts = lines(log), state or State()
    return ranked([one for failure in failures() if (one := _find(failure, text, facts))])


def diagnose_all(logs: Sequence[str], state: State | None = None) -> list[Finding]:
    """What is found of the engines of one run, each by its log; each failure once."""
    found: dict[str, Finding] = {}
    for log in logs or ("",):
        for one in diagnose(log, state):
            found.setdefault(one.name, one)
    return ranked(found.values())


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """The root cause first."""
    return sorted(findings, key=lambda one: (_ORDER.index(one.severity), one.line, one.name))


def causes(findings: Sequence[Finding], most: int = 3) -> list[Finding]:
    """Those that a person should read when an engine failed: why, or at least that it did."""
    bad = [one for one in findings if one.severity in ("failure", "consequence")]
    real = [one for one in bad if one.severity == "failure"]
    return (real or bad)[:most]


def shown(findings: Sequence[Finding]) -> Iterator[str]:
    """Lines for a person."""
    for number, one in enumerate(findings, 1):
        kind = "" if one.severity == "failure" else f" ({one.severity})"
        yield f"{number}. {one.meaning}{kind}"
        if one.detail:
            yield f"   {one.detail}"
        yield f"   To do: {one.advice}"
        where = f"line {one.line}" if one.line else "the host"
        yield f"   {where}: {one.evidence}"


def _find(failure: Failure, text: Sequence[Line], state: State) -> Finding | None:
    told = failure.state(state) if failure.state else ""
    line = _line(failure, text) if failure.patterns else None
    if failure.both and not (line and told):
        return None
    if not line and not told:
        return None
    return Finding(
        failure.name,
        failure.severity,
        failure.meaning,
        failure.advice,
        failure.sources,
        (line.text.strip() if line else told)[:_LONGEST],
        line.number if line else 0,
        failure.detail(state) if failure.detail else "",
    )


def _line(failure: Failure, text: Sequence[Line]) -> Line | None:
    pattern = re.compile("|".join(failure.patterns))
    for line in text:
        if (not failure.phases or line.phase in failure.phases) and pattern.search(line.text):
            return line
    return None
