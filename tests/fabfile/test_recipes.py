"""`fab recipes`: which there are, and what each does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from invoke.context import Context

import fabfile
from provisioning import recipe, recipe_about


def said(capsys: pytest.CaptureFixture[str], **flags: Any) -> str:
    fabfile.recipes(Context(), **flags)
    return capsys.readouterr().out


def test_all_are_listed_with_their_variants(capsys: pytest.CaptureFixture[str]) -> None:
    """A line each, and the names that `--variant` takes."""
    lines = said(capsys).splitlines()

    assert recipe.names() == [line.partition(":")[0] for line in lines if line[0] != " "]
    assert "  variants: throughput, latency, context" in lines


def test_one_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """Where its numbers come from; and of each variant all that a person chooses by."""
    text = said(capsys, recipe="g4-qwen3-32b-fp8")

    assert '  Origin: "Single host inference benchmark of Qwen3-32B-FP8 with vLLM on G4"' in text
    assert "g4-qwen3-32b-fp8:8gpu\n" in text
    for line in (
        "  model   Qwen/Qwen3-32B-FP8",
        "  engine  vllm by docker_run",
        "  image   vllm/vllm-openai:v0.11.0",
        "  layout  TP 8 x PP 1",
        "  load    random 2048/128, completions",
        "  points  00-inf",
        "  at most 1 h 00 min",
        "  host    8 GPUs; Docker; NVIDIA Container Toolkit; 80 GB of free disk",
    ):
        assert f"{line}\n" in text


def test_a_recipe_without_variants_is_explained_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Under its plain name, without what it has not."""
    text = said(capsys, recipe="rehearsal")
    assert "\nrehearsal\n  what" in text
    assert "image" not in text.partition("\nrehearsal\n")[2]


def test_both_are_json_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    """All of them as a list, one as an object."""
    every = json.loads(said(capsys, json=True))
    one = json.loads(said(capsys, recipe="azure-qwen3-32b-precision", json=True))

    assert one in every
    assert ["nvfp4", "fp8", "bf16"] == [each["variant"] for each in one["variants"]]
    assert "1 GPU, each with a MIG slice 4g.96gb" in one["variants"][0]["host"]
    assert "prompts /256, chat" == one["variants"][0]["load"]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["layout={tensor_parallel: 2, data_parallel: 3}"], "TP 2 x PP 1 x DP 3"),
        (
            ["layout={instances: fill, front: nginx}"],
            "TP 1 x PP 1, as many instances as fit behind the nginx",
        ),
        (["layout.instances=2"], "TP 1 x PP 1, 2 of it behind the agent"),
    ],
)
def test_a_layout_in_words(overrides: list[str], expected: str) -> None:
    """GPUs of one instance, then instances."""
    assert expected == recipe_about.layout(recipe.load("rehearsal", overrides))


def test_needs_in_words() -> None:
    """Only what is asked for."""
    host = "host={gpu: {}, docker: {compose: any}, data_disk: {}, memory_gb: 64}"
    assert ["GPUs", "Docker with Compose", "a data disk at /data", "64 GB of memory"] == (
        recipe_about.needs(recipe.load("rehearsal", [host]))
    )
    assert [] == recipe_about.needs(recipe.load("rehearsal"))


def test_an_unknown_one_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """With those that there are."""
    with pytest.raises(SystemExit) as ended:
        fabfile.recipes(Context(), recipe="spark")
    assert 2 == ended.value.code
    assert "There is no recipe 'spark'" in capsys.readouterr().err
