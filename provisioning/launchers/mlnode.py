"""A node that starts the engine itself, asked by REST: see `provisioning.mlnode`.

Nothing is written to a host; what stands here is the request, for `fab render`.
"""

from __future__ import annotations

from provisioning.engines import mlnode
from provisioning.engines.base import ProcessSpec
from provisioning.errors import UsageError
from provisioning.launchers.base import File, Runs
from provisioning.words import Words, grouped

RUNS: Runs = "node"
BODY = "inference-up.json"
UP = "/api/v1/inference/up"


def files(spec: ProcessSpec, run_id: str) -> tuple[File, ...]:
    """The request's body.

    Raises:
        UsageError: the engine is another one, which no node starts.
    """
    del run_id
    if spec.engine != mlnode.NAME:
        raise UsageError(
            f"launcher: mlnode asks a node, and no node starts {spec.engine}.",
            "Set engine.name: mlnode, or choose a launcher that starts it on a host.",
        )
    return (File(BODY, mlnode.body_of(spec), 0o644),)


def command(spec: ProcessSpec, run_id: str) -> Words:
    """The request, a part of its body in each group."""
    del run_id
    fixed, rest = spec.argv[:4], spec.argv[4:]
    return (("POST", UP), fixed[:2], fixed[2:], *grouped(rest))
