"""What a recipe would have started, shown without a host."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provisioning import rendering
from provisioning.errors import UsageError
from provisioning.recipe_schema import Recipe
from provisioning.words import grouped


def recipe(**changes: Any) -> Recipe:
    said: dict[str, Any] = {
        "description": "x",
        "model": {"name": "o/m", "revision": "a" * 40},
        "engine": {"name": "simulator", "args": {"ttft_ms": 5}},
        "launcher": "process",
        "load": {"points": [{"num_prompts": 1, "request_rate": "inf"}]},
    }
    return Recipe.named("x", said | changes)


def contained(launcher: str, engine: str = "simulator", **host: Any) -> Recipe:
    made = {"name": engine, "container": {"image": "r.io/a:1"}}
    return recipe(engine=made, launcher=launcher, host=host)


def groups(made: Recipe) -> list[str]:
    return [" ".join(words) for words in rendering.rendered(made).command]


def test_a_process_is_shown_by_its_command() -> None:
    """An option and its value at a time; the port is found on the host."""
    shown = groups(recipe())
    assert ["python3", "--port {port}", "--ttft-ms 5"] == [shown[0], shown[4], shown[6]]


def test_a_container_is_shown_by_what_docker_is_told() -> None:
    """The image by the recipe's name for it."""
    shown = groups(contained("docker_run", gpu={"count": 1}))
    assert "docker run --detach" == shown[0]
    assert {"r.io/a:1", "--gpus all", "--publish 127.0.0.1:{port}:8000"} <= set(shown)


def test_all_files_are_shown_with_their_modes() -> None:
    """Those of the launcher; where the key would stand, it says so."""
    about = rendering.rendered(contained("compose")).about()
    files = {file["name"]: file for file in about["files"]}
    assert {"engine.sh": "0700", "compose.yaml": "0600", "env": "0600", "api-key": "0600"} == {
        name: file["mode"] for name, file in files.items()
    }
    assert ("VLLM_API_KEY=[REDACTED]\n", "[REDACTED]") == (
        files["env"]["content"],
        files["api-key"]["content"],
    )


def test_it_is_plain_values() -> None:
    """For `--json`: engine, launcher and how many of them."""
    about = json.loads(json.dumps(rendering.rendered(contained("docker_run")).about()))
    assert ("x", "docker_run", 1, "r.io/a:1") == (
        about["recipe"],
        about["launcher"],
        about["instances"],
        about["engine"]["container"]["image"],
    )


def sources(made: rendering.Rendered) -> set[str]:
    """Folders of the host that the container sees."""
    assert made.spec.container is not None
    return {mount.source for mount in made.spec.container.mounts}


def test_weights_are_where_they_would_be() -> None:
    """In our cache, or in the folder that the recipe names."""
    home = f"{rendering.WORKDIR}/models"
    of_hub = rendering.rendered(contained("docker_run", "vllm"))
    assert home in sources(of_hub)
    own = contained("docker_run", "vllm").model_copy(
        update={"model": recipe().model.model_copy(update={"path": "/srv/m"})}
    )
    assert {"/srv/m"} == sources(rendering.rendered(own)) - {f"{rendering.WORKDIR}/cache"}


def test_a_virtual_environment_is_where_it_would_be() -> None:
    """Below our working folder."""
    made = recipe(
        engine={"name": "vllm"}, host={"python": {"packages": ["vllm==0.11.0"], "python": "3.12"}}
    )
    assert groups(made)[0].startswith(f"{rendering.WORKDIR}/")


def test_what_cannot_be_started_is_told() -> None:
    """As `fab bench` would."""
    with pytest.raises(UsageError, match=r"engine\.container"):
        rendering.rendered(recipe(launcher="compose"))


def test_options_are_shown_with_their_values() -> None:
    """Words before the first of them stay together, too."""
    words = ("python3", "-m", "x", "--a", "1", "2", "--b")
    assert (("python3",), ("-m", "x"), ("--a", "1", "2"), ("--b",)) == grouped(words)
