"""What `docker run` is told."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pytest

from provisioning.command import Secret
from provisioning.engines.base import PORT, Container, Mount, ProcessSpec
from provisioning.errors import UsageError
from provisioning.launchers import docker_run

RUN = "20260101T000000Z-x-0a1b"
BARE = Container("r/i:1")


def spec(container: Container | None = BARE, **changes: Any) -> ProcessSpec:
    given: dict[str, Any] = {
        "engine": "fake",
        "model": "m",
        "argv": ("serve", "--port", PORT),
        "container": container,
    }
    return ProcessSpec(**(given | changes))


def words(made: ProcessSpec) -> list[str]:
    return [" ".join(group) for group in docker_run.command(made, RUN)]


def files(made: ProcessSpec) -> dict[str, Any]:
    return {file.name: file for file in docker_run.files(made, RUN)}


def test_a_bare_container_is_published_on_loopback_and_never_pulled() -> None:
    """Its name and label tell the run; the port inside is its own."""
    assert [
        "docker run --detach",
        "--publish 127.0.0.1:{port}:8000",
        "--pull never",
        f"--name dyno-{RUN}",
        f"--label llm-dyno.run={RUN}",
        "--env-file env",
        "--stop-timeout 20",
        "--log-driver json-file",
        "r/i:1",
        "serve",
        "--port 8000",
    ] == words(spec())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gpus": ()}, "--gpus all"),
        ({"gpus": ("GPU-1",)}, '--gpus "device=GPU-1"'),
        ({"gpus": ("GPU-1", "MIG-2")}, '--gpus "device=GPU-1,MIG-2"'),
        ({"runtime": "nvidia"}, "--runtime nvidia"),
        ({"ipc_host": True}, "--ipc host"),
        ({"shm_size": "16g"}, "--shm-size 16g"),
        ({"entrypoint": "python3"}, "--entrypoint python3"),
        ({"mounts": (Mount("/a", "/b"),)}, "--volume /a:/b"),
        ({"mounts": (Mount("/a", "/b", read_only=True),)}, "--volume /a:/b:ro"),
        ({"network_host": True}, "--network host"),
    ],
)
def test_what_a_container_asks_for_is_an_option(changes: dict[str, Any], expected: str) -> None:
    """Docker's own words for it; without it, the option is not there."""
    assert expected in words(spec(replace(BARE, **changes)))
    option, _, _ = expected.partition(" ")
    assert option not in {each.partition(" ")[0] for each in words(spec())}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"env": {"A": "1 2"}}, "--env A=1 2"),
        ({"restart": "unless-stopped"}, "--restart unless-stopped"),
        ({"limits": {"memlock": "unlimited"}}, "--ulimit memlock=-1"),
        ({"limits": {"nofile": 15000}}, "--ulimit nofile=15000"),
        ({"stop_grace_s": 0.2}, "--stop-timeout 1"),
    ],
)
def test_what_a_process_asks_for_is_an_option(changes: dict[str, Any], expected: str) -> None:
    """Limits as Docker counts them, seconds whole."""
    assert expected in words(spec(**changes))
    assert expected not in words(spec())


def test_on_the_hosts_network_the_port_is_left_to_the_host() -> None:
    """Nothing is published; the script puts the port where the engine is told."""
    made = spec(replace(BARE, network_host=True))
    assert "--port {port}" in words(made)
    assert '    "$port"\n' in files(made)["engine.sh"].content
    assert "--publish" not in files(made)["engine.sh"].content


def test_the_script_runs_the_command_that_is_shown() -> None:
    """The same words in the same order, but for the port."""
    container = replace(BARE, gpus=("a", "b"), entrypoint="x y", mounts=(Mount("/a b", "/c"),))
    made = spec(container, env={"A": "it's"}, argv=("$(x)", "--port", PORT))
    script = files(made)["engine.sh"].content
    _, begin, rest = script.partition("  d run --detach")
    run = (begin + rest.partition("\n}\n")[0]).replace("\\\n", " ").replace('"$port"', PORT)
    shown = [word for group in docker_run.command(made, RUN) for word in group]
    assert shown[1:] == shlex.split(run)[1:]


def test_secrets_are_in_a_file_for_docker_as_they_are() -> None:
    """No quotes, no escapes: Docker takes a line as it is."""
    file = files(spec(secret_env={"A": Secret("it's $x #1 \\")}))["env"]
    assert (0o600, Secret("A=it's $x #1 \\\n")) == (file.mode, file.content)


@pytest.mark.parametrize("value", ["a\nB=1", "a\rb", "a\0b"])
def test_a_secret_with_a_line_break_is_refused(value: str) -> None:
    """It would be another variable; it is not shown."""
    with pytest.raises(UsageError, match="The value of A holds a line break") as caught:
        files(spec(secret_env={"A": Secret(value)}))
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    ("container", "why"),
    [
        (None, "was given no container"),
        (replace(BARE, ipc_host=True, shm_size="1g"), "both `ipc_host` and `shm_size`"),
        (replace(BARE, mounts=(Mount("/a:b", "/c"),)), "The folder /a:b has a colon"),
        (replace(BARE, mounts=(Mount("/a", "/c:ro"),)), "The folder /c:ro has a colon"),
    ],
)
def test_what_docker_cannot_do_is_refused(container: Container | None, why: str) -> None:
    """Before a host is asked for anything."""
    with pytest.raises(UsageError, match=why):
        files(spec(container))
