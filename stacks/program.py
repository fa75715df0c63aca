"""The Pulumi program: preset and settings → machine, guard and the outputs of the stack."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.runtime import config as pulumi_config

from stacks import naming, settings
from stacks.clouds.base import Context, GpuHost
from stacks.config import StackConfig
from stacks.failure import Failure
from stacks.guard import Guard
from stacks.lease import Lease
from stacks.outputs import SCHEMA


def run() -> None:
    """Declare the stack.

    Raises:
        pulumi.RunError: the configuration is wrong; nothing was declared.
    """
    stack = pulumi.get_stack()
    try:
        config = settings.load(_settings(stack))
        _declare(stack, config)
    except Failure as failure:
        raise pulumi.RunError(str(failure)) from None


def _settings(stack: str) -> settings.Settings:
    everything = {**pulumi_config.get_config_env(), **pulumi_config.CONFIG.get()}
    return settings.from_pulumi(stack, everything, pulumi_config.get_config_secret_keys_env())


def _declare(stack: str, config: StackConfig) -> None:
    module = importlib.import_module(f"stacks.clouds.{config.cloud}")
    name = naming.resource_name(pulumi.get_project(), stack, config.owner)
    lease = Lease(config.ttl)
    machine: GpuHost = module.GpuHost(Context(name, stack, config, lease.expires_at))
    outputs = _outputs(stack, config, machine, lease)
    Guard(config.cloud, machine, outputs, needs=[lease])
    for key, value in outputs.items():
        pulumi.export(key, value)


def _outputs(
    stack: str, config: StackConfig, machine: GpuHost, lease: Lease
) -> Mapping[str, pulumi.Input[Any]]:
    """Key by key what `stacks.outputs.StackOutputs` reads."""
    key = machine.ssh_private_key
    return {
        "schema": SCHEMA,
        "stack": stack,
        "owner_label": naming.label(config.owner),
        "cloud": config.cloud,
        "region": machine.region,
        "zone": machine.zone,
        "hosts": machine.hosts,
        "endpoints": machine.endpoints,
        "ssh_private_key": None if key is None else pulumi.Output.secret(key),
        "price": _price(config),
        "created_at": lease.created_at,
        "expires_at": lease.expires_at.apply(lambda moment: moment or None),
        "recipe": config.recipe,
    }


def _price(config: StackConfig) -> dict[str, Any]:
    return {
        "usd_per_hour": config.price_usd_per_hour,
        "model": config.price_model,
        "source": config.price_source,
        "date": config.price_date.isoformat() if config.price_date else "",
    }
