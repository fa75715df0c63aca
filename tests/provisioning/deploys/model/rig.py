"""What tests of the download share: a host on this machine, made ready, and looked at."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning.deploys import model as deploy
from provisioning.errors import HostError
from provisioning.host import Host
from provisioning.model_fetch.plan import size_of
from provisioning.models import HubModel, of, token
from provisioning.needs import Needs
from provisioning.operations import model as operations
from provisioning.remote import LocalRemote
from tests.provisioning.hub import Hub

WEIGHTS = "model-00001-of-00001.safetensors"
SIZE = 33_000_000
BLOCK = 10_000_000  # the library writes by about so much
MARKER = "hf_planted0MARKER0that0nobody0may0see"


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for *condition*, but not for ever."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def a_host(needs: Needs) -> Host:
    return Host(LocalRemote(Path(needs.workdir)), needs.workdir, who="me")


def apply(needs: Needs, told: list[str] | None = None, host: Host | None = None) -> Host:
    """What a deploy does with the step."""
    host = host or a_host(needs)
    (step,) = deploy.steps(needs)
    host.gather(*step.facts)
    if step.check:
        step.check(host)
    for operation in step.operations:
        host.apply(operation)
    if step.run:
        step.run(host, (list[str]() if told is None else told).append)
    return host


def hub_model(needs: Needs) -> HubModel:
    model = of(needs)
    assert model is not None
    return model


def started(needs: Needs) -> Host:
    """A controller that starts the download and is gone."""
    host, model = a_host(needs), hub_model(needs)
    host.apply(operations.prepared, model)
    host.apply(operations.started, model, token())
    return host


def pid(needs: Needs) -> int:
    return int(Path(hub_model(needs).folder, "pid").read_text())


def begun(hub: Hub) -> int:
    """How many downloads asked for the newest commit; the library's locks hide the rest."""
    return len([seen for seen in hub.seen if seen.path == "/api/models/o/m"])


def partial(needs: Needs) -> int:
    """Bytes in files that are not whole."""
    blobs = Path(hub_model(needs).home, "hub").glob("*/blobs/*.incomplete")
    return sum(size_of(path) for path in blobs)


def refusal(needs: Needs) -> str:
    with pytest.raises(HostError) as caught:
        apply(needs)
    return str(caught.value)
