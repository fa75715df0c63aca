"""What is written down on the host, so that it is not done again; see `facts.record`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from provisioning.command import Command
from provisioning.facts.record import Record
from provisioning.host import Host
from provisioning.operations import files


def noted(host: Host, record: Record, values: Mapping[str, Any]) -> tuple[Command, ...]:
    """Write *values* down at *record*."""
    path = host.path(record.name)
    text = json.dumps(values, indent=2) + "\n"
    return (files.make(path.rpartition("/")[0], 0o700), files.write(path, text, 0o600))
