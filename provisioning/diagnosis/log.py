"""An engine's log as it is searched: plain lines, and the phase each stands in."""

from __future__ import annotations

import re
from dataclasses import dataclass

from provisioning.diagnosis.failure import SERVING
from provisioning.readiness_phases import Tracker

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
#: Much of a long log, and nothing that tells of a failure.
_CHATTER = re.compile(r'" 200(?: OK)?$|Avg prompt throughput: ')
_SERVES = re.compile(r"Application startup complete")
#: It is ended by somebody, in order: what fails from then on fails because of that.
_ENDED = re.compile(
    r"\[shutdown\] (API server: shutdown triggered|EngineCore: trigger received signal=)"
)
_BEGUN = re.compile(r"non-default args: |vLLM API server version|Initializing a V1 LLM engine")
#: More is not looked at: the beginning, where a start fails, and the end.
_HALF = 2_000_000


@dataclass(frozen=True)
class Line:
    """`number` counts from 1. `phase`: see `readiness_phases.PHASES`, and `SERVING`."""

    number: int
    text: str
    phase: str


def lines(log: str) -> list[Line]:
    """The lines of a log worth looking at; a bar that is drawn again is a line of its own."""
    tracker, serving, ended, found = Tracker(), False, False, list[Line]()
    if len(log) > 2 * _HALF:
        log = f"{log[:_HALF]}\n{log[-_HALF:]}"
    for number, text in enumerate(_COLOUR.sub("", log).replace("\r", "\n").split("\n"), 1):
        ended = (ended or bool(_ENDED.search(text))) and not _BEGUN.search(text)
        if ended or not text.strip() or _CHATTER.search(text):
            continue
        tracker.line(text, 0.0)
        serving = serving or bool(_SERVES.search(text))
        found.append(Line(number, text, SERVING if serving else tracker.phase))
    return found
