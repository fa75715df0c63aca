"""A detached download, watched from here: connections may break, the download goes on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from provisioning.deploys.step import Teller
from provisioning.errors import RemoteError
from provisioning.facts.download import Download, Going
from provisioning.host import Host
from provisioning.models import HubModel

#: How long a host may be out of reach before the watcher gives up (the download does not).
PATIENCE_S = 60.0
POLL_S = 1.0
SAY_S = 5.0
_WINDOW_S = 15.0


class Rate:
    """Bytes a second over the last moments; None until there are two readings."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, int]] = deque()

    def __call__(self, now: float, done: int) -> float | None:
        """Take a reading."""
        self._readings.append((now, done))
        while now - self._readings[0][0] > _WINDOW_S:
            self._readings.popleft()
        then, before = self._readings[0]
        return (done - before) / (now - then) if now > then else None


def follow(host: Host, model: HubModel, tell: Teller) -> Going:
    """Tell how the download of *model* goes, to its end; how it ended.

    Raises:
        RemoteError: the host stayed out of reach; the download goes on.
    """
    rate = Rate()

    def said(going: Going) -> str:
        return line(going, rate(time.monotonic(), going.done)) if going.total else ""

    return watch(host, model.download, said, tell)


def watch(host: Host, job: Download, said: Callable[[Going], str], tell: Teller) -> Going:
    """Tell now and then what *said* makes of a job, to its end; how it ended.

    Raises:
        RemoteError: the host stayed out of reach; the job goes on.
    """
    told = float("-inf")
    while True:
        going = _patiently(lambda: job.parse(host.ask(job.command).stdout))
        if going.state != "running":
            return going
        text, now = said(going), time.monotonic()
        if text and now - told >= SAY_S:
            told = now
            tell(text)
        time.sleep(POLL_S)


def line(going: Going, speed: float | None) -> str:
    """``12.3 of 65.5 GB, 410 MB/s``."""
    text = f"{going.done / 1e9:.1f} of {going.total / 1e9:.1f} GB"
    return text if speed is None else f"{text}, {speed / 1e6:.0f} MB/s"


def _patiently(ask: Callable[[], Going]) -> Going:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except RemoteError as error:
            if not error.retryable or time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)
