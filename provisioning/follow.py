"""A run on the host, watched from here: connections may break, the run goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

from bench_agent.protocol import Event
from bench_agent.wire import WireError
from provisioning.agent import Agent
from provisioning.errors import RemoteError

#: How long a host may be out of reach before the watcher gives up (the run does not).
PATIENCE_S = 60.0
_PAUSE_S = 1.0

OnEvent = Callable[[Event], None]


def follow(
    agent: Agent,
    run_id: str,
    on_event: OnEvent,
    *,
    patience_s: float = PATIENCE_S,
    until: Callable[[], bool] = lambda: False,
) -> str | None:
    """Hand every event of a run to *on_event* once; its closed state, or None when *until* said so.

    A broken connection is taken up again where it broke, for *patience_s* seconds.

    Raises:
        RemoteError: the host stayed out of reach; the run goes on without us.
    """
    since, deadline = 0, time.monotonic() + patience_s
    while True:
        try:
            for event in _events(agent, run_id, since):
                deadline = time.monotonic() + patience_s
                since = max(since, event.seq)
                on_event(event)
                if event.kind == "end":
                    return event.message
                if until():
                    return None
        except (RemoteError, WireError, json.JSONDecodeError) as error:
            _give_up_after(deadline, error, agent, run_id)
        _give_up_after(deadline, None, agent, run_id)
        on_event(Event(since, time.time_ns(), "reconnect", "The connection broke; trying again."))
        agent.remote.close()
        time.sleep(_PAUSE_S)


def _events(agent: Agent, run_id: str, since: int) -> Iterator[Event]:
    with agent.follow(run_id, since) as events:
        yield from events


def _give_up_after(deadline: float, error: Exception | None, agent: Agent, run_id: str) -> None:
    if isinstance(error, RemoteError) and not error.retryable:
        raise error
    if time.monotonic() > deadline:
        raise RemoteError(
            f"{agent.remote.name} is out of reach; the run {run_id} goes on there.",
            "`fab attach` takes it up again.",
            host=agent.remote.name,
            phase="load",
        ) from error
