"""The program under the real engine: what people type, and what it then does."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks import local_host, local_process, outputs
from tests.stacks.engine import YES, Project, make
from tests.stacks.hosts import connected, run

pytestmark = pytest.mark.integration
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFm4SIo9wczs/H5Ug50JJxd3HwFehSN4AKZ44w21v8U+"


@pytest.fixture
def projects(tmp_path: Path) -> Iterator[Callable[..., Project]]:
    made: list[Project] = []

    def new(*stacks: str) -> Project:
        made.append(make(tmp_path, *stacks))
        return made[-1]

    yield new
    for project in made:
        project.clean_up()


def ssh_says(told: dict[str, Any], command: str) -> bytes:
    host = told["hosts"][0]
    with connected(host["port"], told["ssh_private_key"], host["user"]) as transport:
        return run(transport, command)[1]


def test_a_stack_comes_and_goes_twice(projects: Callable[..., Project]) -> None:
    """Up, up again, preview, refresh, destroy, destroy again; then all of it once more."""
    project = projects("local")
    for _ in range(2):
        assert "+ 4 created" in project.must("up", "--yes")
        first = project.outputs()
        assert b"hi\n" == ssh_says(first, "echo hi")

        assert "4 unchanged" in project.must("up", "--yes")
        assert "4 unchanged" in project.must("preview")
        assert "4 unchanged" in project.must("refresh", "--yes")
        assert first == project.outputs()

        server = project.server()
        assert "- 4 deleted" in project.must("destroy", "--yes")
        assert (False, []) == (local_process.alive(server), project.hosts())
        project.must("destroy", "--yes")


def test_the_outputs_are_the_contract_and_keys_are_secret(
    projects: Callable[..., Project],
) -> None:
    """What the engine tells is what provisioning reads; the state shows no key."""
    project = projects("local")
    said = project.must("up", *YES)
    told = project.outputs()

    stack = outputs.from_dict(told)
    assert ("local", "local", 1) == (stack.stack, stack.cloud, len(stack.hosts))
    assert "ssh_private_key: [secret]" in said
    state = (project.root / "backend/.pulumi/stacks/llm-dyno/local.json").read_text()
    assert "LocalHost" in state
    assert [] == [text for text in (state, said) if "PRIVATE KEY" in text]
    key = str(stack.ssh_private_key).split("\n")[1]
    assert [] == [text for text in (state, said) if key in text]


def test_two_stacks_stand_side_by_side(projects: Callable[..., Project]) -> None:
    """One goes, the other keeps its host, its keys and what runs on it."""
    project = projects("local", "other")
    for stack in ("local", "other"):
        project.must("up", *YES, stack=stack)
    kept = project.outputs("other")
    ssh_says(kept, "setsid sleep 305 </dev/null >/dev/null 2>&1 &")

    project.must("destroy", *YES)

    assert [project.host_folder("other")] == project.hosts()
    assert b"305" in ssh_says(kept, "pgrep -af 'sleep 30[5]'")
    assert "4 unchanged" in project.must("up", *YES, stack="other")
    project.must("destroy", *YES, stack="other")
    assert [] == project.hosts()


def test_a_killed_server_is_started_again_by_up(projects: Callable[..., Project]) -> None:
    """As a machine that was switched off: same keys, same work; refresh does not lose it."""
    project = projects("local")
    project.must("up", *YES)
    before = project.outputs()
    ssh_says(before, "echo 42 > result")
    project.kill_server()

    assert "is switched off; `pulumi up` starts it" in project.must("refresh", *YES)
    assert "~ 1 updated" in project.must("up", *YES)

    assert b"42\n" == ssh_says(project.outputs(), "cat result")
    assert before == project.outputs()


def test_a_killed_server_does_not_stop_destroy(projects: Callable[..., Project]) -> None:
    """The guard wakes the host, so that results could come home; then all of it goes."""
    project = projects("local")
    project.must("up", *YES)
    project.kill_server()

    said = project.must("destroy", *YES)

    assert "guard: asked True" in said
    assert [] == project.hosts()


@pytest.mark.parametrize("command", [("up",), ("destroy",), ("refresh",)], ids=str)
def test_a_host_that_is_gone_is_no_obstacle(
    projects: Callable[..., Project], command: tuple[str, ...]
) -> None:
    """Server and folder are gone: `up` makes another, `destroy` ends, `refresh` forgets it."""
    project = projects("local")
    project.must("up", *YES)
    folder = project.host_folder()
    local_host.remove(folder, local_host.recorded(folder)["host_id"])

    said = project.must(*command, *YES)

    left = project.resources()
    if command == ("refresh",):
        assert {"lease", "guard"} == left.keys()
        said = project.must("up", *YES)
    assert "guard: asked False" in said
    assert (command != ("destroy",)) == bool(project.hosts())
    if command != ("destroy",):
        assert "4 unchanged" in project.must("up", *YES)


def test_an_expired_lease_makes_a_new_machine(projects: Callable[..., Project]) -> None:
    """Lease, host and guard are replaced, the guard's old self first; another ttl does not."""
    project = projects("local")
    project.must("up", *YES)
    before = project.outputs()
    project.must("config", "set", "ttl", "8h")
    assert "4 unchanged" in (said := project.must("up", *YES))
    assert f"The lease stays as it is, until {before['expires_at']}" in said
    state = json.loads(project.must("stack", "export"))
    for row in state["deployment"]["resources"]:
        if row["urn"].endswith("::lease"):
            row["outputs"]["expires_at"] = "2026-01-01T00:00:00Z"
    (project.root / "state.json").write_text(json.dumps(state))
    project.must("stack", "import", "--file", str(project.root / "state.json"))

    assert "3 replaced" in project.must("up", *YES)

    after = project.outputs()
    assert after["expires_at"] > before["expires_at"]
    assert after["ssh_private_key"] != before["ssh_private_key"]
    assert b"hi\n" == ssh_says(after, "echo hi")


