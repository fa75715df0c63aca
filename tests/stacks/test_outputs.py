from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stacks import outputs

GOLDEN = Path(__file__).parents[1] / "golden/outputs/local.json"


def golden() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text())


def test_golden_outputs_are_read_and_written_unchanged() -> None:
    """What Pulumi exports becomes StackOutputs and the same JSON again."""
    stack = outputs.from_dict(golden())

    assert golden() == json.loads(json.dumps(stack.as_dict()))


def test_golden_outputs_are_typed() -> None:
    """Hosts and price are objects, lists are tuples."""
    stack = outputs.from_dict(golden())

    assert ("serve", "load") == stack.hosts[0].roles
    assert 37133 == stack.hosts[0].port
    assert outputs.Price(0, "owned", "own machine", "2026-11-21") == stack.price


def test_nested_objects_are_built() -> None:
    """Accelerators, data disks and endpoints are typed too; a float port becomes an int."""
    data = golden()
    data["hosts"][0]["accelerator"] = {"name": "L4", "count": 1, "memory_mib": 23034}
    data["hosts"][0]["data_disk"] = {"device": "/dev/sdb", "mount": "/data"}
    data["hosts"][0]["port"] = 22.0
    data["endpoints"] = [{"inference_url": "http://127.0.0.1:8000"}]

    stack = outputs.from_dict(data)

    assert outputs.Accelerator("L4", 1, 23034) == stack.hosts[0].accelerator
    assert outputs.DataDisk("/dev/sdb", "/data") == stack.hosts[0].data_disk
    assert isinstance(stack.hosts[0].port, int)
    assert (outputs.EndpointOutput("http://127.0.0.1:8000"),) == stack.endpoints


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema: expected 1, got 2"),
        ({"schema": None}, "schema: expected 1, got None"),
        ({"colour": "red"}, "colour: unknown key"),
        ({"price": "free"}, "price: expected an object, got str"),
        ({"price": {"usd_per_hour": 1}}, "price: missing"),
        ({"hosts": [{"nose": 1}]}, r"hosts\[0\]\.nose: unknown key"),
    ],
)
def test_foreign_outputs_are_refused_with_their_path(change: dict[str, Any], message: str) -> None:
    """An unknown key, a missing one or another schema is named."""
    with pytest.raises(outputs.OutputsError, match=message):
        outputs.from_dict({**golden(), **change})
