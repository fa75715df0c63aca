"""Runs on a test's host and at home, looked at from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.main_job.conftest import Stack


def on_host(stack: Stack) -> Path | None:
    """The run on the host whose load is under way, past its fifth request."""
    for status in stack.host()["folder"].glob("work/runs/*/control/status.json"):
        about = json.loads(status.read_text())
        if about["state"] == "running" and about["completed"] >= 5:
            return Path(status).parents[1]
    return None


def ended(run: Path) -> bool:
    """Whether the agent has sealed it."""
    return (run / "SHA256SUMS").exists()


def records(run: Path) -> list[dict[str, Any]]:
    """The requests of all points, each point's by index."""
    return [
        record
        for file in sorted(run.glob("points/*/records.jsonl"))
        for record in sorted(
            map(json.loads, file.read_text().splitlines()), key=lambda record: record["index"]
        )
    ]