def test_bad_configuration_is_one_sentence_and_makes_nothing(
    projects: Callable[..., Project],
) -> None:
    """Named with its file and key; no traceback, no resource, no host."""
    project = projects("local")
    project.must("config", "set", "tll", "4h")

    done = project.pulumi("up", *YES)

    sentence = "stacks/Pulumi.local.yaml: llm-dyno:tll: there is no such key (did you mean 'ttl'?)."
    assert 0 != done.code
    assert sentence in done.text
    assert "Traceback" not in done.text
    assert ({}, []) == (project.resources(), project.hosts())


def test_a_port_in_use_is_one_sentence_and_leaves_nothing(
    projects: Callable[..., Project],
) -> None:
    """What a provider refuses reaches the person without a traceback, too."""
    project = projects("local")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        project.must("config", "set", "port", str(port))
        done = project.pulumi("up", *YES)

    assert 0 != done.code
    assert f"Port {port} of 127.0.0.1 is in use by another program." in done.text
    assert "Traceback" not in done.text
    assert {"lease"} == project.resources().keys()
    assert [] == project.hosts()
    project.must("up", *YES)
    assert port == project.outputs()["hosts"][0]["port"]


def test_a_host_that_somebody_has_is_taken_as_it_is(projects: Callable[..., Project]) -> None:
    """Cloud `existing`: nothing but lease and guard; what is not set is null in the outputs."""
    project = projects("local")
    project.must("config", "set", "cloud", "existing")
    for key, value in {"address": "192.0.2.1", "user": "ann", "workdir": "/home/ann/d"}.items():
        project.must("config", "set", key, value)
    project.must("config", "set", "--path", "host_keys[0]", HOST_KEY)

    project.must("up", *YES)

    stack = outputs.from_dict(project.outputs())
    assert ("192.0.2.1", (HOST_KEY,)) == (stack.hosts[0].address, stack.hosts[0].host_keys)
    assert stack.ssh_private_key is None
    assert {"lease", "guard"} == project.resources().keys()
    project.must("destroy", *YES)
