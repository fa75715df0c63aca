"""What a cloud module is: a `Config` of its own keys, and a `GpuHost` that makes the machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pulumi

from stacks.config import StackConfig

HostOutputs = pulumi.Input[list[dict[str, Any]]]


@dataclass(frozen=True)
class Context:
    """What every cloud gets: `name` is the name of what it makes, `expires_at` its last moment.

    `expires_at` is RFC 3339, empty where the stack has no time to live.
    """

    name: str
    stack: str
    config: StackConfig
    expires_at: pulumi.Output[str]


class GpuHost(ABC):
    """The machine of a stack.

    `hosts` are `HostOutput`s as plain dicts, `endpoints` `EndpointOutput`s. `vm_id` is another
    one when, and only when, the machine is another one. `handle` is what `exists` and `wake`
    need later (they run without the program); it is kept as a secret.
    """

    region: ClassVar[str] = ""
    zone: ClassVar[str] = ""

    vm_id: pulumi.Input[str]
    handle: pulumi.Input[dict[str, Any]]
    hosts: HostOutputs
    endpoints: HostOutputs
    ssh_private_key: pulumi.Input[str] | None

    @abstractmethod
    def __init__(self, context: Context) -> None: ...

    @staticmethod
    @abstractmethod
    def exists(handle: Mapping[str, Any]) -> bool:
        """Whether the cloud still has the machine.

        Raises:
            Failure: the cloud could not be asked.
        """

    @staticmethod
    @abstractmethod
    def wake(handle: Mapping[str, Any]) -> None:
        """Switch a machine on that exists and is off, so that results can be fetched from it."""
