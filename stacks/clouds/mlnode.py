"""MLNodes that run already: machines that are only URLs. Nothing is created, nothing is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from stacks.clouds import base
from stacks.config import StackConfig
from stacks.outputs import EndpointOutput


def _is_plain_url(url: str) -> str:
    url = url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("should be a plain URL such as http://192.0.2.7:8080, no password in it")
    if parts.path.endswith("/v1"):
        raise ValueError("should end before /v1, or /api/v1")
    return url


Url = Annotated[str, AfterValidator(_is_plain_url)]


class NodeKeys(BaseModel):
    """One node."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inference_url: Url = Field(description="Where it serves; port 5000 of its container.")
    management_url: Url = Field(description="Its REST API; port 8080 of its container.")


class Config(StackConfig):
    """Which nodes there are."""

    endpoints: tuple[NodeKeys, ...] = Field(
        min_length=1, description="The nodes: inference_url and management_url of each."
    )


class GpuHost(base.GpuHost):
    """The nodes as they were described: no host to log in to."""

    def __init__(self, context: base.Context) -> None:
        config = context.config
        assert isinstance(config, Config)  # noqa: S101 - settings.load made it of this module
        self.vm_id = " ".join(node.management_url for node in config.endpoints)
        self.handle = {"vm_id": self.vm_id}
        self.hosts = []
        self.endpoints = [asdict(EndpointOutput(**node.model_dump())) for node in config.endpoints]
        self.ssh_private_key = None

    @staticmethod
    def exists(handle: Mapping[str, Any]) -> bool:
        """Always: there is no cloud that could say otherwise."""
        return bool(handle["vm_id"])

    @staticmethod
    def wake(handle: Mapping[str, Any]) -> None:
        """Nothing: the nodes are not ours to switch."""
