"""A host that somebody already has: nothing is created, nothing is deleted."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from stacks.clouds import base
from stacks.config import StackConfig
from stacks.outputs import Accelerator, HostOutput


def _is_host_key(line: str) -> str:
    kind, _, rest = line.strip().partition(" ")
    try:
        blob = base64.b64decode(rest.partition(" ")[0], validate=True)
    except binascii.Error:
        blob = b""
    if blob[4 : 4 + len(kind)] != kind.encode():
        raise ValueError("should be a public host key: `ssh-ed25519 AAAA…` (see ssh-keyscan)")
    return f"{kind} {rest.partition(' ')[0]}"


def _is_readable(path: Path) -> Path:
    path = path.expanduser().absolute()
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path


class GpuKeys(BaseModel):
    """The GPUs of the host."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="As the driver names it.")
    count: int = Field(ge=1, le=64, description="How many.")
    memory_mib: int = Field(ge=1, description="Memory of one, in MiB.")
    mig_profile: str | None = Field(default=None, description="Such as 1g.24gb, when it is a part.")


class Config(StackConfig):
    """Where the host is, and how it is known to be the right one."""

    address: str = Field(min_length=1, description="Name or address to connect to.")
    port: int = Field(default=22, ge=1, le=65535, description="Port of its SSH server.")
    user: str = Field(min_length=1, description="Login name; needs a home of its own.")
    host_keys: tuple[Annotated[str, AfterValidator(_is_host_key)], ...] = Field(
        min_length=1, description="Its public host keys; a host that shows another is refused."
    )
    workdir: str = Field(
        pattern=r"^/.+", description="Absolute path of the folder there that llm-dyno works in."
    )
    ssh_private_key_file: Annotated[Path, AfterValidator(_is_readable)] | None = Field(
        default=None, description="Private key on this machine; without it, the SSH agent is asked."
    )
    accelerator: GpuKeys | None = Field(
        default=None, description="Its GPUs: name, count, memory_mib, mig_profile."
    )


class GpuHost(base.GpuHost):
    """The host as it was described."""

    def __init__(self, context: base.Context) -> None:
        config = context.config
        assert isinstance(config, Config)  # noqa: S101 - settings.load made it of this module
        self.vm_id = f"{config.user}@{config.address}:{config.port}"
        self.handle = {"vm_id": self.vm_id}
        self.hosts = [asdict(_output(context.name, config))]
        self.endpoints = []
        self.ssh_private_key = None

    @staticmethod
    def exists(handle: Mapping[str, Any]) -> bool:
        """Always: there is no cloud that could say otherwise."""
        return bool(handle["vm_id"])

    @staticmethod
    def wake(handle: Mapping[str, Any]) -> None:
        """Nothing: the host is not ours to switch."""


def _output(name: str, config: Config) -> HostOutput:
    gpus, key_file = config.accelerator, config.ssh_private_key_file
    return HostOutput(
        name=name,
        roles=("serve", "load"),
        address=config.address,
        port=config.port,
        user=config.user,
        host_keys=config.host_keys,
        workdir=config.workdir,
        accelerator=Accelerator(**gpus.model_dump()) if gpus else None,
        identity_file=str(key_file) if key_file else None,
    )
