"""StackOutputs: what a stack tells provisioning (standard library only).

Read back from ``pulumi stack output --json --show-secrets``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = 1


class OutputsError(ValueError):
    """The outputs of a stack are not what this release reads; the message names the path."""


@dataclass(frozen=True)
class Accelerator:
    """The GPUs of one host; `memory_mib` is that of one GPU."""

    name: str
    count: int
    memory_mib: int
    mig_profile: str | None = None


@dataclass(frozen=True)
class DataDisk:
    """A disk beside the boot disk: where it is, and where it is to be mounted."""

    device: str
    mount: str


@dataclass(frozen=True)
class HostOutput:
    """One host to log in to. `host_keys` are OpenSSH public keys (``ssh-ed25519 AAAA…``).

    `identity_file` names a private key of the user's own on the controller (cloud `existing`);
    without it and without the stack's `ssh_private_key`, the SSH agent is asked.
    """

    name: str
    roles: tuple[str, ...]
    address: str
    port: int
    user: str
    host_keys: tuple[str, ...]
    workdir: str
    private_address: str | None = None
    accelerator: Accelerator | None = None
    data_disk: DataDisk | None = None
    identity_file: str | None = None


@dataclass(frozen=True)
class EndpointOutput:
    """A node that is only a URL."""

    inference_url: str
    management_url: str | None = None


@dataclass(frozen=True)
class Price:
    """What the stack costs while it stands, from where and when that is known."""

    usd_per_hour: float
    model: str
    source: str
    date: str


@dataclass(frozen=True)
class StackOutputs:
    """The contract between a stack and provisioning."""

    schema: int
    stack: str
    owner_label: str
    cloud: str
    region: str
    zone: str
    hosts: tuple[HostOutput, ...]
    endpoints: tuple[EndpointOutput, ...]
    ssh_private_key: str | None
    price: Price
    created_at: str
    expires_at: str | None
    recipe: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, key by key what Pulumi exports."""
        return asdict(self)


_NAMES = {
    "hosts": HostOutput,
    "endpoints": EndpointOutput,
    "accelerator": Accelerator,
    "data_disk": DataDisk,
    "price": Price,
}
_MANY = ("hosts", "endpoints")
_NULLABLE = ("ssh_private_key", "expires_at")
_WHOLE = ("schema", "port", "count", "memory_mib")
_TUPLES = ("roles", "host_keys")


def from_dict(data: Mapping[str, Any]) -> StackOutputs:
    """Read the outputs of a stack.

    Raises:
        OutputsError: a key is missing or unknown, or the schema is another one.
    """
    if data.get("schema") != SCHEMA:  # 1.0 too: Pulumi's state knows one kind of number
        raise OutputsError(f"schema: expected {SCHEMA}, got {data.get('schema')!r}")
    absent = dict.fromkeys(_NULLABLE)  # Pulumi does not export what is null
    outputs: StackOutputs = _build(StackOutputs, {**absent, **data}, "")
    return outputs


def _build(cls: Any, data: Any, path: str) -> Any:
    if not isinstance(data, Mapping):
        raise OutputsError(f"{path}: expected an object, got {type(data).__name__}")
    known = cls.__dataclass_fields__
    for key in data:
        if key not in known:
            raise OutputsError(f"{_join(path, key)}: unknown key")
    values = {k: _value(k, v, _join(path, k)) for k, v in data.items()}
    try:
        return cls(**values)
    except TypeError as error:
        missing = str(error).partition("missing ")[2] or str(error)
        raise OutputsError(f"{path or 'outputs'}: missing {missing}") from None


def _value(key: str, value: Any, path: str) -> Any:
    if key in _MANY:
        return tuple(_build(_NAMES[key], v, f"{path}[{i}]") for i, v in enumerate(value))
    if key in _NAMES and value is not None:
        return _build(_NAMES[key], value, path)
    if key in _TUPLES:
        return tuple(value)
    if key in _WHOLE and isinstance(value, float):
        return int(value)  # as with the schema
    return value


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
