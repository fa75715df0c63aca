"""The lease: when the stack was created and when it ends, fixed once and for all."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource

from stacks.dynamic import Provider, tell


class LeaseProvider(Provider):
    """Created_at and expires_at (RFC 3339, UTC); expires_at is empty without a time to live."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Fix both times, counted from now."""
        created, ttl_s = _now(), int(props["ttl_s"])
        expires = _text(created + dt.timedelta(seconds=ttl_s)) if ttl_s else ""
        times = {"created_at": _text(created), "expires_at": expires}
        return CreateResult(f"lease-{times['created_at']}", {**props, **times})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Replaced when it has expired; a changed time to live waits for that."""
        ends, ttl_s = _olds["expires_at"], int(_news["ttl_s"])
        if (ends and expired(ends)) or bool(ends) != bool(ttl_s):
            return DiffResult(changes=True, replaces=["expires_at"], delete_before_replace=True)
        if ends and int(_olds["ttl_s"]) != ttl_s:
            tell(f"The lease stays as it is, until {ends}; the new ttl counts from the next one.")
        return DiffResult(changes=False)


class Lease(Resource, name="Lease"):
    """A stack's lease."""

    created_at: pulumi.Output[str]
    expires_at: pulumi.Output[str]

    def __init__(self, ttl_s: int | None) -> None:
        props = {"ttl_s": ttl_s or 0, "created_at": None, "expires_at": None}
        super().__init__(LeaseProvider(), "lease", props)


def expired(moment: str) -> bool:
    """Whether *moment* (RFC 3339) has passed."""
    return dt.datetime.fromisoformat(moment) <= _now()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc).replace(microsecond=0)


def _text(moment: dt.datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
