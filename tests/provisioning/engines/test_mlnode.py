"""What a node is asked for, and what it cannot be asked for."""

from __future__ import annotations

import json

import pytest

from provisioning import engines, recipe, rendering
from provisioning.engines import mlnode
from provisioning.errors import UsageError
from provisioning.recipe_schema import Recipe
from tests.provisioning.engines.test_engines import SITE


def of(*changes: str) -> Recipe:
    """The recipe of the layouts, changed."""
    return recipe.load("mlnode-layouts:tp4-pp2-long", changes)


def test_the_request_is_the_recipes() -> None:
    """Layout first, then arguments as vLLM spells them; all of it text."""
    body = mlnode.request(
        of("engine.args.max_num_seqs=8", "model.max_model_len=4096", "model.revision=abc")
    )

    assert {
        "model": "Qwen/Qwen3-32B-FP8",
        "dtype": "float16",
        "additional_args": [
            *("--tensor-parallel-size", "4", "--pipeline-parallel-size", "2"),
            *("--max-model-len", "4096", "--revision", "abc"),
            *("--kv-cache-dtype", "fp8", "--quantization", "fp8", "--max-num-seqs", "8"),
        ],
    } == body


def test_dtype_is_float16_unless_the_recipe_says_otherwise() -> None:
    """It moves replies, so it is never left to the node."""
    assert "float16" == mlnode.request(of("engine.args={}"))["dtype"]
    assert "bfloat16" == mlnode.request(of("engine.args.dtype=bfloat16"))["dtype"]


def test_what_is_rendered_is_what_is_sent() -> None:
    """`fab render` shows the body word by word."""
    made = rendering.rendered(of())

    assert mlnode.request(of()) == json.loads(rendering.shown(made.files[0]))
    assert ("POST", "/api/v1/inference/up") == made.command[0]
    assert not engines.load("mlnode").READS_WEIGHTS


@pytest.mark.parametrize("text", ["'; touch x; '", "$(id)", "`id`", "{{ 7 }}", 'a"b\\n%n'])
def test_nothing_of_a_recipe_is_more_than_a_word(text: str) -> None:
    """Whatever it holds."""
    made = rendering.rendered(of(f"engine.args.chat_template={json.dumps(text)}"))

    words = json.loads(rendering.shown(made.files[0]))["additional_args"]
    assert ["--chat-template", text] == words[-2:]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("engine.command=[vllm]", "engine.command"),
        ("engine.env={A: b}", "engine.env"),
        ("engine.port=5000", "engine.port"),
        ("engine.restart=always", "engine.restart"),
        ("engine.container={image: a/b}", "engine.container"),
        ("model.path=/models/a", "model.path"),
        ("model.hub=http://127.0.0.1:9", "model.hub"),
        ("layout.data_parallel=2", "layout.data_parallel"),
        ("layout.instances=2", "layout.instances"),
        ("engine.args.revision=abc", "engine.args.revision"),
        ("engine.args.served_model_name=x", "engine.args.served_model_name"),
    ],
)
def test_what_a_node_cannot_be_told_is_refused(change: str, key: str) -> None:
    """It would be dropped without a word."""
    with pytest.raises(UsageError, match=key.replace(".", r"\.")):
        mlnode.request(of(change))


def test_engine_and_launcher_belong_together() -> None:
    """A node starts no other engine, and no launcher of a host starts a node's."""
    with pytest.raises(UsageError, match="Set launcher: mlnode") as caught:
        engines.load("mlnode").spec(of("launcher=process"), SITE)
    assert "launcher: process" in caught.value.what
    with pytest.raises(UsageError, match="no node starts simulator"):
        rendering.rendered(recipe.load("rehearsal", ["launcher=mlnode"]))


def test_its_rehearsal_is_a_process_of_the_host() -> None:
    """There is no node then."""
    made = recipe.load("mlnode-layouts", rehearse=True)

    assert ("simulator", "process") == (made.engine.name, made.launcher)
    assert rendering.rendered(made).files
