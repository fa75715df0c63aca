"""What every cloud keeps to, with Pulumi's mocks: found by looking into the folder."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import config as pulumi_config
from pulumi.runtime import mocks, rpc
from pulumi.runtime.stack import run_pulumi_func

from stacks import naming, outputs, program, settings
from stacks.clouds.base import GpuHost
from stacks.config import StackConfig

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFm4SIo9wczs/H5Ug50JJxd3HwFehSN4AKZ44w21v8U+"
EXPIRES = "2026-11-21T16:00:00Z"
#: What a cloud cannot do without, beside its preset.
NEEDS: dict[str, dict[str, str]] = {
    "existing": {
        "address": "192.0.2.1",
        "user": "ann",
        "workdir": "/home/ann/dyno",
        "host_keys": json.dumps([HOST_KEY]),
    },
    "mlnode": {
        "ttl": "4h",
        "endpoints": json.dumps(
            [
                {
                    "inference_url": "http://192.0.2.7:5000",
                    "management_url": "http://192.0.2.7:8080",
                }
            ]
        ),
    },
}
CHECKOUT = Path(__file__).parents[2]
MADE: dict[str, dict[str, Any]] = {
    "Lease": {"created_at": "2026-11-21T12:00:00Z", "expires_at": EXPIRES},
    "LocalHost": {"host_key": HOST_KEY, "ssh_private_key": "the key", "ssh_port": 2222},
}


class Cloud(mocks.Mocks):
    """Answers what a cloud would, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[mocks.MockResourceArgs] = []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.asked.append(args)
        made = MADE.get(args.typ.rpartition(":")[2], {})
        return f"{args.name}-id", {**args.inputs, **made}

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        return {}


class Monitor(mocks.MockMonitor):
    """Keeps which resources go before their successors come."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.deleted_first: set[str] = set()

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name of the RPC
        if request.deleteBeforeReplace:
            self.deleted_first.add(request.type.rpartition(":")[2])
        return super().RegisterResource(request)


class Declared:
    """A stack that was declared against mocks: its resources and its outputs."""

    def __init__(self, cloud: str, **config: str) -> None:
        preset = cloud if cloud in settings.preset_names() else "local"
        values = {"preset": preset, "cloud": cloud, "owner": "ann", **NEEDS.get(cloud, {})}
        self._cloud = Cloud()
        self._monitor = Monitor(self._cloud)
        pulumi_config.set_all_config({f"llm-dyno:{k}": v for k, v in (values | config).items()})
        self.outputs: dict[str, Any] = {}
        self.secret: set[str] = set()
        asyncio.run(self._run())
        self.deleted_first = self._monitor.deleted_first
        self.resources = {args.typ.rpartition(":")[2]: args for args in self._cloud.asked}

    async def _run(self) -> None:
        # In this loop, or its resources belong to another one.
        mocks.set_mocks(self._cloud, project="llm-dyno", stack="s", monitor=self._monitor)
        exported: dict[str, Any] = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pulumi, "export", exported.__setitem__)
            await run_pulumi_func(program.run)
        for key, value in exported.items():
            output = pulumi.Output.from_input(value)
            self.outputs[key] = await output.future()
            self.secret |= {key} if await output.is_secret() else set()


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pulumi's mocks make event loops in threads and leave them open."""
    loops: list[asyncio.AbstractEventLoop] = []
    make = asyncio.new_event_loop

    def kept() -> asyncio.AbstractEventLoop:
        loops.append(make())
        return loops[-1]

    monkeypatch.setattr(asyncio, "new_event_loop", kept)
    yield
    for loop in loops:
        loop.close()
    pulumi_config.set_all_config({}, [])


@pytest.fixture(params=settings.cloud_names())
def cloud(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_there_are_clouds() -> None:
    """The tests below are about something."""
    assert {"local", "existing"} <= set(settings.cloud_names())


def test_the_outputs_are_complete(cloud: str) -> None:
    """What the program exports is what provisioning reads, with a host or an endpoint in it."""
    stack = outputs.from_dict(Declared(cloud).outputs)

    assert ("s", cloud, "ann") == (stack.stack, stack.cloud, stack.owner_label)
    assert stack.hosts or stack.endpoints
    assert all(host.host_keys and host.workdir.startswith("/") for host in stack.hosts)


def test_names_are_deterministic(cloud: str) -> None:
    """Every host bears the name of its stack; nodes that are only URLs have none."""
    stack = outputs.from_dict(Declared(cloud).outputs)

    names = {naming.resource_name("llm-dyno", "s", "ann")} if stack.hosts else set()
    assert names == {host.name for host in stack.hosts}


def test_keys_are_secret(cloud: str) -> None:
    """A private key among the outputs is a secret one."""
    declared = Declared(cloud)

    assert declared.outputs["ssh_private_key"] is None or "ssh_private_key" in declared.secret


def test_the_guard_knows_the_machine(cloud: str) -> None:
    """Its id, how to ask for it, and all outputs, as they are exported."""
    declared = Declared(cloud)
    asked = declared.resources["Guard"].inputs

    assert cloud == asked["cloud"]
    assert asked["vm_id"]
    assert rpc.is_rpc_secret(asked["handle"])
    assert rpc.is_rpc_secret(asked["outputs"])
    told = json.loads(rpc.unwrap_rpc_secret(asked["outputs"]))
    assert outputs.from_dict(declared.outputs) == outputs.from_dict(told)


def test_the_lease_counts_from_creation(cloud: str) -> None:
    """The program hands over a length, never a moment."""
    declared = Declared(cloud)

    assert 14400 == declared.resources["Lease"].inputs["ttl_s"]
    assert EXPIRES == declared.outputs["expires_at"]


def test_every_key_is_documented(cloud: str) -> None:
    """The reference page is made of the descriptions."""
    config = importlib.import_module(f"stacks.clouds.{cloud}").Config

    assert issubclass(config, StackConfig)
    assert [] == [n for n, field in config.model_fields.items() if not field.description]


def test_every_machine_goes_before_its_successor_comes(cloud: str) -> None:
    """Without delete_before_replace two machines would bill at once, and the guard be passed by."""
    declared = Declared(cloud)

    machines = declared.resources.keys() - {"Lease", "Guard"}
    assert machines <= declared.deleted_first
    assert cloud != "local" or {"LocalHost"} == machines


def test_a_cloud_is_a_gpu_host(cloud: str) -> None:
    """Found by its name, made of one class."""
    assert issubclass(importlib.import_module(f"stacks.clouds.{cloud}").GpuHost, GpuHost)


@pytest.mark.integration
def test_only_the_chosen_cloud_is_imported(cloud: str) -> None:
    """Nobody waits for the libraries of a cloud that is not theirs."""
    others = [f"stacks.clouds.{name}" for name in settings.cloud_names() if name != cloud]
    code = f"import sys, stacks.program, stacks.clouds.{cloud}; print(*sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )

    loaded = done.stdout.split()
    assert f"stacks.clouds.{cloud}" in loaded
    assert [] == [name for name in (*others, "asyncssh", "paramiko", "fabric") if name in loaded]


def test_a_wrong_configuration_declares_nothing(cloud: str) -> None:
    """One sentence, and the cloud was asked for nothing."""
    with pytest.raises(pulumi.RunError, match=r"llm-dyno:tll: there is no such key"):
        Declared(cloud, tll="4h")
