"""The local path from a bare host to an engine that answers, twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioning import agent as agents
from provisioning import engines, launch, launchers, readiness, recipe
from provisioning.command import Secret
from provisioning.engines.base import Site
from provisioning.facts.lock import LockOwner, Owner
from provisioning.facts.python import Pythons, usable
from provisioning.facts.system import System
from provisioning.host import Host
from provisioning.operations import agent, lock

RUN = "20260101T000000Z-rehearsal-0a1b"
OWNER = Owner("me@here", RUN, "2026-01-01T00:00:00+00:00")
pytestmark = pytest.mark.integration


def deploy(host: Host) -> list[bool]:
    """All that has to be so before an engine is started; what changed."""
    archive = agents.build()
    host.gather(System, LockOwner, *agent.facts(host))
    return [lock.acquire(host, OWNER), host.apply(agent.shipped, archive.name, archive.data)]


def test_deployed_twice_the_second_time_changes_nothing(host: Host) -> None:
    """The second time is one exchange, and no command is in the audit log for it."""
    audit = Path(host.path("audit.log"))
    first = deploy(host)
    written = audit.read_text()
    again = Host(host.remote, host.workdir)
    before = host.remote.exchanges
    assert ([True, True], [False, False]) == (first, deploy(again))
    assert (1, written) == (host.remote.exchanges - before, audit.read_text())
    assert "agent.shipped" in written


def test_the_rehearsals_engine_is_served_and_stopped(host: Host) -> None:
    """Recipe, engine and launcher by their names; a start and a wait are two exchanges."""
    deploy(host)
    loaded = recipe.load("rehearsal")
    site = Site(
        usable(host.fact(Pythons)).path,
        host.path("agent", agents.build().name),
        Secret("a-key-of-this-run"),
    )
    launcher = launchers.load(loaded.launcher)
    before = host.remote.exchanges
    handle = launch.start(host, launcher, engines.load(loaded.engine.name).spec(loaded, site), RUN)
    ready = readiness.wait(host, handle, loaded.timeouts)
    assert (2, True) == (host.remote.exchanges - before, ready.seconds > 0)
    assert launch.stop(host, RUN)
    assert host.apply(lock.released, RUN)
    assert (False, None) == (launch.alive(host, RUN), host.fact(LockOwner))
