"""The dynamic resource of a local host (kept apart: the plug-in has no use for pydantic)."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from stacks import local_host
from stacks.dynamic import Provider, tell

_FIXED = ("folder", "user", "port", "expires_at")


class LocalHostProvider(Provider):
    """Starts, finds and ends a host; a host that was switched off is switched on again."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the folder and the keys, start the server."""
        host_private, host_public = local_host.key_pair()
        user_private, user_public = local_host.key_pair()
        outs = {
            **props,
            "host_id": secrets.token_hex(16),
            "host_key": host_public,
            "host_private_key": host_private,
            "authorized_key": user_public,
            "ssh_private_key": user_private,
        }
        outs["ssh_port"] = local_host.create(local_host.LocalHost.from_props(outs))
        return CreateResult(outs["host_id"], outs)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Another place or lease is another host; so is one that is gone."""
        replaced = [key for key in _FIXED if _olds.get(key) != _news.get(key)]
        state = local_host.state(Path(_olds["folder"]), _id)
        if state == "gone" and not replaced:
            replaced = ["folder"]
        return DiffResult(
            changes=bool(replaced) or state == "off", replaces=replaced, delete_before_replace=True
        )

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Switch it on again, with everything that is on it."""
        outs = {**_olds, **_news}
        return UpdateResult(
            {**outs, "ssh_port": local_host.switch_on(local_host.LocalHost.from_props(outs))}
        )

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Gone is what has no folder; a host that is off still has its results."""
        folder = Path(props["folder"])
        state = local_host.state(folder, id_)
        if state == "gone":
            return ReadResult("", {})
        if state == "off":
            tell(f"{folder.name} is switched off; `pulumi up` starts it with all that is on it.")
        return ReadResult(id_, {**props, "ssh_port": local_host.recorded(folder)["port"]})

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Stop all that was started on it, remove the folder."""
        local_host.remove(Path(_props["folder"]), _id)


class LocalHost(Resource, name="LocalHost"):
    """The host; its private keys are secrets."""

    host_key: pulumi.Output[str]
    host_private_key: pulumi.Output[str]
    authorized_key: pulumi.Output[str]
    ssh_private_key: pulumi.Output[str]
    ssh_port: pulumi.Output[int]

    def __init__(self, folder: Path, user: str, port: int, expires_at: pulumi.Output[str]) -> None:
        made = ("host_id", "host_key", "host_private_key", "authorized_key", "ssh_private_key")
        props = {
            "folder": str(folder),
            "user": user,
            "port": port,
            "expires_at": expires_at,
            **dict.fromkeys((*made, "ssh_port")),
        }
        options = pulumi.ResourceOptions(
            delete_before_replace=True,
            additional_secret_outputs=["host_private_key", "ssh_private_key"],
        )
        super().__init__(LocalHostProvider(), "host", props, options)
