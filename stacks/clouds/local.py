"""This machine: a host that is an SSH server on loopback and a folder (Linux only)."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from pydantic import Field

from stacks import local_host
from stacks.clouds import base
from stacks.config import StackConfig, Ttl
from stacks.failure import Failure
from stacks.lease import expired
from stacks.local_provider import LocalHost

HOME_VARIABLE = "LLM_DYNO_HOME"


class Config(StackConfig):
    """What can be chosen about a host on this machine."""

    ttl: Ttl = Field(
        description="Time to live, counted from the creation of the stack: 4h, 90m, 1h30m "
        "(1m to 14d). A later change does not move the end of a stack that stands.",
    )
    port: int = Field(
        default=0, ge=0, le=65535, description="Port of the SSH server on 127.0.0.1; 0 is any."
    )


class GpuHost(base.GpuHost):
    """A host on this machine."""

    def __init__(self, context: base.Context) -> None:
        if not sys.platform.startswith("linux"):
            raise Failure(
                "The cloud `local` works on Linux only: it follows processes through /proc. "
                "Use the cloud `existing` with a Linux host instead."
            )
        config = context.config
        assert isinstance(config, Config)  # noqa: S101 - settings.load made it of this module
        folder = hosts_folder() / context.name
        host = LocalHost(folder, getpass.getuser(), config.port, context.expires_at)
        self.vm_id = host.id
        self.handle = _handle(host, folder, config.port, context.expires_at)
        self.hosts = [_output(host, context.name, folder)]
        self.endpoints = []
        self.ssh_private_key = host.ssh_private_key

    @staticmethod
    def exists(handle: Mapping[str, Any]) -> bool:
        """Whether its folder is there, and its time is not over."""
        state = local_host.state(Path(handle["folder"]), handle["host_id"])
        return state == "on" or (state == "off" and not expired(handle["expires_at"]))

    @staticmethod
    def wake(handle: Mapping[str, Any]) -> None:
        """Start its server again, if need be, on the port that provisioning knows."""
        host = local_host.LocalHost.from_props(handle)
        if local_host.state(host.folder, host.host_id) == "off":
            local_host.switch_on(host)


def hosts_folder() -> Path:
    """Where the folders of local hosts lie: below ``LLM_DYNO_HOME``, else in the checkout."""
    home = os.environ.get(HOME_VARIABLE)
    return (Path(home).absolute() if home else local_host.CHECKOUT / ".dyno") / "hosts"


def _handle(
    host: LocalHost, folder: Path, port: int, expires_at: pulumi.Output[str]
) -> dict[str, Any]:
    return {
        "host_id": host.id,
        "folder": str(folder),
        "user": getpass.getuser(),
        "port": port,
        "expires_at": expires_at,
        "host_private_key": host.host_private_key,
        "authorized_key": host.authorized_key,
    }


def _output(host: LocalHost, name: str, folder: Path) -> dict[str, Any]:
    return {
        "name": name,
        "roles": ["serve", "load"],
        "address": "127.0.0.1",
        "port": host.ssh_port,
        "user": getpass.getuser(),
        "host_keys": [host.host_key],
        "workdir": str(folder / "work"),
        "private_address": None,
        "accelerator": None,
        "data_disk": None,
        "identity_file": None,
    }
