"""Nodes that are only URLs, by the commands that a person types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.main_job.conftest import Stack, sets
from tests.mlnode_standin import Faults, Standin, running

pytestmark = pytest.mark.integration

SMALL = sets(
    "load.points.0.num_prompts=12",
    "load.points.0.max_concurrency=4",
    "load.workload.input_len=50",
    "load.workload.output_len=8",
)
BENCH = ("--recipe", "mlnode-layouts", "--variant", "tp8-pp1-short", *SMALL)


@pytest.fixture
def nodes(stack: Stack) -> Iterator[list[Standin]]:
    """Two nodes, and the stack that is made of them."""
    with ExitStack() as running_nodes:
        made = [running_nodes.enter_context(running(Faults(load_s=0.5))) for _ in range(2)]
        assert stack.destroy().code == 0
        for number, node in enumerate(made):
            for key in ("inference_url", "management_url"):
                path = f"endpoints[{number}].{key}"
                done = stack.pulumi("config", "set", "--path", path, getattr(node, key))
                assert done.code == 0, done.said
        stack.pulumi("config", "set", "preset", "mlnode")
        stack.up()
        yield made


def test_a_run_on_two_nodes_is_whole(stack: Stack, nodes: list[Standin]) -> None:
    """Up, load on both, results at home, both stopped; destroyed without a word of loss."""
    done = stack.fab("bench", *BENCH)
    gone = stack.destroy()

    assert done.code == 0, done.said
    assert gone.code == 0, gone.said
    (run,) = stack.results.glob("*Z-mlnode-layouts-*")
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    assert [12] == [point["completed"] for point in summary["points"]]
    assert (run / "SHA256SUMS").is_file()
    assert ["STOPPED"] * 2 == [node.state for node in nodes]
    assert all(node.served >= 6 for node in nodes)
    assert "node 2: ready after" in done.said


def test_a_node_at_work_is_named(stack: Stack, nodes: list[Standin]) -> None:
    """Exit code of a launch; one sentence what, one what to do; nothing is left serving."""
    nodes[1].faults.state = "POW"

    done = stack.fab("bench", *BENCH)

    assert 6 == done.code, done.said
    assert "at work for its network (state POW)" in done.said
    assert "Traceback" not in done.said
    assert [] == nodes[0].asked
