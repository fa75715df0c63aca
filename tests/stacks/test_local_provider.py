"""The dynamic resource of a local host, without the engine."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks import local_host, local_process
from stacks.clouds import local
from stacks.clouds.base import Context
from stacks.failure import Failure
from stacks.local_provider import LocalHostProvider
from tests.stacks.hosts import connected, run, wait_for

pytestmark = pytest.mark.integration


def moment(seconds: float) -> str:
    return (dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=seconds)).isoformat()


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    return {"folder": str(tmp_path / "h"), "user": "ann", "port": 0.0, "expires_at": moment(600)}


@pytest.fixture
def made(inputs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    result = LocalHostProvider().create(inputs)
    assert result.outs is not None
    yield {**result.outs, "ssh_port": float(result.outs["ssh_port"])}
    LocalHostProvider().delete(result.id, result.outs)
    assert "gone" == local_host.state(Path(inputs["folder"]), result.id)


def switch_off(made: dict[str, Any]) -> None:
    process = local_host.server(Path(made["folder"]))
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    assert wait_for(lambda: not local_process.alive(process))


def test_what_was_made_can_be_used(made: dict[str, Any]) -> None:
    """Key, port and user of the outputs open the host."""
    with connected(int(made["ssh_port"]), made["ssh_private_key"], "ann") as ssh:
        assert (0, b"hi\n") == run(ssh, "echo hi")


def test_each_host_has_keys_of_its_own(made: dict[str, Any], tmp_path: Path) -> None:
    """Fresh ones, and none twice."""
    other = LocalHostProvider().create({**made, "folder": str(tmp_path / "other")})
    assert other.outs is not None
    LocalHostProvider().delete(other.id, other.outs)
    names = ("host_id", "host_key", "host_private_key", "authorized_key", "ssh_private_key")

    assert 2 * len(names) == len({outs[name] for outs in (made, other.outs) for name in names})


def test_an_unchanged_host_is_left_alone(made: dict[str, Any], inputs: dict[str, Any]) -> None:
    """Numbers that became floats in the state are no change."""
    result = LocalHostProvider().diff(made["host_id"], made, {**inputs, "port": 0})

    assert (False, []) == (result.changes, result.replaces)


@pytest.mark.parametrize("key", ["folder", "user", "port", "expires_at"])
def test_a_change_makes_another_host(
    made: dict[str, Any], inputs: dict[str, Any], key: str
) -> None:
    """The old one goes first."""
    result = LocalHostProvider().diff(made["host_id"], made, {**inputs, key: "another"})

    assert (True, [key], True) == (result.changes, result.replaces, result.delete_before_replace)


def test_a_host_that_is_off_is_switched_on(made: dict[str, Any], inputs: dict[str, Any]) -> None:
    """An update, no replacement: its work is still there."""
    switch_off(made)

    result = LocalHostProvider().diff(made["host_id"], made, inputs)
    update = LocalHostProvider().update(made["host_id"], made, inputs)

    assert (True, []) == (result.changes, result.replaces)
    assert made == update.outs
    assert "on" == local_host.state(Path(made["folder"]), made["host_id"])


def test_a_host_that_is_gone_is_replaced(made: dict[str, Any], inputs: dict[str, Any]) -> None:
    """Without its folder there is nothing to switch on; reading says so, too."""
    shutil.rmtree(made["folder"])

    result = LocalHostProvider().diff(made["host_id"], made, inputs)

    assert ["folder"] == result.replaces
    assert "" == LocalHostProvider().read(made["host_id"], made).id
    assert not local.GpuHost.exists(made)


def test_reading_finds_the_host(made: dict[str, Any]) -> None:
    """On or off."""
    for _ in range(2):
        found = LocalHostProvider().read(made["host_id"], made)
        assert (made["host_id"], made) == (found.id, found.outs)
        switch_off(made) if local_host.server(Path(made["folder"])) else None


def test_a_host_that_is_off_exists_and_is_woken(made: dict[str, Any]) -> None:
    """The guard can bring results home from it."""
    switch_off(made)
    assert local.GpuHost.exists(made)

    local.GpuHost.wake(made)
    local.GpuHost.wake(made)

    with connected(int(made["ssh_port"]), made["ssh_private_key"], "ann") as ssh:
        assert (0, b"hi\n") == run(ssh, "echo hi")


def test_an_expired_host_does_not_exist(made: dict[str, Any]) -> None:
    """As in a cloud: what was on it is lost."""
    switch_off(made)

    assert not local.GpuHost.exists({**made, "expires_at": moment(-1)})


def test_other_systems_are_told_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux only; the message says what to do instead."""
    monkeypatch.setattr(local.sys, "platform", "darwin")
    context: Any = Context("n", "s", local.Config(cloud="local", ttl="4h"), "")  # type: ignore[arg-type]  # neither is looked at

    with pytest.raises(Failure, match=r"works on Linux only.*Use the cloud `existing`"):
        local.GpuHost(context)


def test_hosts_lie_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """LLM_DYNO_HOME, else .dyno in the checkout."""
    monkeypatch.setenv("LLM_DYNO_HOME", "/somewhere")
    assert Path("/somewhere/hosts") == local.hosts_folder()
    monkeypatch.delenv("LLM_DYNO_HOME")
    assert local_host.CHECKOUT / ".dyno/hosts" == local.hosts_folder()
