"""The recipes of the documents, rehearsed on a lab host: their own launchers, no GPU, no model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provisioning import launchers, recipe
from tests.lab.lab import Lab
from tests.lab_tests.stacks import LabStack

pytestmark = [pytest.mark.integration, pytest.mark.lab]

#: Those that need no Docker first: the host is fresh.
RECIPES = (
    ("azure-qwen3-32b-precision:nvfp4", "systemd"),
    ("l40s-llama-fp8:8b-fp8", "systemd"),
    ("spark-vllm:throughput", "compose"),
    ("g4-qwen3-32b-fp8:8gpu", "docker_run"),
)


def in_lab(lab: Lab) -> list[str]:
    """Where the lab has what a container needs."""
    docker = {"source": "distribution", "insecure_registries": [lab.registry]}
    changes = {"engine.container": {"image": lab.image}, "host.docker": docker}
    return [f"--set={key}={json.dumps(value)}" for key, value in changes.items()]


@pytest.mark.parametrize(("name", "launcher"), RECIPES)
def test_a_recipe_is_rehearsed_to_a_complete_result(
    stack: LabStack, lab: Lab, name: str, launcher: str
) -> None:
    """Every point with every request, started as the recipe says, marked as what it is."""
    container = launchers.load(launcher).RUNS == "container"
    more = in_lab(lab) if container else []
    done = stack.fab("bench", "--rehearse", "--json", "--recipe", name, *more)
    assert 0 == done.code, done.said

    folder = Path(json.loads(done.out)["results"])
    context = json.loads((folder / "manifest.json").read_text())["context"]
    points = json.loads((folder / "summary.json").read_text())["points"]
    asked = recipe.load(name, rehearse=True)

    assert (launcher, container) == (context["launcher"], "container" in context["engine"])
    assert {"engine": "vllm", "launcher": launcher}.items() <= context["rehearsal_of"].items()
    assert [point.name for point in asked.points()] == [point["point"]["name"] for point in points]
    assert all(point["completed"] == point["requested"] > 0 for point in points)
    assert {"manifest.json", "server.log", "summary.json"} <= set(
        (folder / "SHA256SUMS").read_text().split()
    )
