"""What Compose is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from provisioning.command import Secret
from provisioning.engines.base import PORT, Container, Mount, ProcessSpec
from provisioning.errors import UsageError
from provisioning.launchers import compose

RUN = "20260101T000000Z-x-0a1b.1"
BARE = Container("r/i:1")


def service(container: Container | None = BARE, **changes: Any) -> dict[str, Any]:
    """Its one service, as a reader of YAML sees it."""
    given: dict[str, Any] = {
        "engine": "fake",
        "model": "m",
        "argv": ("serve", "--port", PORT),
        "container": container,
    }
    made = {file.name: file for file in compose.files(ProcessSpec(**(given | changes)), RUN)}
    found: dict[str, Any] = yaml.safe_load(str(made["compose.yaml"].content))
    assert ["services"] == list(found)
    (one,) = found["services"].values()
    return dict(one)


def test_a_bare_service_is_published_on_loopback() -> None:
    """Its name and label tell the run; nothing is asked for that is not wanted."""
    assert {
        "image": "r/i:1",
        "container_name": f"dyno-{RUN}",
        "labels": {"llm-dyno.run": RUN},
        "command": ["serve", "--port", "8000"],
        "env_file": ["env"],
        "ports": ["127.0.0.1:${DYNO_PORT}:8000"],
        "restart": "no",
        "stop_grace_period": "20s",
        "logging": {"driver": "json-file"},
    } == service()


def gpus(**which: Any) -> dict[str, Any]:
    device = {"driver": "nvidia", **which, "capabilities": ["gpu"]}
    return {"resources": {"reservations": {"devices": [device]}}}


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"gpus": ()}, "deploy", gpus(count="all")),
        ({"gpus": ("GPU-1", "0")}, "deploy", gpus(device_ids=["GPU-1", "0"])),
        ({"runtime": "nvidia"}, "runtime", "nvidia"),
        ({"ipc_host": True}, "ipc", "host"),
        ({"shm_size": "16g"}, "shm_size", "16g"),
        ({"entrypoint": "a b"}, "entrypoint", ["a b"]),
        (
            {"mounts": (Mount("/a: b", "/c", read_only=True),)},
            "volumes",
            [{"type": "bind", "source": "/a: b", "target": "/c", "read_only": True}],
        ),
        ({"network_host": True}, "network_mode", "host"),
    ],
)
def test_what_a_container_asks_for_is_a_key(
    changes: dict[str, Any], key: str, expected: Any
) -> None:
    """In Compose's own words; without it, the key is not there."""
    assert (expected, None) == (service(replace(BARE, **changes))[key], service().get(key))


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"env": {"NO": "off", "A": "1"}}, "environment", {"NO": "off", "A": "1"}),
        ({"restart": "always"}, "restart", "always"),
        (
            {"limits": {"memlock": "unlimited", "nofile": 9}},
            "ulimits",
            {"memlock": -1, "nofile": 9},
        ),
        ({"stop_grace_s": 0.2}, "stop_grace_period", "1s"),
        ({"argv": ()}, "command", None),
    ],
)
def test_what_a_process_asks_for_is_a_key(changes: dict[str, Any], key: str, expected: Any) -> None:
    """Texts stay texts, whatever YAML would take them for."""
    assert expected == service(**changes).get(key)


def test_on_the_hosts_network_the_engine_is_told_the_hosts_port() -> None:
    """Nothing is published."""
    made = service(replace(BARE, network_host=True))
    assert (["serve", "--port", "${DYNO_PORT}"], None) == (made["command"], made.get("ports"))


def test_the_project_has_a_name_that_compose_takes() -> None:
    """Small letters, digits and `_-`."""
    assert "dyno-20260101t000000z-x-0a1b_1" == compose.project(RUN)


@pytest.mark.parametrize("odd", ["a b", "it's", '"', "$x", "#", "\\", "`", "é", "a\nb"])
def test_a_secret_that_compose_would_change_is_refused(odd: str) -> None:
    """Its two generations read files of environment in different ways; it is not shown."""
    with pytest.raises(UsageError, match="The value of A holds") as caught:
        service(secret_env={"A": Secret(f"se{odd}cret")})
    assert "cret" not in str(caught.value)


def test_a_made_key_is_not_refused() -> None:
    """Letters, digits, `-` and `_`, and what stands for one."""
    assert service(secret_env={"A": Secret("aZ0-_"), "B": Secret("[REDACTED]")})
